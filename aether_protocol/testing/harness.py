"""Engines on virtual time: one in a world of its own, or several that come and go around one store.

Law: an engine is lost at a call of its store, at the write that the test names or when the test says so; what it still does
reaches nothing. Every run that is not broken satisfies the invariants of the scheduler at the end of a test.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.echo import EchoExecutor
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.executors.wait import AwaitExecutor, SleepExecutor
from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.assembly.documents import load_plan
from aether_protocol.assembly.workspace import Readable
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import AetherError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import ExecutionContext, Executor, Mode
from aether_protocol.ports.store import STATE_ACTION_LOG, Store
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.testing.clock import ManualClock, SequentialIds, SkewedClock, pass_time
from aether_protocol.testing.contracts.broker import Tool
from aether_protocol.testing.gate import GatedStore, LossGate
from aether_protocol.testing.settling import parts_of, settled

Function = Callable[[TaskAssignment, ExecutionContext], Any]
Functions = Mapping[str, tuple[Mode, Function]]
Secrets = Mapping[str, Mapping[str, str]]
SEED: Final = 7
SECOND: Final = 1_000_000

_H = TypeVar("_H", bound="_Harness")


class _Harness:
    """What both kinds have in common: a clock, ids, executors, and a record of what the engines did.

    `steps` are the log entries as they were stored; `dispatched` what was dispatched, as (path, attempt).
    """

    def __init__(
        self,
        functions: Functions | None,
        *,
        secrets: Secrets | None,
        concurrency: int | None,
        stager: Any = None,
        broker: type[LocalBroker] = LocalBroker,
    ) -> None:
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.ids = SequentialIds(SEED)
        self.steps: list[Any] = []
        self.logs: list[tuple[str, str, str]] = []
        self.dispatched: list[tuple[str, int]] = []
        self._functions = dict(functions or {})
        self._secrets = [MappingSecrets(dict(secrets or {}))]
        self._concurrency = concurrency
        self._stager = stager
        self._broker_class = broker

    def compile(self, document: Readable) -> Plan:
        """Compile a document whose tasks may name the functions of this harness as executor types."""
        return load_plan(document, types={one.type.name: one.type for one in (*self._builtin(), *self._made())})

    def _made(self) -> list[Executor]:
        return [Tool(name, mode, call) for name, (mode, call) in self._functions.items()]

    def _builtin(self) -> list[Executor]:
        return [NoopExecutor(), EchoExecutor(), SleepExecutor(), AwaitExecutor()]

    def _make_broker(self) -> LocalBroker:
        executors = [*self._builtin(), *self._made()]
        return self._broker_class(
            executors, self.clock, concurrency=self._concurrency, stager=self._stager, secrets=self._secrets
        )

    def _make_engine(self, store: Store, broker: Any, clock: Clock, **options: Any) -> RunEngine:
        return RunEngine(
            store=store,
            broker=broker,
            clock=clock,
            ids=self.ids,
            secrets=self._secrets,
            observers=[lambda run_id, state, step: self.steps.append(step)],
            log_observers=[lambda record: self.logs.append((record.path, record.stream, record.text))],
            **options,
        )

    def at(self, seconds: float) -> int:
        """The instant so many seconds after the beginning."""
        return self.begin + round(seconds * SECOND)

    def elapsed(self) -> float:
        """Virtual seconds since the beginning."""
        return (self.clock.now() - self.begin) / SECOND

    async def open(self) -> None:
        """Before the body of a test."""

    async def finish(self) -> None:
        """After the body of a test that did not raise."""

    async def close(self) -> None:
        """In any case."""


class EngineWorld(_Harness):
    """One engine with its broker.

    Args:
        functions: executors made of functions, (mode, function) by type, besides `noop`, `echo`, `sleep` and `await`.
        secrets: texts by name and key.
        store: by default one in memory.
        concurrency: how many attempts run at once; None: no limit.
        stager: what lays down and keeps artifacts.
        variables: sources of variables.
        broker: the class of local broker that carries the tasks out.
    """

    def __init__(
        self,
        functions: Functions | None = None,
        *,
        secrets: Secrets | None = None,
        store: Store | None = None,
        concurrency: int | None = None,
        stager: Any = None,
        variables: Sequence[Any] = (),
        broker: type[LocalBroker] = LocalBroker,
    ) -> None:
        super().__init__(functions, secrets=secrets, concurrency=concurrency, stager=stager, broker=broker)
        self.broker = self._make_broker()
        self.engine = self._make_engine(store or MemoryStore(), self.broker, self.clock, variables=variables)

    async def pass_time(self, seconds: float | None = None) -> None:
        """Let everything happen until `seconds` after the beginning, or until nothing is left to happen."""
        await pass_time(self.clock, *parts_of(self.engine), until_us=None if seconds is None else self.at(seconds))

    async def open(self) -> None:
        """Start the engine."""
        await self.engine.__aenter__()

    async def finish(self) -> None:
        """Wait until the engine has come to rest, and check the states of its runs."""
        await settled(self.engine)
        check_states(self.engine)

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()


class Cluster(_Harness):
    """Engines around one SQLite file.

    Args:
        folder: where the file lies.
        functions: executors made of functions, (mode, function) by type, besides `noop`, `echo`, `sleep` and `await`.
        tier: how much of a run is stored.
        lease_s: the length of the leases that engines hold; None: without an end.
        concurrency: how many attempts run at once in each engine; None: no limit.
        secrets: texts by name and key.
        kill_at: the engine that makes this append of steps, counted over all engines from 1, is lost. 0: none is.
        kill_before: it is lost before that append is stored; else afterwards, before anything of it goes out.
        passivate_after_s: how long a run only waits before it is passivated.
    """

    def __init__(
        self,
        folder: Path,
        functions: Functions | None = None,
        *,
        tier: str = STATE_ACTION_LOG,
        lease_s: float | None = None,
        concurrency: int | None = None,
        secrets: Secrets | None = None,
        kill_at: int = 0,
        kill_before: bool = False,
        passivate_after_s: float | None = None,
    ) -> None:
        super().__init__(functions, secrets=secrets, concurrency=concurrency)
        self.path = str(folder / "cluster.db")
        self.lease_s = lease_s
        self.engines: list[RunEngine] = []
        self.appends = 0
        self._tier = tier
        self._kill_at = kill_at
        self._kill_before = kill_before
        self.passivate_after_s = passivate_after_s
        self._processes: dict[RunEngine, tuple[LossGate, LocalBroker]] = {}
        self._keys: dict[str, tuple[str, str | None]] = {}

    async def start(self, owner: str = "engine", ahead_us: int = 0) -> RunEngine:
        """Start another engine, whose clock is so far ahead of the store's."""
        gate, broker = LossGate(self._fatal), self._make_broker()
        store = GatedStore(open_sqlite(self.path, durability="normal", tier=self._tier, now=self.clock.wall), gate)
        clock = SkewedClock(self.clock, ahead_us) if ahead_us else self.clock
        process = _ProcessBroker(broker, gate, self._dispatched)
        engine = self._make_engine(
            store, process, clock, owner=owner, lease_s=self.lease_s, passivate_after_s=self.passivate_after_s
        )
        self._processes[engine] = gate, broker
        await engine.__aenter__()
        self.engines.append(engine)
        return engine

    async def kill(self, engine: RunEngine) -> None:
        """End the engine's process: neither its store nor its workers hear of it again; its lease is not released."""
        self._processes[engine][0].shut = True
        await self.stop(engine)

    async def stop(self, engine: RunEngine) -> None:
        """Close the engine in order."""
        self.engines.remove(engine)
        _, broker = self._processes.pop(engine)
        await broker.close()
        await engine.close()

    @property
    def lost(self) -> bool:
        """Whether an engine was lost at `kill_at`, and not cleared away by `kill` yet."""
        return any(gate.shut for gate, _ in self._processes.values())

    async def pass_time(self, seconds: float | None = None) -> None:
        """Let everything happen until `seconds` after the beginning, nothing is left to happen, or an engine was lost."""
        end = None if seconds is None else self.at(seconds)
        await pass_time(self.clock, *parts_of(*self.engines), until_us=end, stopped=lambda: self.lost)

    async def finish(self) -> None:
        """Check the states of all runs."""
        for engine in self.engines:
            check_states(engine)

    async def close(self) -> None:
        """Close the engines that are left."""
        for engine in list(self.engines):
            await self.stop(engine)

    def _fatal(self, name: str, arguments: tuple[Any, ...]) -> Literal["before", "after"] | None:
        if name != "runs.append":
            return None
        self.appends += 1
        if self.appends != self._kill_at:
            return None
        return "before" if self._kill_before else "after"

    def _dispatched(self, batch: Sequence[TaskAssignment]) -> None:
        self.dispatched += [(one.path, one.attempt) for one in batch]
        for one in batch:  # a key means one thing, also where a run of tier snapshot went back
            assert self._keys.setdefault(one.idempotency_key, (one.path, one.hook)) == (one.path, one.hook)


