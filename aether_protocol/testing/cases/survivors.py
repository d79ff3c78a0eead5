"""What outlives an engine that is lost in a case: the store, and the workers with what they were doing.

Law: a lost engine says nothing more, neither to the store nor to the workers. An attempt outlives it: dispatched once more
under the same number it continues, or gives the result that it gave before.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextvars import ContextVar
from typing import Literal, Protocol

from msgspec.structs import replace

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore
from aether_protocol.engine.dispatch.deliveries import EngineSite
from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import Stager
from aether_protocol.ports.broker import Broker, Holding, LogPart, ResultSink, Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import MEMORY, Store
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.gate import GatedStore, LossGate

Name = tuple[str, str, int]


class DurableStores(Protocol):
    """The durable store of one case, which engines open one after the other."""

    def open(self, tier: str) -> Store:
        """Open it for a new engine. It answers without waiting for the loop (`testing.blocking_store`)."""
        ...

    def close(self) -> None:
        """The case is over."""
        ...


class _SqliteInMemory:
    def __init__(self, now: Callable[[], int]) -> None:
        self._database = Database(":memory:", "normal", now=now)

    def open(self, tier: str) -> Store:
        return SqliteStore(self._database, tier)

    def close(self) -> None:
        self._database.close()


DURABLE: ContextVar[Callable[[Callable[[], int]], DurableStores]] = ContextVar("DURABLE", default=_SqliteInMemory)
"""What makes the durable store of a case, given its clock: SQLite in memory, or what a test of another adapter has set."""


class CaseStore:
    """The store of a case, as one engine after the other reaches it. `tier` says which; a durable one is made by DURABLE.
    `now` is its clock."""

    def __init__(self, tier: str, now: Callable[[], int]) -> None:
        self.tier = tier
        self._stores = None if tier == MEMORY else DURABLE.get()(now)

    def open(self, gate: LossGate) -> Store:
        """The store for a new engine."""
        if self._stores is None:
            return MemoryStore()
        return GatedStore(self._stores.open(self.tier), gate)

    def bare(self) -> Store:
        """The store without a gate, for the case itself. Only a durable one outlives an engine."""
        assert self._stores is not None
        return self._stores.open(self.tier)

    def close(self) -> None:
        if self._stores is not None:
            self._stores.close()


class SurvivingWorkers:
    """The local broker and what it knows beyond the life of an engine. It is the broker's `ResultSink`.

    An attempt is known here by its name without the epoch, so that a run that goes back finds what its tasks gave before.
    """

    def __init__(self, inner: LocalBroker) -> None:
        self.inner = inner
        self._refs: dict[Name, AttemptRef] = {}  # as the engine of today calls it
        self._begun: dict[Name, AttemptRef] = {}  # as the broker has it
        self._running: dict[Name, bool] = {}  # whether the start was confirmed
        self._results: dict[Name, TaskResult] = {}
        self._sides: dict[str, AttachedBroker] = {}  # the engine that each run was last driven by
        self.attached: list[AttachedBroker] = []
        inner.start(self)

    def attach(self, gate: LossGate) -> AttachedBroker:
        """The broker for a new engine."""
        side = AttachedBroker(self, gate)
        self.attached.append(side)
        return side

    async def keep_only(self, wanted: Collection[Name]) -> None:
        """Stop the attempts that no engine waits for any more: the order to do so may have been lost."""
        for name in [name for name in self._running if name not in wanted]:
            del self._running[name]
            await self.inner.stop([self._begun[name]])

    async def dispatch(self, assignments: Sequence[TaskAssignment], side: AttachedBroker) -> None:
        fresh: list[TaskAssignment] = []
        sink = side.sink
        for task in assignments:
            self._sides[task.run_id] = side
            name = name_of(task.ref)
            self._refs[name] = task.ref
            if name in self._results:
                sink.finished(replace(self._results[name], ref=task.ref))
            elif name in self._running:
                if self._running[name]:
                    sink.started(task.ref)
            else:
                self._begun[name] = task.ref
                self._running[name] = False
                fresh.append(task)
        await self.inner.dispatch(fresh)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        for name in map(name_of, refs):
            if self._running.pop(name, None) is not None:
                await self.inner.stop([self._begun[name]])

    # --- ResultSink ---

    def started(self, ref: AttemptRef) -> None:
        name = name_of(ref)
        if name in self._running:
            self._running[name] = True
        if (side := self._side(ref.run_id)) is not None:
            side.sink.started(self._refs[name])

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        name = name_of(result.ref)
        self._running.pop(name, None)
        self._results[name] = result
        if (side := self._side(result.ref.run_id)) is not None:
            side.sink.finished(replace(result, ref=self._refs[name]))

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        known = self._refs.get(name_of(ref))
        if known is not None and (side := self._side(ref.run_id)) is not None:
            side.sink.logged(known, stream, text, offset, part=part)

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        if (side := self._side(ref.run_id)) is not None:
            side.sink.heartbeat(self._refs[name_of(ref)], details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        self._running.pop(name_of(ref), None)
        if (side := self._side(ref.run_id)) is not None:
            side.sink.lost(self._refs[name_of(ref)], reason, blamed)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        if (side := self._side(ref.run_id)) is not None:
            side.sink.brought(self._refs[name_of(ref)], unwanted)

    def ready(self) -> None:
        for side in self.attached:
            if not side.gate.shut:
                side.sink.ready()

    def _side(self, run_id: str) -> AttachedBroker | None:
        """The engine that drives the run, unless it is lost."""
        side = self._sides.get(run_id)
        return None if side is None or side.gate.shut else side


class AttachedBroker:
    """The workers as one engine sees them. See `ports.broker.Broker`."""

    def __init__(self, workers: SurvivingWorkers, gate: LossGate) -> None:
        self._workers = workers
        self.gate = gate
        self.sink: ResultSink

    @property
    def busy(self) -> int:
        return self._workers.inner.busy

    async def quiet(self) -> None:
        await self._workers.inner.quiet()

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def room(self) -> int | None:
        """As many as come: workers that outlive their engine have answers to attempts that take no slot any more."""
        return None

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        if not self.gate.shut:
            await self._workers.dispatch(batch, self)
        return {}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if not self.gate.shut:
            await self._workers.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        """The workers go on."""

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return dict.fromkeys(refs, "lost")  # as the local broker of a new process does

    async def close(self) -> None:
        """The workers go on."""
        if self in self._workers.attached:
            self._workers.attached.remove(self)


class Sites:
    """Where the attempts of a case are carried out: by workers with slots, and by the engines themselves (RT-122). Both outlive
    a lost engine here, so that what an attempt gives is the same with and without a loss."""

    def __init__(
        self,
        executors: Sequence[Executor],
        clock: Clock,
        *,
        concurrency: int | None,
        stager: Stager | None,
        secrets: Sequence[SecretProvider],
    ) -> None:
        self._executors = {executor.type.name: executor for executor in executors}
        self._workers, self._own = (
            SurvivingWorkers(LocalBroker(self._executors, clock, concurrency=slots, stager=stager, secrets=secrets))
            for slots in (concurrency, None)
        )

    def attach(self, gate: LossGate) -> tuple[Broker, EngineSite]:
        """The broker and the own site of a new engine."""
        return self._workers.attach(gate), EngineSite(self._own.attach(gate), self._executors)

    async def keep_only(self, wanted: Collection[Name]) -> None:
        """Stop the attempts that are not wanted any more."""
        for workers in (self._workers, self._own):
            await workers.keep_only(wanted)

    async def close(self) -> None:
        """Stop all attempts."""
        for workers in (self._workers, self._own):
            await workers.inner.close()


def name_of(ref: AttemptRef) -> Name:
    """An attempt, whatever its epoch is."""
    return ref.run_id, ref.path, ref.attempt
