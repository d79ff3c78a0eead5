"""The PostgreSQL store: runs in a schema of a database that any number of servers share (PostgreSQL 14 to 18, asyncpg).

What is asked and written is what every store in SQL asks and writes (`adapters.stores.sql`); here is what a server over the
network makes different. Transactions of several clients run beside each other: an append holds the row of its run (FOR SHARE)
in the statement that inserts, since a plain comparison of the token would let a stale write in; work that reads before it
writes takes a lock by name, or is repeated. A server that is away is waited for (`connections`), and what may have been
written before it went is looked for, not written twice. Nothing that others need to be correct is sent by NOTIFY, which may be
lost (`session`).

Modules by role:

    the store as one object, and how one is opened        store
    one connection: opening, settings, bounds             link
    connections: how many, errors, patience               connections
    the dialect, transactions, what statements become     dialect, texts
    how a database is set up                              schema
    how steps are appended; the feed                      runs, changes
    the session: hints, and the lock of an owner          session
    which engine drives which run; requests to it         leases, servers, mailbox
    description, check and compaction                     upkeep
"""
