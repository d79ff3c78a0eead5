"""The memory store, in two kinds: one that remembers little, for runs that end with their process, and one that keeps text.

Law: what the first keeps is bounded: all steps of a run until there are KEEP_FACTS facts; from then on none of it (a long run
is watched while it goes, and pays nothing for the past). The second keeps what a durable store keeps, and as text: what an
engine gets, it decodes, and nothing is shared by reference. Several engines of one process may use it at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from msgspec import structs
from msgspec.structs import replace

from aether_protocol.adapters.stores.memory.access import MemoryAudit, MemoryNamespaces, MemoryTokens
from aether_protocol.adapters.stores.memory.facets import (
    LeaseBook,
    MemoryChanges,
    MemoryFleet,
    MemoryLeases,
    MemoryLogs,
    MemoryMailbox,
    MemorySchedules,
    MemoryServers,
)
from aether_protocol.adapters.stores.memory.library import MemoryLibrary
from aether_protocol.errors import AetherError, BusyError, ConflictError, NotFoundError, UsageError
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import MEMORY, SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.ports.store.runs import (
    KeyTakenError,
    NewRun,
    RunAppend,
    RunKey,
    RunQuery,
    RunSummary,
    StoredRun,
    lower_ascii,
)
from aether_protocol.ports.store.upkeep import StoreInfo
from aether_protocol.scheduler.codec import decode_header, encode_entry, encode_header
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader

if TYPE_CHECKING:
    from pathlib import Path

    from aether_protocol.ports.store import (
        AuditStore,
        ChangeFeed,
        FleetStore,
        LeaseStore,
        LibraryStore,
        LogStore,
        MailboxStore,
        NamespaceStore,
        RunStore,
        ScheduleStore,
        ServerStore,
        TokenStore,
        UpkeepStore,
    )

KEEP_FACTS: Final = 10_000  # of a run
KEEP_RUNS: Final = 1_000  # runs whose steps are kept; of older ones only how far they are

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})


def _machine_now() -> int:
    return time.time_ns() // 1_000


class _Run:
    """How far a run is, and what is kept of it. `steps` are those that came as values, None once they are too many; `lines`
    those that are kept as text, `saved` the number of the step that `snapshot` is of (0: there is none). `row` is as it was
    given last. `writer` is the token of the last append."""

    __slots__ = (
        *("artifacts", "closed", "epoch", "facts", "header", "key", "leaves_ended", "lines", "plan", "row", "saved", "seq"),
        *("snapshot", "steps", "writer"),
    )

    def __init__(self, row: RunSummary, plan: Plan, header: RunHeader, artifacts: Iterable[str]) -> None:
        self.seq = row.seq
        self.closed = row.closed
        self.row = row
        self.leaves_ended = row.leaves_ended
        self.plan = plan
        self.header = header
        self.facts = 0
        self.steps: list[LogEntry] | None = []
        self.lines: list[str] = []
        self.snapshot: str | None = None
        self.saved = 0
        self.writer = 0
        self.epoch = 0  # without the claims since it was imported
        self.artifacts = set(artifacts)
        self.key: RunKey | None = None

    @property
    def created_at(self) -> int:
        return self.row.created_at

    def drop(self) -> None:
        self.steps = None
        self.snapshot = None
        self.lines = []


class MemoryRuns:
    """`ports.store.RunStore` that remembers little. `forget` are called with the id of each run that is deleted."""

    tier = MEMORY

    def __init__(self, book: LeaseBook, keep_facts: int = KEEP_FACTS) -> None:
        self.by_id: dict[str, _Run] = {}
        self.forget: list[Callable[[str], None]] = [book.forget]
        self.changes = MemoryChanges(self._shown)
        self._book = book
        self._keep_facts = keep_facts
        self._kept: deque[_Run] = deque()
        self._keys: dict[tuple[str, str], str] = {}  # run ids by namespace and key

    async def create(self, run: NewRun) -> int:
        if run.row.retry_of is not None and run.row.retry_of not in self.by_id:
            raise NotFoundError(f"run {run.row.retry_of!r} was deleted")
        return self._create(run)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        runs, tokens = self.by_id, self._book.tokens
        refused: dict[str, AetherError] | None = None
        for part in batch:
            run_id, token = part.run_id, part.token
            run = runs.get(run_id)
            if run is None or tokens.get(run_id, 0) != token or self._expected(run, part) != part.expected_seq:
                fault: AetherError | None = self._refusal(part)
            else:
                fault = self._begin(part.new_runs) if part.new_runs else None
            if run is None or fault is not None:
                refused = refused or {}
                refused[run_id] = fault or self._refusal(part)
                continue
            run.seq, run.writer = part.steps[-1].seq, token
            if part.artifacts:
                run.artifacts.update(part.artifacts)
            self._keep(run, part)
            self.changes.note(run_id)
        return _NONE if refused is None else refused

    async def load(self, run_id: str) -> StoredRun:
        run = self._run(run_id)
        if run.steps is None:
            raise UsageError(f"the past of run {run_id!r} was not kept", hint="a durable store keeps all of it")
        lines = run.lines + [encode_entry(step) for step in run.steps]
        return StoredRun(self._row(run), run.plan, run.header, run.snapshot, lines, epoch=run.epoch)

    async def row(self, run_id: str) -> RunSummary | None:
        return self._shown(run_id)

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        found = [row for row in map(self._row, self.by_id.values()) if _fits(row, query)]
        found.sort(key=lambda row: (row.created_at, row.run_id), reverse=True)
        if query.newest_of_each is not None:
            found = list(_newest_of_each(found, query.newest_of_each))
        if query.before is not None:
            found = [row for row in found if (row.created_at, row.run_id) < query.before]
        if query.asleep:
            found.sort(key=lambda row: (row.wake_at or 0, row.run_id))
        return found[: query.limit]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        run = self._run(run_id)
        steps = run.steps or []
        first = run.seq - len(steps) - len(run.lines) + 1
        texts = [(seq, line) for seq, line in enumerate(run.lines, first) if seq > after]
        made = [step for step in steps if step.seq > after]
        return (texts + [(step.seq, encode_entry(step)) for step in made[:limit]])[:limit]

    async def import_run(self, run: StoredRun) -> None:
        made = self._new(run.row, run.plan, run.header, run.artifacts)
        made.snapshot, made.lines = run.snapshot, list(run.lines)
        made.saved = run.row.seq - len(run.lines)
        made.epoch = run.epoch + 1
        self._add(run.row.run_id, made)

    async def delete(self, run_ids: Sequence[str]) -> int:
        there = [run_id for run_id in dict.fromkeys(run_ids) if run_id in self.by_id]
        for run_id in there:
            if not self.by_id[run_id].closed and self._book.held(run_id):
                raise BusyError(f"run {run_id!r} is being driven")
        for run_id in there:
            run = self.by_id.pop(run_id)
            run.drop()
            if run.key is not None:
                del self._keys[run.row.namespace, run.key.key]
            self.changes.note_gone(run_id, run.row.namespace)
            for forget in self.forget:
                forget(run_id)
        return len(there)

    def clear(self) -> None:
        """Drop all runs."""
        self.by_id.clear()
        self._keys.clear()

    # --- how runs are kept ---

    def _new(self, row: RunSummary, plan: Plan, header: RunHeader, artifacts: Iterable[str]) -> _Run:
        return _Run(row, plan, header, artifacts)

    def _expected(self, run: _Run, part: RunAppend) -> int:
        """The step that the next append must follow."""
        return run.seq

    def _keep(self, run: _Run, part: RunAppend) -> None:
        run.closed, run.leaves_ended = part.closed, part.leaves_ended
        if part.row is not None:
            run.row = part.row
        if run.steps is not None:
            run.steps += part.steps
            for step in part.steps:
                run.facts += len(step.facts)
            if run.facts > self._keep_facts:
                run.drop()

    # --- inside ---

    def _shown(self, run_id: str) -> RunSummary | None:
        run = self.by_id.get(run_id)
        return None if run is None else self._row(run)

    def _row(self, run: _Run) -> RunSummary:
        return replace(run.row, seq=run.seq, leaves_ended=run.leaves_ended, **self._of_book(run.row.run_id))

    def _of_book(self, run_id: str) -> dict[str, Any]:
        """What a row says that is not the run's own."""
        return {"broken": self._book.broken.get(run_id), "wake_at": self._book.asleep.get(run_id)}

    def _run(self, run_id: str) -> _Run:
        run = self.by_id.get(run_id)
        if run is None:
            raise NotFoundError(f"run {run_id!r} is unknown")
        return run

    def _add(self, run_id: str, run: _Run) -> None:
        if run_id in self.by_id:
            raise ConflictError(f"run {run_id!r} exists already")
        self.by_id[run_id] = run
        self.changes.note(run_id)
        self._kept.append(run)
        if self.tier == MEMORY and len(self._kept) > KEEP_RUNS:
            self._kept.popleft().drop()

    def _begin(self, new_runs: Sequence[NewRun]) -> AetherError | None:
        """Begin all of these runs, or none: why not."""
        ids = [new.row.run_id for new in new_runs]
        for at, run_id in enumerate(ids):
            if run_id in self.by_id or run_id in ids[:at]:
                return ConflictError(f"run {run_id!r} exists already")
        for new in new_runs:
            self._create(new)
        return None

    def _create(self, run: NewRun) -> int:
        if run.key is None:
            self._add(run.row.run_id, self._new(run.row, run.plan, run.header, run.artifacts))
        else:
            self._add_keyed(run, run.key)
        return 0 if run.owner is None else self._book.take(run.row.run_id, run.owner, run.ttl)

    def _add_keyed(self, run: NewRun, key: RunKey) -> None:
        taken = self._keys.get((run.row.namespace, key.key))
        if taken is not None:
            first = self.by_id[taken].key
            assert first is not None
            raise KeyTakenError(key.key, taken, first=first.digest, given=key.digest)
        made = self._new(run.row, run.plan, run.header, run.artifacts)
        self._add(run.row.run_id, made)
        made.key = key
        self._keys[run.row.namespace, key.key] = run.row.run_id

    def _refusal(self, part: RunAppend) -> AetherError:
        run = self.by_id.get(part.run_id)
        if run is None:
            return NotFoundError(f"run {part.run_id!r} is unknown")
        if self._book.tokens.get(part.run_id, 0) != part.token:
            return BusyError(f"run {part.run_id!r} was taken over by another owner")
        message = f"run {part.run_id!r} is at step {run.seq}, not {part.expected_seq}"
        return BusyError(f"{message}: another engine drives it")


