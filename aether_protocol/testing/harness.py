"""What a case keeps when its engine is lost: the store, and the workers with what they were doing.

Law: a lost engine says nothing more, neither to the store nor to the workers. An attempt outlives it: handed over once more
under the same number it goes on, or gives the result that it gave before.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, Final, Literal, cast

from msgspec.structs import replace

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore
from aether_protocol.errors import PortError
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.schedules import CronStore
from aether_protocol.ports.store import MEMORY, SNAPSHOT
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.testing.simulation.store import GatedStore

_LAST_WORDS: Final = frozenset({"release", "unlock", "close", "write_logs", "answered"})  # of an engine that is closed

Key = tuple[Any, ...]


class StoredLibrary:
    """The store of a case, as one engine after the other reaches it. `tier` says which; a durable one is SQLite in memory."""

    def __init__(self, tier: str) -> None:
        self.tier = tier
        self._database = None if tier == MEMORY else Database(":memory:", "normal")

    def open(self, door: Door) -> CronStore:
        """The store for a new engine."""
        if self._database is None:
            return MemoryStore()
        return cast(CronStore, GatedStore(SqliteStore(self._database, self.tier), door))

    def bare(self) -> CronStore:
        """The store for somebody who is never lost. Only a durable one outlives an engine."""
        assert self._database is not None
        return SqliteStore(self._database, self.tier)

    def close(self) -> None:
        if self._database is not None:
            self._database.close()


class Door:
    """Between one engine and the rest of the world. `lose_after`: the engine is lost as soon as that many writes of steps
    are stored, before anything of the last one goes out. `shut`: it is lost."""

    def __init__(self, lose_after: int | None) -> None:
        self.shut = False
        self._left = lose_after

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if self.shut or name == "close":
            if name in _LAST_WORDS:
                return None
            raise PortError("the engine was lost")
        given = await call()
        if self._left is not None and _counts(name, arguments):
            self._left -= 1
            self.shut = self._left == 0
        return given


def _counts(name: str, arguments: tuple[Any, ...]) -> bool:
    """Whether this was a write after which something is still to be done."""
    return name == "turn" or (name == "append" and not any(part.closed for part in arguments[0]))


class Workers:
    """The local broker and what it knows beyond the life of an engine. It is the broker's `ResultSink`."""

    def __init__(self, inner: LocalBroker, tier: str) -> None:
        self.inner = inner
        # On tier snapshot a run goes back, and its tasks may get other numbers when they are made again.
        self._name = _by_path if tier == SNAPSHOT else _by_number
        self._names: dict[tuple[str, int, int], Key] = {}
        self._nodes: dict[Key, tuple[str, int, int]] = {}  # what the engine of today calls it
        self._epochs: dict[Key, int] = {}
        self._running: dict[Key, bool] = {}  # whether the start was confirmed
        self._results: dict[Key, TaskResult] = {}
        self._sides: dict[str, Side] = {}  # the engine that each run was last driven by
        inner.start(self)

    def attach(self, door: Door) -> Side:
        """The broker for a new engine."""
        return Side(self, door)

    def keep_only(self, wanted: Collection[tuple[str, int, int]]) -> None:
        """Stop what nobody waits for any more: the order to do so may have been lost."""
        for name in [name for name in self._running if self._nodes[name] not in wanted]:
            del self._running[name]
            self.inner.stop(*next(key for key, known in self._names.items() if known == name))

    def dispatch(self, assignments: Sequence[TaskAssignment], side: Side) -> None:
        fresh: list[TaskAssignment] = []
        sink = side.sink
        for task in assignments:
            self._sides[task.run_id] = side
            name, key = self._name(task), (task.run_id, task.node, task.attempt)
            self._nodes[name] = key
            self._epochs[name] = task.header.epoch
            if name in self._results:
                sink.finished(self._renamed(name))
            elif name in self._running:
                if self._running[name]:
                    sink.started(*key)
            else:
                self._names[key] = name
                self._running[name] = False
                fresh.append(task)
        self.inner.dispatch(fresh)

    def stop(self, key: tuple[str, int, int]) -> None:
        for name in [name for name, node in self._nodes.items() if node == key]:
            self._running.pop(name, None)
            for old in [old for old, known in self._names.items() if known == name]:
                self.inner.stop(*old)

    # --- ResultSink ---

    def started(self, run_id: str, node: int, attempt: int) -> None:
        name = self._names[run_id, node, attempt]
        if name in self._running:
            self._running[name] = True
        if (side := self._side(run_id)) is not None:
            side.sink.started(*self._nodes[name])

    def finished(self, result: TaskResult) -> None:
        name = self._names[result.run_id, result.node, result.attempt]
        self._running.pop(name, None)
        self._results[name] = result
        if (side := self._side(result.run_id)) is not None:
            side.sink.finished(self._renamed(name))

    def logged(self, run_id: str, node: int, attempt: int, stream: Literal["stdout", "stderr"], text: str) -> None:
        name = self._names.get((run_id, node, attempt))
        if name is not None and (side := self._side(run_id)) is not None:
            side.sink.logged(*self._nodes[name], stream, text)

    def failed(self, error: BaseException, run_id: str | None = None) -> None:
        for side in set(self._sides.values()) if run_id is None else filter(None, [self._side(run_id)]):
            side.sink.failed(error, run_id)

    def _renamed(self, name: Key) -> TaskResult:
        """A result as the engine of today knows its attempt."""
        return replace(self._results[name], node=self._nodes[name][1], epoch=self._epochs[name])

    def _side(self, run_id: str) -> Side | None:
        """The engine that drives the run, unless it is lost."""
        side = self._sides.get(run_id)
        return None if side is None or side.door.shut else side


class Side:
    """The workers as one engine sees them. See `ports.broker.Broker`."""

    def __init__(self, workers: Workers, door: Door) -> None:
        self._workers = workers
        self.door = door
        self.sink: ResultSink

    @property
    def busy(self) -> int:
        return self._workers.inner.busy

    async def quiet(self) -> None:
        await self._workers.inner.quiet()

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def dispatch(self, assignments: Sequence[TaskAssignment]) -> None:
        if not self.door.shut:
            self._workers.dispatch(assignments, self)

    def stop(self, run_id: str, node: int, attempt: int) -> None:
        if not self.door.shut:
            self._workers.stop((run_id, node, attempt))

    async def close(self) -> None:
        """The workers go on."""


def _by_number(task: TaskAssignment) -> Key:
    return task.run_id, task.node, task.attempt


def _by_path(task: TaskAssignment) -> Key:
    if task.hook is not None:
        return _by_number(task)
    return task.run_id, task.path, task.attempt
