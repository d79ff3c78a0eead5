"""What stores on SQL databases share: which tables there are, what stands in their rows, and what is said to them.

A facet is written once, as work: a generator that yields one statement after the other and is given its rows. It waits for
nothing and knows no connection, so that SQLite carries it out at once (`work.run`) and a server over the network one await a
statement. The statements are what dialects have in common, with `?` or `?N` for values; where they differ a facet asks
`work.SqlDatabase`. What is tuned for one database, appends above all, stands with that adapter: adapters are blind to each
other. Every row that says something carries a digest of what it says (`records`): what a disk changed is reported, never acted
on.

Modules by role:

    statements and the one that carries them out        work
    the tables, as numbered migrations                  schema
    rows and texts with their digests                   records
    runs: their rows, steps, plans and snapshots        runs
    the newest runs of each workflow                    newest
    leases, locks, the mailbox                          leases
    what tasks wrote; documents with their versions     logs, library
    schedules, their fires and decisions                schedules
    tokens, namespaces and the audit                    access
    the key of servers, and the workers they know       fleet
    which servers there are                             servers
    what is wrong inside of a store                     checks
    all of these as parts of one object                 facets
"""