class TextRuns(MemoryRuns):
    """`ports.store.RunStore` that keeps text, all of it. On tier `snapshot` no steps are kept: an engine that claims a run
    continues from its last snapshot."""

    def __init__(self, book: LeaseBook, tier: str) -> None:
        super().__init__(book)
        self.tier = tier
        self._plans: dict[str, str] = {}
        self._headers: dict[str, str] = {}

    def text(self) -> Iterator[str]:
        """Everything that is kept of runs, to search in."""
        for run_id, run in self.by_id.items():
            yield from (self._plans[run_id], self._headers[run_id], str(run.row), str(run.snapshot or ""))
            yield from run.lines

    async def load(self, run_id: str) -> StoredRun:
        run = self._run(run_id)
        plan, header = decode_plan(self._plans[run_id]), decode_header(self._headers[run_id])
        epoch = run.epoch + (self._book.claims.get(run_id, 0) if self.tier == SNAPSHOT else 0)
        return StoredRun(self._row(run), plan, header, run.snapshot, run.lines[run.saved :], epoch=epoch)

    def _new(self, row: RunSummary, plan: Plan, header: RunHeader, artifacts: Iterable[str]) -> _Run:
        if row.run_id not in self.by_id:
            self._plans[row.run_id], self._headers[row.run_id] = encode_plan(plan), encode_header(header)
        return _Run(replace(row, tier=self.tier), plan, header, artifacts)

    def _expected(self, run: _Run, part: RunAppend) -> int:
        return run.saved if self.tier == SNAPSHOT and part.token != run.writer else run.seq

    def _keep(self, run: _Run, part: RunAppend) -> None:
        if self.tier == STATE_ACTION_LOG:
            run.lines += [encode_entry(step) for step in part.steps]
        elif part.snapshot is None:
            return
        changed = {} if part.row is None else structs.asdict(part.row) | {"tier": self.tier}
        run.row = replace(run.row, **(changed | {"seq": run.seq, "leaves_ended": part.leaves_ended}))
        run.closed = part.closed
        if part.snapshot is not None:
            run.snapshot, run.saved = part.snapshot, run.seq

    def _row(self, run: _Run) -> RunSummary:
        return replace(run.row, **self._of_book(run.row.run_id))


