"""The SQLite store: runs in one file, nothing to install or start.

All calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file at once:
SQLite has one writer at a time, and leases keep engines off each other's runs. The facets share one connection (`database`),
and each knows its own tables alone (`schema` has them all). Every row that says something carries a digest of what it says
(`records`): what a disk changed is reported, never acted on.

    store       the store as one object, and how one is opened
    schema      the tables, as numbered migrations              database   the connection: opening, transactions, errors
    records     rows and texts of runs, with their digests      runs       appends, snapshots, lists
    numbers     numbers of changes, in the order of commits     changes    the change feed
    leases      leases, locks, the mailbox                      texts      logs and the library
    schedules   schedules, their fires and decisions            upkeep     description, check and compaction of the file
"""
