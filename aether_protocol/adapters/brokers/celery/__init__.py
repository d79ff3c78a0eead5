"""The broker for a fleet of Celery workers with Redis: `celery+redis://HOST`.

**The table is the truth, a message of Celery is a hint.** What an engine dispatches is put into a table in Redis (`scripts`,
`table`), under its task run and with the token of its delivery; then Celery carries a message with these two names to one of
its workers (`publisher`). The worker claims the delivery in the table. Celery may hand a message out twice, late, or never:
the first claim wins, a second one is refused while the first worker lives, a token that is not in the table any more is
dropped, and a message that was lost on the way is published again. What is cancelled while it waits is gone from the table, and
its message leads to nothing.

**A worker keeps what it has claimed by its session**, a key that expires unless it is renewed. A session that expired is a
worker that died: its attempts are lost, without blame. A process of Celery that dies is reported by the process above it, at
once and blamed, as it carried out this attempt alone. Celery's `revoke` does not interrupt what runs, so a stop is an order of
our own to the session that has the attempt; the worker also asks with each beat what it should stop.

**Results and logs lie in the table until they are stored**, so they outlive the engine: the next one asks for its attempts
(`held`) and hears of them from then on. What an engine has to hear comes by its inbox, in batches; an inbox may be lost, so
every few seconds the table itself is looked at (`broker`).

**Redis is away**: what is dispatched is refused and offered again, what runs continues up to the lease, results wait at the
workers. **Redis was emptied**: workers put back what they have; what waited is lost without blame and offered again; what
ran and does not come back is lost when its lease is over.
"""
