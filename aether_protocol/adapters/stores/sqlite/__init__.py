"""The SQLite store: runs in one file, nothing to install or start.

All calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file at once:
SQLite has one writer at a time, and leases keep engines off each other's runs. The facets share one connection (`database`),
and each knows its own tables alone (`schema` has them all). Every row that says something carries a digest of what it says
(`records`): what a disk changed is reported, never acted on.

Modules by role:

    the store as one object, and how one is opened      store
    the connection: opening, transactions, errors       database
    the tables, as numbered migrations                  schema
    rows and texts with their digests                   records
    runs: appends, snapshots, lists; the feed           runs, changes, numbers
    leases, locks, the mailbox                          leases
    what tasks wrote; documents with their versions     logs, library
    schedules, their fires and decisions                schedules
    tokens, namespaces and the audit                    access
    the key of servers, and the workers they know       fleet
    description, check and compaction of the file       upkeep
"""
