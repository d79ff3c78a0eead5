"""A durable store without a disk, for several engines at once; and the door through which a process that fails reaches one.

Law: `SharedStore` keeps text (and rows, which nobody changes): what an engine gets, it decodes, and nothing is shared by
reference. `SqliteHouse` is the SQLite adapter itself. `GatedStore` hands every call to the process that it belongs to; it knows
no particular store.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Protocol

from msgspec.structs import replace

from aether_protocol.adapters.stores.memory.parts import MemoryDocuments, MemoryLeases, MemoryLogs, MemoryMailbox, MemoryOwners
from aether_protocol.adapters.stores.memory.schedules import MemorySchedules
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.store import SqliteStore
from aether_protocol.errors import AetherError, BrokenInvariant, BusyError, UsageError
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.ports.schedules import CronStore
from aether_protocol.ports.store import (
    SNAPSHOT,
    STATE_ACTION_LOG,
    NewRun,
    RunAppend,
    RunQuery,
    RunSummary,
    StoredRun,
    StoreInfo,
)
from aether_protocol.scheduler.codec import decode_header, encode_entry, encode_header


class _Kept:
    """One run as text. `seq` is what the next append must follow; `at` the number of the snapshot, 0 for none."""

    __slots__ = ("artifacts", "at", "header", "lines", "plan", "row", "seq", "snapshot", "writer")

    def __init__(self, row: RunSummary, plan: str, header: str) -> None:
        self.row = row
        self.plan = plan
        self.header = header
        self.seq = row.seq
        self.lines: list[str] = []
        self.snapshot: str | None = None
        self.at = 0
        self.writer = 0
        self.artifacts: set[str] = set()


class SharedStore(MemoryOwners, MemoryMailbox, MemoryLogs, MemoryDocuments, MemorySchedules):
    """See `ports.store.Store`. `every`: steps between two snapshots. On tier `snapshot` no steps are kept: who takes a run
    over goes on from its last snapshot."""

    durable = True

    def __init__(self, tier: str = STATE_ACTION_LOG, *, every: int = 20) -> None:
        self.tier = tier
        self._every = every
        self._runs: dict[str, _Kept] = {}
        self._leases = MemoryLeases()
        MemoryMailbox.__init__(self, self._leases, self._runs)
        MemoryLogs.__init__(self, self._runs)
        MemoryDocuments.__init__(self)
        MemorySchedules.__init__(self, self)

    # --- runs ---

    async def create(self, run: NewRun) -> int:
        run_id = run.row.run_id
        if run_id in self._runs:
            raise UsageError(f"run {run_id!r} exists already")
        row = replace(run.row, tier=self.tier)
        kept = self._runs[run_id] = _Kept(row, encode_plan(run.plan), encode_header(run.header))
        kept.artifacts.update(run.artifacts)
        return 0 if run.owner is None else self._leases.take(run_id, run.owner, run.until, run.length_us)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        refused: dict[str, AetherError] = {}
        for part in batch:
            kept = self._runs.get(part.run_id)
            if kept is None:
                refused[part.run_id] = UsageError(f"run {part.run_id!r} is unknown")
            elif self._leases.tokens.get(part.run_id, 0) != part.token:
                refused[part.run_id] = BusyError(f"run {part.run_id!r} was taken over by another owner")
            elif self._expected(kept, part.token) != part.expected_seq:
                refused[part.run_id] = BusyError(f"run {part.run_id!r} is at step {kept.seq}, not {part.expected_seq}")
            else:
                self._append(kept, part)
        return refused

    def _expected(self, kept: _Kept, token: int) -> int:
        if self.tier == SNAPSHOT and token != kept.writer:
            return kept.at
        return kept.seq

    def _append(self, kept: _Kept, part: RunAppend) -> None:
        kept.writer = part.token
        kept.artifacts.update(part.artifacts)
        kept.seq = part.steps[-1].seq
        if self.tier == STATE_ACTION_LOG:
            kept.lines += [encode_entry(step) for step in part.steps]
            row = self._row(part)
            if part.progress is not None and row != replace(kept.row, seq=row.seq, leaves_ended=part.progress):
                raise BrokenInvariant(f"more than progress was made: {row} after {kept.row}")
            kept.row = row
        if part.closed or kept.seq - kept.at >= self._every:
            kept.snapshot, kept.at = part.snapshot(), kept.seq
            kept.row = self._row(part)

    def _row(self, part: RunAppend) -> RunSummary:
        row = part.row()
        row.tier = self.tier
        return row

    async def load(self, run_id: str) -> StoredRun:
        kept = self._run(run_id)
        header = decode_header(kept.header)
        return StoredRun(kept.row, decode_plan(kept.plan), header, kept.snapshot, kept.lines[kept.at :])

    async def row(self, run_id: str) -> RunSummary | None:
        kept = self._runs.get(run_id)
        return None if kept is None else replace(kept.row, broken=self._leases.broken.get(run_id))

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        found = [await self.row(run_id) for run_id in self._runs]
        rows = [row for row in found if row is not None and query.closed in (None, row.closed)]
        rows.sort(key=lambda row: (row.created_at, row.run_id), reverse=True)
        return rows[: query.limit]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        return list(enumerate(self._run(run_id).lines, 1))[after : after + limit]

    async def adopt(self, run: StoredRun) -> None:
        await self.create(NewRun(run.row, run.plan, run.header, artifacts=run.artifacts))
        kept = self._runs[run.row.run_id]
        kept.lines, kept.snapshot = list(run.lines), run.snapshot
        kept.at = run.row.seq - len(run.lines)

    async def delete(self, run_ids: Sequence[str], now: int) -> int:
        there = [run_id for run_id in dict.fromkeys(run_ids) if run_id in self._runs]
        for run_id in there:
            if not self._runs[run_id].row.closed and self._leases.held(run_id, now):
                raise BusyError(f"run {run_id!r} is being driven")
        for run_id in there:
            del self._runs[run_id]
            self._leases.forget(run_id)
            self.forget_requests(run_id)
            self.forget_logs(run_id)
        return len(there)

    # --- leases ---

    async def claim(self, run_ids: Sequence[str] | None, owner: str, now: int, until: int) -> list[tuple[str, int]]:
        wanted = list(self._runs) if run_ids is None else [run_id for run_id in run_ids if run_id in self._runs]
        free = [run_id for run_id in wanted if not self._runs[run_id].row.closed and self._leases.may(run_id, owner, now)]
        return [(run_id, self._leases.take(run_id, owner, until, until - now)) for run_id in free]

    # --- upkeep ---

    async def info(self) -> StoreInfo:
        open_runs = sum(not kept.row.closed for kept in self._runs.values())
        return StoreInfo(0, len(self._runs), open_runs, len(self.text()), {"adapter": "shared"})

    async def check(self) -> list[str]:
        return []

    async def vacuum(self) -> None:
        return None

    async def migrate(self) -> tuple[int, int]:
        return (0, 0)

    async def artifacts(self) -> Mapping[str, str]:
        return {digest: run_id for run_id, kept in self._runs.items() for digest in kept.artifacts}

    async def close(self) -> None:
        """What is kept stays: others may go on with it."""

    def opened(self) -> SharedStore:
        return self

    def is_closed(self, run_id: str) -> bool:
        return run_id in self._runs and self._runs[run_id].row.closed

    def open_runs(self) -> list[str]:
        return [run_id for run_id, kept in self._runs.items() if not kept.row.closed]

    def dispose(self) -> None:
        """Memory goes by itself."""

    def text(self) -> str:
        parts = [str(log) for run in self._logs.values() for held in run.values() for log in held.lines]
        for kept in self._runs.values():
            parts += [kept.plan, kept.header, str(kept.row), kept.snapshot or "", *kept.lines]
        return "\n".join([*parts, str(self._requests), str(self._answers)])

    def _run(self, run_id: str) -> _Kept:
        kept = self._runs.get(run_id)
        if kept is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return kept


class SimStore(CronStore, Protocol):
    """A store as the world has it: nothing that it does with it ever fails."""

    def opened(self) -> CronStore:
        """The store for another process."""
        ...

    def is_closed(self, run_id: str) -> bool:
        """Whether there is such a run, and it is closed."""
        ...

    def open_runs(self) -> list[str]:
        """The runs that are not closed."""
        ...

    def text(self) -> str:
        """Everything that is kept, to search in."""
        ...

    def dispose(self) -> None:
        """The world is over."""
        ...


class SqliteHouse(SqliteStore):
    """SQLite in memory; each process has the adapter with what it remembers for itself. `every`: steps between snapshots."""

    def __init__(self, tier: str, *, every: int = 20, database: Database | None = None) -> None:
        super().__init__(database or Database(":memory:", "normal"), tier)
        self.snapshot_steps = every

    def opened(self) -> SqliteHouse:
        return SqliteHouse(self.tier, every=self.snapshot_steps, database=self._db)

    async def close(self) -> None:
        """What is kept stays: others may go on with it."""

    def is_closed(self, run_id: str) -> bool:
        found = self._db.execute("SELECT closed FROM runs WHERE run_id = ?", (run_id,)).fetchone()
        return found is not None and found[0] == 1

    def open_runs(self) -> list[str]:
        return [run_id for (run_id,) in self._db.execute("SELECT run_id FROM runs WHERE closed = 0")]

    def dispose(self) -> None:
        self._db.close()

    def text(self) -> str:
        return "\n".join(self._db.connection.iterdump())


class Gate(Protocol):
    """Who says what becomes of a call."""

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any: ...


class GatedStore:
    """A store as one process reaches it: every call of `inner` goes through `gate`."""

    def __init__(self, inner: Any, gate: Gate) -> None:
        self._inner = inner
        self._gate = gate

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found

        def call(*arguments: Any, **named: Any) -> Awaitable[Any]:
            return self._gate.call(name, lambda: found(*arguments, **named), arguments)

        return call
