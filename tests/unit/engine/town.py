"""Engines that come and go around one SQLite file, on one virtual clock. An engine is killed by its store: the write that is
its last one is made or not, and nothing of what it still does reaches anybody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.echo import EchoExecutor
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.executors.wait import AwaitExecutor, SleepExecutor
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import AetherError
from aether_protocol.ports.executor import ExecutionContext, Executor, Mode
from aether_protocol.ports.store import STATE_ACTION_LOG, RunAppend, RunStore
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.scheduler.invariants import check
from aether_protocol.testing.clock import ManualClock, pass_time
from aether_protocol.testing.contracts.broker import Tool
from aether_protocol.testing.simulation.process import SkewedClock
from tests.unit.engine.world import Ids

Function = Callable[[TaskAssignment, ExecutionContext], Any]


class KillingRuns:
    """Runs of a store whose `last` append (counted over all engines of the town) kills: after it was written, or before."""

    def __init__(self, town: Cluster, runs: RunStore) -> None:
        self._town = town
        self._runs = runs

    def __getattr__(self, name: str) -> Any:
        return getattr(self._runs, name)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        town = self._town
        town.appends += 1
        dies = town.appends == town.last
        if not (dies and town.before):
            refused = await self._runs.append(batch)
            if not dies:
                return refused
        town.killed = True
        raise asyncio.CancelledError


class Cluster:
    """`tools` are executors besides the built-in ones. `last` and `before`: see KillingRuns."""

    def __init__(self, folder: Path, tools: Mapping[str, tuple[Mode, Function]] | None = None, **options: Any) -> None:
        self.path = str(folder / "town.db")
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.tools = dict(tools or {})
        self.tier: str = options.pop("tier", STATE_ACTION_LOG)
        self.last: int = options.pop("last", 0)
        self.before: bool = options.pop("before", False)
        self.lease_s: float | None = options.pop("lease_s", None)
        self.concurrency: int | None = options.pop("concurrency", None)
        self.secrets: Mapping[str, Mapping[str, str]] = options.pop("secrets", {})
        assert not options
        self.ids = Ids()
        self.appends = 0
        self.killed = False
        self.steps: list[Any] = []
        self.dispatched: list[tuple[str, int]] = []
        self.keys: dict[str, tuple[str, str | None]] = {}
        self.engines: list[RunEngine] = []
        self._brokers: list[LocalBroker] = []

    async def engine(self, owner: str = "town", ahead_us: int = 0) -> RunEngine:
        """Another engine, whose clock is so far ahead of the world's, which is the store's."""
        clock: Any = self.clock
        if ahead_us:
            clock = SkewedClock(self.clock)
            clock.offset = ahead_us
        made: list[Executor] = [Tool(name, mode, function) for name, (mode, function) in self.tools.items()]
        builtin: list[Executor] = [NoopExecutor(), EchoExecutor(), SleepExecutor(), AwaitExecutor()]
        providers = [MappingSecrets(dict(self.secrets))]
        broker = LocalBroker([*builtin, *made], self.clock, concurrency=self.concurrency, secrets=providers)
        given = broker.dispatch

        async def dispatch(assignments: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
            self.dispatched += [(one.path, one.attempt) for one in assignments]
            for one in assignments:  # a key means one thing, also where a run of tier snapshot went back
                assert self.keys.setdefault(one.idempotency_key, (one.path, one.hook)) == (one.path, one.hook)
            return await given(assignments)

        broker.dispatch = dispatch  # type: ignore[method-assign]
        store = open_sqlite(self.path, durability="normal", tier=self.tier, now=self.clock.wall)
        store.runs = KillingRuns(self, store.runs)  # type: ignore[assignment]
        engine = RunEngine(
            store=store,
            broker=broker,
            clock=clock,
            ids=self.ids,
            secrets=providers,
            observers=[lambda run_id, state, step: self.steps.append(step)],
            owner=owner,
            lease_s=self.lease_s,
        )
        await engine.__aenter__()
        self.engines.append(engine)
        self._brokers.append(broker)
        return engine

    async def kill(self, engine: RunEngine) -> None:
        """The engine's process is gone; its lease is not given back."""
        await engine._driver.halt()
        self.engines.remove(engine)
        self.killed = False

    async def pass_time(self, seconds: float | None = None) -> None:
        """Let everything happen until the clock stands at `seconds` after the beginning, or nothing is left to happen."""
        end = None if seconds is None else self.begin + round(seconds * 1_000_000)
        await pass_time(self.clock, *self.engines, until_us=end, stopped=lambda: self.killed)

    async def close(self) -> None:
        for engine in self.engines:
            for run_id in engine.run_ids:
                run = engine._run(run_id)
                if run.error is None:
                    check(run.state)
            await engine.close()
        for broker in self._brokers:
            await broker.close()


def run_on(town: Cluster, body: Callable[[Cluster], Coroutine[Any, Any, None]]) -> Cluster:
    """Run `body`; every law of the state holds at the end for every run that is not broken."""

    async def go() -> None:
        try:
            await body(town)
        finally:
            await town.close()

    asyncio.run(go())
    return town


def outcome(report: Any) -> Any:
    """What a run came to, without times."""
    told = report.to_json()
    tasks = [{key: value for key, value in task.items() if not key.endswith("At")} for task in told["tasks"]]
    hooks = sorted((hook["hook"], hook["phase"], hook["message"]) for hook in told["hooks"])
    return told["phase"], told["message"], told["outputs"], told["progress"], told["notRun"], told["warnings"], tasks, hooks
