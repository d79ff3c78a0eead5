"""Commands that start runs, steer them and look at them; one module each.

Modules by role:

    start and steer      run, resume, cancel, retry, bulk, wait, there
    lists                ls, workflow, stats
    one run              show, look, status, logs, events, report
    past and difference  replay, diff
    seen live            watch
"""
