"""The broker behind NATS: engines on one side, workers of any number on the other, and no server between them.

**Where the queue is.** In the engine, in memory, derived from the log: `adapters.brokers.workers` with its `fleet`, as where
workers call a server over HTTP. So priority, fairness, cancel, leases, blame and reattachment are the same. What NATS has may
be lost at any time, all of it.

**Tickets.** Where something waits and no worker asks, the engine publishes a ticket, without waiting for its acknowledgement,
into a JetStream stream: "engine E has work of this kind". The subject says for whom: `aether.<pool>.<level>.<class>`; the level
is the tenth of the priority, the class the executor, and what is asked of labels and amounts. A worker with a free slot has
pull requests open at the consumers of all subjects that fit it: that is its credit. One ticket wakes one worker; where that
leaves something waiting, there is the next ticket. A lost one is published again within RECONCILE_S.

**Calls.** The woken worker asks E itself: the messages of `ports.worker` (hello, poll, beat, report), each a list, as requests
over core NATS. What is longer than a message may be goes in several (`frames`). It stays with E as long as E has something for
it. Results are kept, and sent again, until E has recorded them; where E is gone, another engine of the same store gets them
(its **site**, known by the key of its tokens).

**Who is there.** Engines announce themselves, and which subjects they use, when they begin, when that changes, each ANNOUNCE_S,
and when a worker asks. Streams and consumers are made by the side that needs them first, and again after a wipe.

    subjects     names, and what tickets and announcements say
    frames       messages of any length
    address      the URL
    credentials  keys that sign for a user
    reach        whether a server is there, and takes who connects
    link         the connection
    calls        requests and answers over it
    broker       the engine's side; that of workers is `worker.nats`
"""