class MemoryUpkeep:
    """`ports.store.UpkeepStore`."""

    def __init__(self, runs: MemoryRuns, book: LeaseBook) -> None:
        self._runs = runs
        self._book = book

    async def info(self) -> StoreInfo:
        runs = self._runs.by_id
        return StoreInfo(0, len(runs), sum(not run.closed for run in runs.values()), 0, {"adapter": "memory"})

    async def check(self) -> list[str]:
        return []

    async def vacuum(self) -> None:
        return None

    async def migrate(self) -> tuple[int, int]:
        return (0, 0)

    async def identity(self) -> str:
        return ""

    async def artifacts(self) -> Mapping[tuple[str, str], str]:
        runs = sorted(self._runs.by_id.items(), reverse=True)
        return {(run.row.namespace, digest): run_id for run_id, run in runs for digest in run.artifacts}

    async def mend(self, run_id: str) -> bool:
        return self._book.broken.pop(run_id, None) is not None


class MemoryStore:
    """`ports.store.Store`. With a `tier` of a durable store it keeps text, for several engines of one process; without one it
    remembers little. `now` is the clock by which leases are measured."""

    def __init__(
        self, keep_facts: int = KEEP_FACTS, *, tier: str = MEMORY, now: Callable[[], int] = _machine_now
    ) -> None:
        book = LeaseBook(now)
        runs = MemoryRuns(book, keep_facts) if tier == MEMORY else TextRuns(book, tier)
        mailbox, logs = MemoryMailbox(book, runs.by_id), MemoryLogs(runs.by_id)
        runs.forget += [mailbox.forget, logs.forget]
        self._memory_runs = runs
        self.durable = tier != MEMORY
        self.appends_at_once = 1
        self.tier = tier
        self.file: Path | None = None
        self.runs: RunStore = runs
        self.leases: LeaseStore = MemoryLeases(book, runs.by_id, mailbox.asked)
        self.mailbox: MailboxStore = mailbox
        self.logs: LogStore = logs
        self.changes: ChangeFeed = runs.changes
        schedules = MemorySchedules(runs, mailbox)
        self.schedules: ScheduleStore | None = schedules
        self.library: LibraryStore = MemoryLibrary(schedules)
        self.fleet: FleetStore = MemoryFleet()
        self.servers: ServerStore = MemoryServers(book, runs.by_id)
        self.upkeep: UpkeepStore = MemoryUpkeep(runs, book)
        self.tokens: TokenStore = MemoryTokens()
        self.namespaces: NamespaceStore = MemoryNamespaces(self)
        self.audit: AuditStore = MemoryAudit()

    async def close(self) -> None:
        if not self.durable:  # what others may use stays
            self._memory_runs.clear()


def _fits(row: RunSummary, query: RunQuery) -> bool:
    return (
        (not query.phases or row.phase in query.phases)
        and query.name in (None, row.workflow)
        and query.namespace in (None, row.namespace)
        and (query.namespaces is None or row.namespace in query.namespaces)
        and all(row.labels.get(key) == value for key, value in query.labels.items())
        and (query.since is None or row.created_at >= query.since)
        and (query.until is None or row.created_at < query.until)
        and (query.ended_before is None or (row.ended_at is not None and row.ended_at < query.ended_before))
        and query.closed in (None, row.closed)
        and query.digest in (None, row.digest)
        and row.run_id.startswith(query.prefix)
        and lower_ascii(query.text) in lower_ascii(f"{row.run_id} {row.workflow} {row.message}")
        and (row.retry_of is not None or not query.retries)
        and (not query.asleep or (row.wake_at is not None and not row.closed))
    )


def _newest_of_each(rows: Iterable[RunSummary], most: int) -> Iterator[RunSummary]:
    """Give of each workflow the first so many of these rows."""
    seen: dict[tuple[str, str], int] = {}
    for row in rows:
        key = (row.namespace, row.workflow)
        seen[key] = seen.get(key, 0) + 1
        if seen[key] <= most:
            yield row
