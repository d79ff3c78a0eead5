"""Workers: processes that carry out attempts for engines elsewhere.

A **supervisor** talks to the server: it says hello, polls for work, beats, and reports. It does nothing that can block, so a
busy machine or a hanging executor is never taken for a dead worker. The attempts are carried out by **children**, one process
for each attempt that runs at a time, by the same `execution/` as in the local broker. A child that dies (killed, out of memory)
is reported at once, with its signal and the last lines that it wrote, and is replaced; the supervisor and all other attempts
continue.

**Leases.** Each answered message renews the session's lease, counted from when the message was sent. Without an answer the
supervisor stops its own work before the lease ends, and kills what does not stop, for after that the server may give the
attempts to another worker. So an attempt does not run in two places, unless a machine was frozen for longer than a lease.

**Results** are kept, and sent again, until the server says that they are recorded. Where the server restarts, or the connection
is lost for a while, the next session takes over: the worker shows what it holds.

**Logs** wait in a spool, in memory and on disk behind that, until the server has stored them; no result waits for them longer
than 2 s.

**Artifacts** go through the supervisor, by digest, and are kept in a folder that all children use; a child never talks to the
server.

Where another engine has the processes (a pool, a cluster), its calls carry attempts out by `hosted`, with the same children.
A worker of many engines behind NATS is `nats`: one pool, and a supervisor for each engine. A process of
Celery carries attempts out by `celery`.

Modules by role:

    process     process, supervisor, held, outbox, spool, delivery_spans
    children    pool, processes, batches, pipes, child, offers
    transport   transport, http, grpc, turns, direct
    artifacts   artifacts, http_artifacts, cache
    elsewhere   hosted, celery, nats
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from aether_protocol.worker.process import Worker as Worker
    from aether_protocol.worker.supervisor import Supervisor as Supervisor
    from aether_protocol.worker.transport import WorkerTransport as WorkerTransport

__all__ = ["Supervisor", "Worker", "WorkerTransport"]

_MODULES = {"Worker": "process", "Supervisor": "supervisor", "WorkerTransport": "transport"}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return getattr(import_module(f"aether_protocol.worker.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
