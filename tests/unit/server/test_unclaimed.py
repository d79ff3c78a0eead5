"""What workers carry out that no engine of this server gave them: the store is asked for it once per run and lease."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from typing import cast

import pytest

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.engine.dispatch.late_results import LateResults
from aether_protocol.errors import PortError
from aether_protocol.fleet.events import Holding
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.store import Store
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.ports.worker import BeatMessage, ExecutorOffer, Hello
from aether_protocol.testing.clock import ManualClock

pytestmark = pytest.mark.rule("RT-48")


class Desk:
    """See `ports.broker.ResultSink`: wants all that is brought."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.asked: list[tuple[int, str]] = []

    def brought(self, ref: AttemptRef, unwanted: Callable[[], None]) -> None:
        self.asked.append((self.clock.now(), ref.path))


def test_what_is_unclaimed_is_asked_for_once_in_a_lease() -> None:
    clock = ManualClock()
    desk = Desk(clock)
    broker = WorkerBroker(clock, b"k" * 32)
    broker.start(cast("ResultSink", desk))
    refs = [AttemptRef("r", path, 1, 0) for path in ("main.a", "main.b")]
    tokens = [broker.tokens.make(Holding(number, ref)) for number, ref in enumerate(refs, 1)]
    offers = [ExecutorOffer(name="script")]
    hello = Hello(worker="w", protocols=[1], executors=offers, slots={"tasks": 2}, holding=tokens)
    session = broker.hello(hello).session
    for _ in range(40):
        clock.advance(clock.now() + 5_000_000)
        while clock.fire():
            pass
        broker.beat(session, BeatMessage(poll=0, holding=tokens))
    assert len(desk.asked) > 6
    for path in ("main.a", "main.b"):
        times = [at for at, asked in desk.asked if asked == path]
        assert all(later - at >= broker.settings.lease for at, later in pairwise(times))


class Counting:
    """A store that says how often it was asked; it has no run, or cannot say."""

    durable = True

    def __init__(self) -> None:
        self.fault: Exception | None = None
        self.asked: list[str] = []
        self.runs = self

    async def row(self, run_id: str) -> None:
        self.asked.append(run_id)
        await asyncio.sleep(0)
        if self.fault is not None:
            raise self.fault


@pytest.mark.parametrize("fault", [PortError("away"), ValueError("damaged")])
def test_a_run_is_looked_up_once_for_all_that_comes_meanwhile(fault: Exception) -> None:
    async def go() -> None:
        store = Counting()
        late, seen = LateResults(cast("Store", store)), list[str]()

        async def take(*runs: str) -> None:
            for run in runs:
                late.take(run, partial(seen.append, run))
            for _ in range(5):
                await asyncio.sleep(0)

        store.fault = fault
        await take("a", "a")
        assert (store.asked, seen) == (["a"], []), "it is left, and comes again"
        store.fault = None
        await take("a", "a", "b")
        assert store.asked == ["a", "a", "b"]
        assert len(seen) == 3

    asyncio.run(go())
