"""The broker for a Dask cluster, `dask://HOST:PORT`: each attempt is a task of dask.distributed, which a child process of its
Dask worker carries out (`worker.hosted.dask_task`). For people who have a Dask cluster.

**Names.** The key of a task at the scheduler holds the name of its attempt and the token of its delivery. The tasks of a batch
are published at the scheduler, as one dataset for each run (`aether/ENGINE/RUN/NUMBER`): so they, and their results, outlive
the client of this engine, a connection that was lost, and the engine itself. The next engine finds them there (`held`). A
dataset is deleted when all of its results are stored.

**Never twice in silence.** Dask gives tasks whose worker it lost to another worker, as often as
`distributed.scheduler.allowed-failures` says, whatever `retries` is. Here a task that starts a second time carries nothing out
and says so; the attempt is reported as lost, and the engine offers it again, under its name and key. A flag at the scheduler
says that a task has begun. It stays until the scheduler has forgotten the task: what ended, too, is done again where the worker
is lost that has its result. A loss is seen earlier where the scheduler reports that a worker left while it had a task that had
begun.

**Ends.** A stop cancels the task; its child is stopped when its worker sees that. The next attempt of that task run begins when
the child has ended. A scheduler that is away refuses; once it is back, what is still published there continues, and all else
is lost.

Modules: `broker` (the port), `address` (the URL), `deliveries` (what is at the scheduler), `submission` (how it comes there),
`results`, `waits` (`waitAtMost`), `cluster` (the connection), `call` (what a task is), `tasks` (keys, datasets, and what an
attempt asks of a Dask worker), `background`. `distributed` is imported when a connection is made.
"""

from __future__ import annotations

from aether_protocol.adapters.brokers.dask.broker import DaskBroker as DaskBroker
from aether_protocol.adapters.brokers.dask.broker import dask_broker_of_url as dask_broker_of_url

__all__ = ["DaskBroker", "dask_broker_of_url"]
