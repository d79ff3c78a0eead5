"""What runs, the fleet and HTTP do, counted for Prometheus (`/metrics`).

Law: a scrape costs the number of workers and of classes of waiting attempts, never that of attempts or runs that wait.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sized
from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType

from aether_protocol.adapters.brokers.pools import pools_of
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.telemetry.prometheus import RunMetrics
from aether_protocol.fleet import commands as c

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Message, Receive, Scope, Send

_SECOND: Final = 1_000_000
_WAITS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 900, 3600)
_REQUESTS: Final = (0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 30)


class ServerMetrics:
    """The metrics of a server: those of its runs, its fleet and its requests.

    Args:
        runs: those of runs and the store.
        broker: the one for workers; None: there are none.

    Raises:
        UsageError: prometheus-client is not installed.
    """

    def __init__(self, runs: RunMetrics, broker: WorkerBroker | None) -> None:
        from prometheus_client import Counter, Histogram
        from prometheus_client.registry import Collector

        class Now(Collector):
            def collect(self) -> Iterator[Any]:
                yield _clients(sum(map(len, streams)))
                if broker is not None:
                    yield from _fleet(broker)

        self.runs = runs
        self.streams: list[Sized] = []  # those that are open, of each application that is counted here
        streams = self.streams
        made: dict[str, Any] = {"registry": runs.registry}
        self._wait = Histogram(
            "aether_task_wait_seconds",
            "How long attempts waited for a worker.",
            ("pool", "priority"),
            buckets=_WAITS,
            **made,
        )
        self._deliveries = Counter("aether_deliveries", "What became of deliveries to workers.", ("outcome",), **made)
        self._requests = Histogram(
            "aether_http_request_seconds", "Requests, open polls left out.", ("route", "code"), buckets=_REQUESTS, **made
        )
        runs.registry.register(Now())
        if broker is not None:
            broker.watchers.append(self._ordered)
            broker.log_drops.append(runs.log_dropped)

    def _ordered(self, command: c.Command, now: int) -> None:
        """The fleet ordered something."""
        match command:
            case c.Assign(work=work):
                self._deliveries.labels("assigned").inc()
                self._wait.labels(work.need.pool or "default", _level(work.priority)).observe((now - work.at) / _SECOND)
            case c.ReportLost(blamed=blamed):
                self._deliveries.labels("died" if blamed else "lost").inc()
            case c.ReportError():
                self._deliveries.labels("refused").inc()
            case c.Stop():
                self._deliveries.labels("stopped").inc()

    def middleware(self, app: ASGIApp) -> ASGIApp:
        """Return an application that times each request of another one."""

        async def timed(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] != ScopeType.HTTP:
                await app(scope, receive, send)
                return
            begun = time.perf_counter()
            code = "500"

            async def heard(message: Message) -> None:
                nonlocal code
                if message["type"] == "http.response.start":
                    code = str(message["status"])
                    route = _route(scope)
                    if not route.endswith(_HELD_OPEN):
                        self._requests.labels(route, code).observe(time.perf_counter() - begun)
                await send(message)

            await app(scope, receive, heard)

        return timed


_HELD_OPEN: Final = ("/poll",)


def _route(scope: Any) -> str:
    """The pattern of a route, never what a caller wrote in its place."""
    template = scope.get("path_template")
    return template if isinstance(template, str) and template else "none"


def _level(priority: int) -> str:
    return "low" if priority < 400 else "high" if priority > 600 else "normal"


def _clients(count: int) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily("aether_sse_clients", "Feeds that are open.", value=count)


def _fleet(broker: WorkerBroker) -> Iterator[Any]:
    from prometheus_client.core import GaugeMetricFamily

    waiting = GaugeMetricFamily("aether_tasks_waiting", "Attempts that wait for a worker.", labels=("pool", "reason"))
    running = GaugeMetricFamily("aether_tasks_running", "Attempts at workers.", labels=("pool",))
    workers = GaugeMetricFamily("aether_workers", "Workers with a session.", labels=("pool", "state"))
    slots = GaugeMetricFamily("aether_worker_slots", "Slots of workers.", labels=("pool", "kind", "state"))
    for pool in pools_of(broker):
        for reason, count in pool.reasons.items():
            waiting.add_metric((pool.name, reason), count)
        running.add_metric((pool.name,), pool.running)
        for state, count in pool.states.items():
            workers.add_metric((pool.name, state), count)
        for kind, slot in pool.slots.items():
            slots.add_metric((pool.name, kind, "used"), slot.used)
            slots.add_metric((pool.name, kind, "free"), slot.total - slot.used)
    yield from (waiting, running, workers, slots)