class _ProcessBroker:
    """The local broker of one process. A lost engine reaches it no more. See `ports.broker.Broker`."""

    def __init__(self, inner: LocalBroker, gate: LossGate, dispatched: Callable[[Sequence[TaskAssignment]], None]) -> None:
        self._inner = inner
        self._gate = gate
        self._dispatched = dispatched

    @property
    def busy(self) -> int:
        return self._inner.busy

    async def quiet(self) -> None:
        await self._inner.quiet()

    def start(self, sink: ResultSink) -> None:
        self._inner.start(sink)

    def room(self) -> int | None:
        return self._inner.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        if self._gate.shut:
            return {}
        self._dispatched(batch)
        return await self._inner.dispatch(batch)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if not self._gate.shut:
            await self._inner.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        if not self._gate.shut:
            await self._inner.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return await self._inner.held(refs)

    async def close(self) -> None:
        await self._inner.close()


def check_states(engine: RunEngine) -> None:
    """Raise BrokenInvariant where a run that this engine drives breaks an invariant of its state."""
    for run_id in engine.driven.ids:
        try:
            state = engine.driven.state(run_id)
        except AetherError:  # it is broken, which is for the test to judge
            continue
        check(state)


def run_on(harness: _H, body: Callable[[_H], Coroutine[Any, Any, None]]) -> _H:
    """Run `body` on virtual time, check the states of all runs, and close the engines. Gives `harness` again."""

    async def go() -> None:
        await harness.open()
        try:
            await body(harness)
            await harness.finish()
        finally:
            await harness.close()

    asyncio.run(go())
    return harness


def succeed(task: TaskAssignment, context: object = None, **outputs: Any) -> TaskResult:
    """A success with these outputs, as an executor's function."""
    return TaskResult(task.ref, 0, "", outputs)
