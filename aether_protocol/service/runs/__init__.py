"""Single runs, found by what the caller calls them, and what is done with them.

Theory of operation. A run is named by its id, the beginning of its id or `latest` (`find`); retries of one run share a base
name, and the name means the newest of them (`retry_ids`); what a retry takes over stands in its header (`retry_header`). A
submission that may be repeated has a key (`once`). What a run would do is shown without one (`dry_run`). A run is inspected
by replaying its record, never by asking its engine (`inspect`), and gives more than it says itself (`extracts`).
It is deleted with all that belongs to it alone: its workspaces and the artifacts that no other run names (`delete`). Lists say
who drives each run, and shorten ids (`listing`); many runs are counted (`statistics`), the newest ones stand for a workflow
(`workflows`), and earlier ones say what to expect of a new one (`estimates`).

Modules by role:

    which run       find, retry_ids, idempotency
    one run         inspect, overview, plans, page, waiting, dry_run, extracts
    a new one       retry_header
    many runs       listing, tasks, statistics, estimates, workflows
    at its end      delete
"""
