"""What can be asked of runs, schedules and libraries: the application's rules, for the command line, a server and embedders.

Theory of operation. An engine drives runs; this package answers for them, whichever process drives them. It reads rows,
records and snapshots of a store, or asks the engine that holds a run through the store's mailbox; it holds no lease of its
own unless it is given an engine. Values go in and come out as plain structs, so that the same questions can be asked over a
wire. Nothing here knows a terminal, prints, exits or reads the environment: what is shown, and with which exit code a
process ends, is decided by the caller.

Map: `runs/` finds, names, inspects and deletes single runs; `schedules/` applies, switches, backfills and explains
schedules; `archive` writes a run to a file and reads it back; `dead_owners` releases what ended processes hold;
`process_identity` tells one process from another; `run_host` drives runs of schedules side by side.
"""
