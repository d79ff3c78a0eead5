"""Measured stores and traced brokers keep the contracts of what they wrap; a meter sees every call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from aether_protocol import Engine, PortError
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.telemetry.measured import Measured
from aether_protocol.adapters.telemetry.traced import Traced
from aether_protocol.assembly import open_store
from aether_protocol.assembly.artifacts import artifacts_of
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.store import Store
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import BrokerContract, Ear, Tool, done, work
from aether_protocol.testing.contracts.store import StoreContract
from aether_protocol.testing.contracts.store.schedules import ScheduleContract
from aether_protocol.views.spans import attempt_context
from tests.unit.engine.plans import dag, plan, task

CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Notes:
    """A meter that keeps what it sees."""

    def __init__(self) -> None:
        self.measures: list[tuple[str, float, dict[str, str]]] = []
        self.appends: list[tuple[int, int]] = []

    def observe(self, name: str, seconds: float, labels: Mapping[str, str]) -> None:
        self.measures.append((name, seconds, dict(labels)))

    def appended(self, steps: int, fenced: int) -> None:
        self.appends.append((steps, fenced))


class TestMeasuredStore(StoreContract, ScheduleContract):
    def make(self) -> Store:
        return Measured(MemoryStore(now=self.now), Notes())


class TestTracedBroker(BrokerContract):
    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> Broker:
        return Traced(LocalBroker(executors, clock, concurrency=concurrency))


def test_a_run_is_measured_call_by_call(tmp_path: Path) -> None:
    notes = Notes()
    url = f"sqlite:{tmp_path / 'x.db'}?artifacts={tmp_path / 'kept'}"

    async def go() -> None:
        ticks = iter(range(10_000))
        store = open_store(url)
        measured = Measured(store, notes, now=lambda: float(next(ticks)))
        assert artifacts_of(measured).__dict__ == artifacts_of(store).__dict__, "it stands for the store"
        async with Engine(store=measured, lease_s=None) as engine:
            run = await engine.submit(plan(dag(task("a", "noop"))))
            assert (await client_of(engine).runs.wait(run)).phase == "Succeeded"

    asyncio.run(go())
    names = {name for name, _, _ in notes.measures}
    assert {"store.runs.create", "store.runs.append"} <= names
    assert all(seconds >= 1.0 and labels == {"outcome": "ok"} for _, seconds, labels in notes.measures)


def test_what_fails_is_told_as_such_and_raised() -> None:
    notes = Notes()

    class Away(LocalBroker):
        async def dispatch(self, batch: object) -> Mapping[object, str]:  # type: ignore[override]
            raise PortError("connection refused")

    async def go() -> None:
        store = MemoryStore()

        async def append(batch: object) -> None:
            raise PortError("the disk is full")

        store.runs.append = append  # type: ignore[method-assign,assignment]
        with pytest.raises(PortError, match="the disk is full"):
            await Measured(store, notes).runs.append([])
        broker = Traced(Away([Tool("any", "inline", done)], ManualClock(0)))
        broker.start(Ear())
        one, other = work(1, "any"), work(2, "any")
        one.trace_context = CALLER
        with pytest.raises(PortError, match="connection refused"):
            await broker.dispatch([one, other])
        above = TraceContext.read(CALLER)
        assert above is not None
        assert one.trace_context == str(attempt_context(above, one.ref)) != CALLER
        assert other.trace_context is None
        await broker.close()

    asyncio.run(go())
    assert [(name, labels["outcome"]) for name, _, labels in notes.measures] == [("store.runs.append", "PortError")]
