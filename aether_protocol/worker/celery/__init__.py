"""A process of Celery as a worker: each message leads to an attempt, which a child process carries out.

A pool process of Celery has one **carrier** (`carrier`): a thread with an event loop, in which a supervisor
(`worker.supervisor`) runs, with its children, its spool of logs and its lease. Its way to engines is the table in Redis
(`transport`). The function that Celery calls (`aether_protocol.celery`) claims the delivery that its message names, and returns
when that has ended: so Celery counts the attempt as what that process does. The thread works under Celery's pools `prefork`,
`threads` and `solo`; those that replace threads (`eventlet`, `gevent`) are refused.
"""
