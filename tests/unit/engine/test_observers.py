"""Callbacks of an embedding program: they see everything, and can neither steer nor break a run."""

from __future__ import annotations

import asyncio
import copy
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.echo import EchoExecutor
from aether_protocol.adapters.executors.wait import SleepExecutor
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.observers import OnError, OnEvent
from aether_protocol.errors import PortError
from aether_protocol.ports.executor import ExecutionContext
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock, SequentialIds, pass_time
from aether_protocol.testing.contracts.broker import Tool
from aether_protocol.testing.settling import parts_of
from tests.unit.engine.plans import dag, plan, task, value

Told = list[tuple[str, str | None, str | None, str, str]]


def writer(told: Told) -> OnError:
    def on_error(error: BaseException, *, run: str | None, task: str | None, operation: str, severity: str) -> None:
        told.append((type(error).__name__, run, task, operation, severity))

    return on_error


def engine_of(on_event: OnEvent | None, on_error: OnError, store: MemoryStore | None = None) -> RunEngine:
    clock = ManualClock()
    broker = LocalBroker([EchoExecutor()], clock)
    return RunEngine(
        store=store or MemoryStore(), broker=broker, clock=clock, ids=SequentialIds(7), on_event=on_event, on_error=on_error
    )


def test_events_come_as_stored_and_are_the_callers_to_change() -> None:
    async def go() -> None:
        told: Told = []
        seen: list[dict[str, Any]] = []

        def on_event(run: str, record: Any) -> None:
            seen.append(copy.deepcopy(dict(record)))
            for held in record.values():
                if isinstance(held, dict):
                    held.clear()
            record.clear()

        async with engine_of(on_event, writer(told)) as engine:
            run = await engine.submit(plan(dag(task("a", "echo", None, value("x", {"deep": [1]})))))
            report = await client_of(engine).runs.wait(run)
            live = [record async for record in client_of(engine).runs.events(run, follow=True)]
        assert report.tasks[1].outputs == {"x": {"deep": [1]}}
        assert seen == [dict(record) for record in live]
        assert told == []

    asyncio.run(go())


def test_a_callback_that_raises_breaks_nothing_and_is_told_of() -> None:
    async def go() -> None:
        told: Told = []

        def on_event(run: str, record: Any) -> None:
            raise KeyError("mine")

        async with engine_of(on_event, writer(told)) as engine:
            engine.observers.append(lambda run, state, step: [][0])
            run = await engine.submit(plan(dag(task("a", "echo"))))
            assert (await client_of(engine).runs.wait(run)).phase == "Succeeded"
        assert {one[0] for one in told} == {"KeyError", "IndexError"}
        assert {one[1:] for one in told} == {(run, None, "observe", "warning")}

    asyncio.run(go())


def test_what_ends_a_run_here_is_told_even_where_the_callback_raises() -> None:
    async def go() -> None:
        told: Told = []
        store = MemoryStore()

        async def fails(batch: Any) -> Any:
            raise PortError("the disk is full")

        def on_error(error: BaseException, *, run: str | None, task: str | None, operation: str, severity: str) -> None:
            told.append((type(error).__name__, run, task, operation, severity))
            raise RuntimeError("mine")

        async with engine_of(None, on_error, store) as engine:
            store.runs.append = fails  # type: ignore[method-assign]
            run = await engine.submit(plan(dag(task("a", "echo"))))
            with pytest.raises(PortError, match="disk is full"):
                await client_of(engine).runs.wait(run)
        assert told == [("PortError", run, None, "drive", "error")]

    asyncio.run(go())


def test_logs_that_are_not_stored_and_a_silent_store_are_reported(tmp_path: Path) -> None:
    """Each outage once, and neither is the end of a run."""
    away: set[str] = set()

    def cut(facet: Any, name: str, what: str) -> None:
        given = getattr(facet, name)

        async def call(*arguments: Any, **named: Any) -> Any:
            if what in away:
                raise PortError(f"{what} are away")
            return await given(*arguments, **named)

        setattr(facet, name, call)

    async def go() -> None:
        told: Told = []
        clock = ManualClock()
        store = open_sqlite(str(tmp_path / "x.db"), durability="normal", now=clock.wall)
        cut(store.logs, "write", "logs")
        cut(store.mailbox, "requests", "requests")

        def chat(one: TaskAssignment, context: ExecutionContext) -> TaskResult:
            context.log("hello\n")
            return one.succeed()

        broker = LocalBroker([Tool("chat", "inline", chat), SleepExecutor()], clock)
        engine = RunEngine(store=store, broker=broker, clock=clock, ids=SequentialIds(), on_error=writer(told))
        async with engine:
            away.update(("logs", "requests"))
            run = await engine.submit(plan(dag(task("a", "chat"), task("b", "sleep", {"duration": "10m"}))))
            begin = clock.now()
            await pass_time(clock, *parts_of(engine), until_us=begin + 60_000_000)
            assert told == [
                ("PortError", run, None, "logs", "warning"),
                ("PortError", None, None, "store", "warning"),
            ] or told == [("PortError", None, None, "store", "warning"), ("PortError", run, None, "logs", "warning")]
            away.clear()
            await pass_time(clock, *parts_of(engine), until_us=begin + 120_000_000)
            away.add("requests")
            await pass_time(clock, *parts_of(engine), until_us=begin + 180_000_000)
            assert told[2:] == [("PortError", None, None, "store", "warning")]
            away.clear()
            await pass_time(clock, *parts_of(engine))
            assert (await client_of(engine).runs.wait(run)).phase == "Succeeded"

    asyncio.run(go())
