"""What a client gives and takes, as JSON: the bodies of HTTP requests and answers, and the way back from them.

Theory of operation. Every body is a struct, so that the server can describe it (OpenAPI) and the remote client can read it
strictly; its names are those that the command line prints (`aether ls -o json`, the run report), in camelCase, with instants as
RFC 3339. For each value of `service.client` there is one function that makes its JSON (some live in `views`, since the command
line prints the same) and one that reads the body again; a test holds that the two are inverse. Nothing here knows HTTP.

Modules by role:

    of runs              runs, reports, inspections, feeds, requests
    of many runs         tasks, statistics, workflows
    of documents         documents, schedules
    of all               values, problems
"""
