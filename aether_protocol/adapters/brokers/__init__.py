"""Brokers (`ports.broker.Broker`): where attempts are carried out. Each module is one way to do that; none knows another.

`local` carries them out in the engine's own process, through `execution`, as a worker elsewhere does. Attempts end with the
process, so after a restart it holds none, and what an engine releases is stopped.

`workers` gives them to workers that call in, over whatever transport, and asks `fleet` which worker gets which; `tokens` names
its deliveries, `worker_reports`, `worker_results` and `worker_logs` take in what workers report, `elsewhere` says what of it
is for other servers, `executor_variants` which workers the config of an attempt fits, `fleet_view` and `pools` show operators
and autoscalers what there is.

`dask` gives them to the workers of a Dask cluster.

`futures` gives them to any executor of `concurrent.futures`, whose processes carry them out by `worker.hosted`; `endings`
reports what such calls return, `unserved` says what workers without a server cannot be given. `celery` gives them to a fleet of
Celery workers, by a table in Redis.

`nats` lets workers call in through NATS, where they serve many engines and no server is needed.

A broker whose workers are elsewhere differs in three things: its queue may be away (what it does not take is refused, and
offered again later), its attempts outlive the engine (`held` tells the next engine which, `release` lets them run on), and what
it delivers may come late, twice or in another order. The suites of `aether_protocol.testing.contracts` (`broker`, and
`remote_broker` for these) hold every broker to the same rules; `aether_protocol.testing.remote_broker` is such a broker in
memory.

Modules by role:

    this process       local
    workers            workers, tokens, worker_reports, worker_results, worker_logs, log_gate, elsewhere, spilling
    what fits          executor_variants
    what is shown      fleet_view, pools
    other engines      celery, dask, futures, endings, nats, unserved
"""
