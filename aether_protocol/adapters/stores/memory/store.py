"""The memory store: remembers which runs there are and how far they are, and the steps of small runs.

Law: what is kept is bounded: all steps of a run, for those who look back, until there are KEEP_FACTS facts; from then on
none of it (a long run is watched while it goes, and pays nothing for the past). Nothing survives the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from aether_protocol.adapters.stores.memory.parts import MemoryDocuments, MemoryLeases, MemoryLogs, MemoryMailbox, MemoryOwners
from aether_protocol.adapters.stores.memory.schedules import MemorySchedules
from aether_protocol.errors import AetherError, BusyError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import MEMORY, NewRun, RunAppend, RunQuery, RunSummary, StoredRun, StoreInfo
from aether_protocol.scheduler.codec import encode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader

KEEP_FACTS: Final = 10_000  # of a run
KEEP_RUNS: Final = 1_000  # runs whose steps are kept; of older ones only how far they are

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})


class _Past:
    """How far a run is; its steps while they are few, then None. `open_row` makes the row of a run that goes on."""

    __slots__ = ("adopted", "artifacts", "closed", "facts", "header", "open_row", "plan", "row", "seq", "snapshot", "steps")

    def __init__(self, row: RunSummary, plan: Plan, header: RunHeader) -> None:
        self.seq = row.seq
        self.closed = row.closed
        self.row = row
        self.open_row: Callable[[], RunSummary] | None = None
        self.plan = plan
        self.header = header
        self.facts = 0
        self.steps: list[LogEntry] | None = []
        self.snapshot: str | None = None
        self.adopted: list[str] = []  # steps that came encoded
        self.artifacts: set[str] = set()

    def now(self) -> RunSummary:
        return self.open_row() if self.open_row is not None else self.row

    def drop(self) -> None:
        self.steps = None
        self.snapshot = None
        self.adopted = []


class MemoryStore(MemoryOwners, MemoryMailbox, MemoryLogs, MemoryDocuments, MemorySchedules):
    """See `ports.store.Store`."""

    durable = False
    tier = MEMORY

    def __init__(self, keep_facts: int = KEEP_FACTS) -> None:
        self._keep = keep_facts
        self._runs: dict[str, _Past] = {}
        self._kept: deque[_Past] = deque()
        self._leases = MemoryLeases()
        MemoryMailbox.__init__(self, self._leases, self._runs)
        MemoryLogs.__init__(self, self._runs)
        MemoryDocuments.__init__(self)
        MemorySchedules.__init__(self, self)

    # --- runs ---

    async def create(self, run: NewRun) -> int:
        past = _Past(run.row, run.plan, run.header)
        past.artifacts.update(run.artifacts)
        self._add(run.row.run_id, past)
        if run.owner is None:
            return 0
        return self._leases.take(run.row.run_id, run.owner, run.until, run.length_us)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        runs, tokens = self._runs, self._leases.tokens
        refused: dict[str, AetherError] | None = None
        for part in batch:
            past = runs.get(part.run_id)
            if past is None or past.seq != part.expected_seq or tokens.get(part.run_id, 0) != part.token:
                refused = refused or {}
                refused[part.run_id] = self._refusal(part)
                continue
            past.seq = part.steps[-1].seq
            if part.artifacts:
                past.artifacts.update(part.artifacts)
            if part.closed:
                past.closed, past.row, past.open_row = True, part.row(), None
            else:
                past.open_row = part.row
            if past.steps is not None:
                past.steps += part.steps
                past.facts += sum([len(step.facts) for step in part.steps])
                if past.facts > self._keep:
                    past.drop()
        return _NONE if refused is None else refused

    async def load(self, run_id: str) -> StoredRun:
        past = self._run(run_id)
        if past.steps is None:
            raise UsageError(f"the past of run {run_id!r} was not kept", hint="a durable store keeps all of it")
        row = past.now()
        lines = past.adopted + [encode_entry(step) for step in past.steps]
        return StoredRun(row, past.plan, past.header, past.snapshot, lines)

    async def row(self, run_id: str) -> RunSummary | None:
        past = self._runs.get(run_id)
        return None if past is None else self._row(past)

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        found = [row for row in map(self._row, self._runs.values()) if _fits(row, query)]
        found.sort(key=lambda row: (row.created_at, row.run_id), reverse=True)
        return found[: query.limit]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        past = self._run(run_id)
        steps = past.steps or []
        first = past.seq - len(steps) - len(past.adopted) + 1
        adopted = [(seq, line) for seq, line in enumerate(past.adopted, first) if seq > after]
        made = [step for step in steps if step.seq > after]
        return (adopted + [(step.seq, encode_entry(step)) for step in made[:limit]])[:limit]

    async def adopt(self, run: StoredRun) -> None:
        past = _Past(run.row, run.plan, run.header)
        past.snapshot, past.adopted = run.snapshot, list(run.lines)
        past.artifacts.update(run.artifacts)
        self._add(run.row.run_id, past)

    async def delete(self, run_ids: Sequence[str], now: int) -> int:
        there = [run_id for run_id in dict.fromkeys(run_ids) if run_id in self._runs]
        for run_id in there:
            if not self._runs[run_id].closed and self._leases.held(run_id, now):
                raise BusyError(f"run {run_id!r} is being driven")
        for run_id in there:
            self._runs.pop(run_id).drop()
            self._leases.forget(run_id)
            self.forget_requests(run_id)
            self.forget_logs(run_id)
        return len(there)

    # --- leases ---

    async def claim(self, run_ids: Sequence[str] | None, owner: str, now: int, until: int) -> list[tuple[str, int]]:
        wanted = self._runs if run_ids is None else [run_id for run_id in dict.fromkeys(run_ids) if run_id in self._runs]
        free = [run_id for run_id in wanted if not self._runs[run_id].closed and self._leases.may(run_id, owner, now)]
        free.sort(key=lambda run_id: (self._runs[run_id].row.created_at, run_id))
        return [(run_id, self._leases.take(run_id, owner, until, until - now)) for run_id in free]

    # --- upkeep ---

    async def info(self) -> StoreInfo:
        open_runs = sum(not past.closed for past in self._runs.values())
        return StoreInfo(0, len(self._runs), open_runs, 0, {"adapter": "memory"})

    async def check(self) -> list[str]:
        return []

    async def vacuum(self) -> None:
        return None

    async def migrate(self) -> tuple[int, int]:
        return (0, 0)

    async def artifacts(self) -> Mapping[str, str]:
        return {digest: run_id for run_id in sorted(self._runs, reverse=True) for digest in self._runs[run_id].artifacts}

    async def close(self) -> None:
        self._runs.clear()
        self._kept.clear()

    # --- inside ---

    def _row(self, past: _Past) -> RunSummary:
        row = past.now()
        row.broken = self._leases.broken.get(row.run_id)
        return row

    def _run(self, run_id: str) -> _Past:
        past = self._runs.get(run_id)
        if past is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return past

    def _add(self, run_id: str, past: _Past) -> None:
        if run_id in self._runs:
            raise UsageError(f"run {run_id!r} exists already")
        self._runs[run_id] = past
        self._kept.append(past)
        if len(self._kept) > KEEP_RUNS:
            self._kept.popleft().drop()

    def _refusal(self, part: RunAppend) -> AetherError:
        past = self._runs.get(part.run_id)
        if past is None:
            return UsageError(f"run {part.run_id!r} is unknown")
        if past.seq != part.expected_seq:
            told = f"run {part.run_id!r} is at step {past.seq}, not {part.expected_seq}"
            return BusyError(f"{told}: somebody else drives it")
        return BusyError(f"run {part.run_id!r} was taken over by another owner")


def _fits(row: RunSummary, query: RunQuery) -> bool:
    return (
        (not query.phases or row.phase in query.phases)
        and query.name in (None, row.workflow)
        and query.namespace in (None, row.namespace)
        and all(row.labels.get(key) == value for key, value in query.labels.items())
        and (query.since is None or row.created_at >= query.since)
        and (query.until is None or row.created_at < query.until)
        and (query.ended_before is None or (row.ended_at is not None and row.ended_at < query.ended_before))
        and query.closed in (None, row.closed)
        and (query.before is None or (row.created_at, row.run_id) < query.before)
        and row.run_id.startswith(query.prefix)
        and (row.retry_of is not None or not query.retries)
    )
