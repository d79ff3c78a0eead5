"""The engine: carries out what the scheduler orders. Effects, but no vendor: everything outside comes through a port.

**One loop.** All that happens to a run becomes an event in the inbox of `RunLoop` and is handled by the run's machine, in the
order of arrival, on the thread of the event loop. A round takes up to `TURN_EVENTS` events of all runs: their machines decide,
the entries of all runs go to the store in one append, then their commands are carried out, then replies are given. So nothing
goes out that is not stored, one write serves many runs, and each round awaits the store once and the broker once. Where
the store says that appends are waited for (`appends_at_once`), other rounds begin meanwhile: of each run one append is on its
way, what its machine decides by then follows in the next one, and leases are seen to when none is on its way.

**Ownership.** On a durable store an engine drives the runs that it holds a lease of; the fencing token of the lease goes with
every append, and an append that is refused ends the run here: its state is ahead of the log. The run is recovered from the
store by the engine that has it then. Recovery is the same way: the machine is rebuilt from the record, what is outstanding is
derived from its state, the broker says which attempts it still holds, and the rest is ordered again under the same names.

**Attempts.** What the machine dispatches waits in the engine until the broker has room and takes it; a broker that is away
costs time and no run. What comes back twice, late or for another epoch changes nothing, and is acknowledged all the same once
everything before it is stored.

**Text from outside** (payloads, reasons, results by hand) is masked before it enters a run; providers are asked beside the
loop. Callbacks of the embedder can neither steer nor break a run.

Reading is not the engine's affair: `service` and `views` read rows and records from the store.

Modules by role:

    door        api, driven, submission
    loop        loop, drivers, active_run, inbox, timers
    attempts    dispatch
    ownership   leases, mailbox, recovery, snapshots, passivation, shares, releases
    outside     outside, observers, logs, stream
    schedules   schedules, schedule_runner
    artifacts   artifacts
    values      clock, ids
"""
