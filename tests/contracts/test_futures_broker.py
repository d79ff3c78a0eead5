"""The broker for executors of `concurrent.futures` keeps the contract of brokers, before an executor on virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Executor as Futures
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest

from aether_protocol.adapters.brokers.futures import FuturesBroker
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.broker import Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.wire import AttemptRef, TaskResult
from aether_protocol.ports.wire_json import decode_assignment, encode_result
from aether_protocol.testing.contracts.broker import BrokerContract
from aether_protocol.testing.contracts.live_broker import LiveBrokerContract
from aether_protocol.worker.hosted.host import Order

pytestmark = pytest.mark.rule("RT-116")

MANY = 100_000
TURNS = 10  # of the loop: more than a message between threads takes


class Call:
    """One call: an attempt in a local broker of its own, as in a child process; the sink of that, and an end of a link."""

    def __init__(self, pool: Pool, body: bytes, future: Future[bytes]) -> None:
        self.pool = pool
        self.order = msgspec.json.decode(body, type=Order)
        self.future = future
        self.broker = LocalBroker(pool.executors, pool.clock)
        self.hear: Callable[[dict[str, Any]], None] | None = None

    async def run(self) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        self.pool.calls.append(self)
        self.broker.start(self)
        self.hear = self.pool.links.linked(self.order.token, self)
        await self.broker.dispatch([decode_assignment(self.order.assignment)])

    def write(self, data: bytes) -> None:
        """The one order that there is."""
        self.pool.do(self.stop())

    def is_closing(self) -> bool:
        return self.future.done()

    async def stop(self) -> None:
        await self.broker.close()
        self.end({"end": "stopped"})

    def end(self, ended: dict[str, Any]) -> None:
        if not self.future.done():
            self.pool.calls.remove(self)
            self.future.set_result(msgspec.json.encode({"kept": [], **ended}))

    def say(self, news: dict[str, Any]) -> None:
        assert self.hear is not None
        self.hear(news)

    def started(self, ref: AttemptRef) -> None:
        self.say({"say": "started"})

    def logged(self, ref: AttemptRef, stream: Literal["stdout", "stderr"], text: str, offset: int | None = None) -> None:
        self.say({"say": "logged", "stream": stream, "text": text, "offset": offset})

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        self.say({"say": "progressed", "details": details})

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        self.end({"end": "died", "reason": reason})

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        self.end({"end": "finished", "result": encode_result(result)})

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        """Nothing here is brought along."""

    def ready(self) -> None:
        """One attempt at a time."""


class Pool(Futures):
    """See `concurrent.futures.Executor`: calls on the event loop of the test, as many as come."""

    def __init__(self, executors: Sequence[Executor], clock: Clock) -> None:
        self.executors = executors
        self.clock = clock
        self.calls: list[Call] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.links: Links

    def submit(self, call: Any, /, *given: Any, **named: Any) -> Future[Any]:
        future: Future[bytes] = Future()
        self.do(Call(self, given[0], future).run())
        return future

    def do(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    @property
    def busy(self) -> int:
        return len(self.tasks) + sum(one.broker.busy > 0 for one in self.calls)


class Links:
    """In place of a socket."""

    path = "nowhere"

    def __init__(self, linked: Callable[..., Any]) -> None:
        self.linked = linked

    async def open(self) -> None:
        """It is always there."""

    async def close(self) -> None:
        """Nothing is open."""


class Broker(FuturesBroker):
    """Its work in this process can be waited for."""

    pool: Pool

    @property
    def busy(self) -> int:
        return self.pool.busy

    async def quiet(self) -> None:
        while True:
            for _ in range(TURNS):
                await asyncio.sleep(0)
            if not self.pool.busy:
                return
            for one in list(self.pool.calls):
                await one.broker.quiet()


class TestFuturesBroker(BrokerContract):
    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> Broker:
        pool = Pool(executors, clock)
        broker = Broker(pool, concurrency=concurrency or MANY)
        pool.links = broker._links = Links(broker._linked)  # type: ignore[assignment]
        broker.pool = pool
        return broker


class ThreadSite:
    """See `contracts.live_broker.LiveSite`: a pool of threads, each of which waits for a child process."""

    limit = None

    def __init__(self, slots: int) -> None:
        self.pool = ThreadPoolExecutor(slots)

    async def connect(self) -> FuturesBroker:
        return FuturesBroker(self.pool, modules=["aether_protocol.testing.probe"])

    async def cut(self) -> None:
        """There is nothing between."""

    async def mend(self) -> None:
        """There is nothing between."""

    async def close(self) -> None:
        await asyncio.to_thread(self.pool.shutdown)


class TestFuturesBrokerLive(LiveBrokerContract):
    outlives = False

    async def make_site(self, folder: Path, slots: int) -> ThreadSite:
        return ThreadSite(slots)


def test_what_is_neither_an_executor_nor_makes_one_is_refused() -> None:
    with pytest.raises(UsageError, match=r"42 is not a concurrent\.futures\.Executor") as refused:
        FuturesBroker(42)  # type: ignore[arg-type]
    assert "ProcessPoolExecutor" in str(refused.value.hint)
