"""The static checks, one module for each concern.

A check is given the findings and what it needs to know, walks definitions (`symbol`) and calls (`site`), and reports. The order
of the checks means nothing: each sees the whole table of symbols. Where a name is judged is `texts`; where a schedule is
checked is `schedules`.

Modules by role:

    names        names, texts, callers, order
    values       values, types, secrets
    executors    executors, local_files, placement
    schedules    schedules
    surprises    no_effect, pitfalls, unused
"""
