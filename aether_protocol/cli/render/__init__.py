"""What people and machines read: text, JSON, SARIF. Renderers get data and decide nothing.

Modules by role:

    pieces          times, marks, table, pretty
    documents       diagnostics, preview, documents, templates
    a run           report, history, task, timeline, changes, logs, events
    while it runs   views, live, journal, open_runs
    lists           runs, statistics, schedules
"""
