"""The fleet: which worker carries out which attempt. A pure machine: events go in, commands come out; no clock, no I/O.

The log of a run is the durable queue. What stands here is derived from it and may be lost: after a restart the engine offers
the attempts again, workers say what they hold, and both are joined. Every transport (HTTP, gRPC, a queue) only carries the
messages, may lose or double each, and is reconciled.

**Events** (`events`): an engine offers attempts or withdraws them; a worker joins with its executors, labels and slots, polls
for work, beats with what it holds, reports starts, results, losses and refusals, disconnects, leaves; an operator drains;
time passes. **Commands** (`commands`): assign an attempt to a session, stop a delivery, report to the engine, ask to drain.
`Fleet.handle(event)` is the only door, and the same events give the same commands.

**A session** is one worker's time of service, from its hello on. Its lease is renewed by each of its messages. The worker
stops its own work before the lease ends, so that an attempt never runs in two places, unless a machine was frozen.
**A delivery** is one attempt at one session: assigned, running, or stopping. A new attempt of a task run is held back until
the delivery of the earlier one has ended. Where a hello names a result that is kept, its attempt has ended; the result is
waited for until a lease is over, since a worker that is heard and hears nothing may say hello for ever.

**Classes.** Attempts that ask the same of a worker (executor, pool, selector, preference, slots) form a class; a class
knows the sessions that fit it, and which of those have an open poll. Matching looks at classes, never at attempts, so that it
costs the same with 10 and with 100 000 waiting. Which worker gets which attempt is decided by `FleetState.match` (`state`): the
order is that of `queue`, which sessions fit is asked of `sessions`, and labels are held against selectors by `plan.placement`.

**Order** (`queue`). Highest priority first; then the namespace that was served longest ago (of weight w: w times in a row);
then the run that was served longest ago; then the order in which attempts became ready. With equal weights no namespace with
waiting work gets less than one of n starts, for the one that was served stands behind all others. Nothing is owed: a namespace
that could not be served for a while does not catch up at the cost of others.

**Losses.** A delivery that a worker never received (it polls again and does not hold it) goes back to the head of its queue.
An attempt whose session's lease ended is reported as lost to the engine, unblamed; one whose own child process died is
reported as blamed; how many of these in a row make the task an Error is a rule of the scheduler (`scheduler.tasks`, RT-22). A
worker that lost several different tasks by their own death within minutes is quarantined.

Modules by role:

    values     events, commands, work
    door       machine
    rules      attempts, membership
    state      state, sessions, waiting, queue, invariants
    answers    reasons
"""
