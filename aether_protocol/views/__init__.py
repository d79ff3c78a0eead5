"""Views: what people and programs see of runs and documents, as data, made from states, facts and plans.

A view is a function without side effects: the same report, list row, record of the event feed, preview, difference or picture
comes out in the command line, the API and a server, which only write it in their formats. None of them drives anything or
reads the clock; what a view needs to know of the present is an argument.

Modules by role:

    words           text, yaml_text, phases, phase_changes, workflow_states
    many runs       statistics, periods, spread
    a run           report, summary, diff, retry, artifacts, case, critical, forecast, spans
    as it goes      event_feed, run_mirror, timeline
    without a run   preview, graph
    pages           html
"""
