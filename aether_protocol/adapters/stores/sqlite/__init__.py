"""The SQLite store: runs in one file, nothing to install or start.

All calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file at once:
SQLite has one writer at a time, and leases keep engines off each other's runs. The facets share one connection (`database`).
What is not here is the same in every store in SQL (`adapters.stores.sql`).

    the store as one object, and how one is opened      store
    the connection: transactions, errors                database
    how a file is opened                                opening
    when the log is moved into the file, and by whom    checkpoints
    the dialect, for what all stores in SQL share       dialect
    how steps are appended; the feed                    runs, changes, numbers
    description, check and compaction of the file       upkeep
"""
