"""Runs in SQLite: rows, steps, plans, snapshots.

One append is one transaction, whatever the number of runs. The key of `steps` is the optimistic lock, the run's token
the fence, both in the statement that inserts. The row of `runs` is written when something but the number of steps and ended
leaves has changed; these two stand beside the steps. How a run is kept (its tier) is said at its creation and holds for its
life, by which engine it may be opened. Rows of steps are a chain of digests, whose end the run's row has as of its last change.

Every change has a number (`numbers`): steps alone have it in their row, all else makes a row of `changes`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Final

from msgspec.structs import replace

from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.adapters.stores.sqlite.leases import COUNTS, LEASE, end_of
from aether_protocol.adapters.stores.sqlite.records import (
    HEAD,
    LINES,
    ROW,
    RUNS,
    SEQ,
    SHOWN,
    SUMMED,
    WIDTH,
    RecordCodec,
    chained,
    condition,
    make_row,
    moved_values,
    next_sum,
    require,
    require_chained,
    require_row,
    sum_of,
    sum_of_moved,
    to_json,
)
from aether_protocol.errors import AetherError, BusyError, ConflictError, NotFoundError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG
from aether_protocol.ports.store.runs import (
    FIRST_TOKEN,
    KeyTakenError,
    NewRun,
    RunAppend,
    RunKey,
    RunQuery,
    RunSummary,
    StoredRun,
)

_CHUNK: Final = 128  # steps in a row, of a run that was imported

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})

_INSERT_RUN: Final = (
    f"INSERT INTO runs ({ROW}, document_version, token, owner, fixed, moved, head) VALUES ({', '.join('?' * 23)})"
)
_CHANGE: Final = (
    "UPDATE runs SET phase=?, message=?, started_at=?, ended_at=?, leaves_known=?, leaves_ended=?, seq=?, moved=?, head=?"
)
_ADVANCE: Final = f"{_CHANGE} WHERE number=? AND seq<=? AND token=?"
_CLOSE: Final = f"{_CHANGE}, closed=1 WHERE number=? AND seq<=? AND token=?"  # apart: `closed` is indexed
_STEPS: Final = "id, last, ended, change, lines, sum"
_APPEND: Final = f"INSERT OR IGNORE INTO steps ({_STEPS}) SELECT ?, ?, ?, ?, ?, ? FROM runs WHERE number = ? AND token = ?"
# Alone, where the feed finds the change beside the steps, and the block of numbers is still the newest one.
_APPEND_ALONE: Final = f"{_APPEND} AND closed = 0 AND wake_at IS NULL AND EXISTS (SELECT 1 FROM feed WHERE reserved = ?)"
_INSERT_STEPS: Final = f"INSERT INTO steps ({_STEPS}) VALUES (?, ?, ?, ?, ?, ?)"
_SAVE: Final = "INSERT OR REPLACE INTO snapshots (run, seq, text, sum) VALUES (?, ?, ?, ?)"
_MINE: Final = "SELECT 1 FROM runs WHERE number=? AND token=?"
_NAME: Final = "INSERT OR IGNORE INTO artifacts (run, digest) VALUES (?, ?)"
_KEEP_KEY: Final = "INSERT INTO keys (namespace, key, run, digest, sum) VALUES (?, ?, ?, ?, ?)"
_KEY: Final = (
    "SELECT keys.namespace, key, run, keys.digest, sum, run_id FROM keys JOIN runs ON number = run "
    "WHERE keys.namespace = ? AND key = ?"
)
# A plan that neither a run nor a schedule needs any more.
FORGET_PLAN: Final = (
    "DELETE FROM plans WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM heads WHERE plan = ?1) "
    "AND NOT EXISTS (SELECT 1 FROM schedules WHERE plan = ?1)"
)
_OF_RUN: Final = tuple(
    f"{table} WHERE run" for table in ("snapshots", "heads", "logs", "log_bounds", "requests", "breaks", "artifacts", "keys")
)


class Known:
    """A run as this process, which appends to it, last saw it. `seq` is the last step that was appended, `saved` the one that
    its row was written at: on tier snapshot the file has nothing of what came after that. `sum` is the digest of the newest row
    of steps."""

    __slots__ = ("base", "number", "saved", "seq", "sum", "tier")

    def __init__(self, number: int, tier: str, seq: int, saved: int, sum_: bytes = b"") -> None:
        self.number = number
        self.base = number << 32  # the id of the row of steps that begins with step 0, which there never is
        self.tier = tier
        self.seq = seq
        self.saved = saved
        self.sum = sum_


class SqliteRuns:
    """`ports.store.RunStore`. `tier` is how new runs are kept."""

    def __init__(self, database: Database, tier: str) -> None:
        self._db = database
        self._tier = tier
        self._known: dict[str, Known] = {}

    @cached_property
    def records(self) -> RecordCodec:
        return RecordCodec(self._db.path)

    # --- writing ---

    async def create(self, run: NewRun) -> int:
        async with self._db.write() as execute:
            token, known = self.insert(execute, run)
        self.remember({run.row.run_id: known})
        return token

    def remember(self, known: Mapping[str, Known]) -> None:
        """Keep what is known of runs that were inserted: their transaction is through."""
        self._known.update(known)

    def forget(self, run_id: str) -> None:
        """Forget what is known of a run: it is looked up again with the next append."""
        self._known.pop(run_id, None)

    def insert(self, execute: Execute, run: NewRun) -> tuple[int, Known]:
        """Insert a new run, inside of a transaction; its token, and what is to be remembered of it."""
        token = 0 if run.owner is None else FIRST_TOKEN
        if run.key is not None:
            _require_free(execute, run.row.namespace, run.key)
        number = self._insert(execute, run.row, self._tier, token, run.owner)
        if run.key is not None:
            values = run.row.namespace, run.key.key, number, run.key.digest
            execute(_KEEP_KEY, (*values, sum_of("keys", values)))
        self._keep_head(execute, number, run)
        if run.owner is not None:
            execute(LEASE, (run.owner, end_of(run.ttl, self._db.now()), run.ttl))
        _name(execute, number, run.artifacts)
        return token, Known(number, self._tier, run.row.seq, 0)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        if len(batch) == 1 and self._append_alone(batch[0]):
            return _NONE
        refused: dict[str, AetherError] = {}
        begun: dict[str, Known] = {}
        try:
            async with self._db.write() as execute:
                for part in batch:
                    fault = self._append_in(execute, part, begun)
                    if fault is not None:
                        refused[part.run_id] = fault
        except BaseException:
            for part in batch:  # what is known may be ahead of the file
                self._known.pop(part.run_id, None)
            raise
        self._known.update(begun)
        for part in batch:
            if part.closed or part.run_id in refused:
                self._known.pop(part.run_id, None)
        return refused or _NONE

    def _append_in(self, execute: Execute, part: RunAppend, begun: dict[str, Known]) -> AetherError | None:
        """Append to one run inside of a transaction, and begin its new runs; why it was refused, with nothing written."""
        known = self._known.get(part.run_id) or self._look_up(execute, part.run_id)
        if known is None:
            return NotFoundError(f"run {part.run_id!r} is unknown")
        new_ids = [new.row.run_id for new in part.new_runs]
        taken = next((id_ for at, id_ in enumerate(new_ids) if id_ in new_ids[:at] or is_there(execute, id_)), None)
        if taken is not None:
            return _exists(taken)
        if known.seq != part.expected_seq:  # another writer continued from what the file has
            known = self._look_up(execute, part.run_id)
        if known is None or known.seq != part.expected_seq:
            return _refusal(execute, part)
        if not (self._advance(execute, known, part) if known.tier != SNAPSHOT else self._pass(execute, known, part)):
            return _refusal(execute, part)
        for new in part.new_runs:
            _, begun[new.row.run_id] = self.insert(execute, new)
        return None

    def _append_alone(self, part: RunAppend) -> bool:
        """Append steps that leave the row as it is, in one statement; False where there is more to do, or to find out."""
        known = self._known.get(part.run_id)
        if known is None or part.row is not None or known.seq != part.expected_seq or known.tier == SNAPSHOT:
            return False
        if part.artifacts or part.new_runs:
            return False
        numbers = self._db.numbers
        change = numbers.next
        if change > numbers.end:
            return False
        numbers.next = change + 1
        row = self._step_values(known, part, change)
        sum_ = next_sum(known.sum, *row)
        if self._db.once(_APPEND_ALONE, (*row, sum_, known.number, part.token, numbers.end)) != 1:
            return False
        known.seq, known.sum = row[1], sum_
        return True

    def _step_values(self, known: Known, part: RunAppend, change: int) -> tuple[int, int, int, int, str]:
        steps = part.steps
        return known.base + part.expected_seq + 1, steps[-1].seq, part.leaves_ended, change, self.records.steps(steps)

    def _advance(self, execute: Execute, known: Known, part: RunAppend) -> bool:
        """Record every step; False if another writer was first."""
        change = self._db.numbers.take(execute)
        values = self._step_values(known, part, change)
        sum_ = next_sum(known.sum, *values)
        if execute(_APPEND, (*values, sum_, known.number, part.token)).rowcount != 1:
            return False
        self._db.numbers.record(execute, known.number)
        known.seq, known.sum = values[1], sum_
        if part.row is not None:
            _change(execute, known, part.expected_seq, part, part.row)
        _name(execute, known.number, part.artifacts)
        if part.snapshot is not None:
            _save(execute, known.number, known.seq, part.snapshot)
        return True

    def _pass(self, execute: Execute, known: Known, part: RunAppend) -> bool:
        """Tier snapshot: record the state where it is given, and no step; False if the token is stale."""
        if execute(_MINE, (known.number, part.token)).fetchone() is None:
            return False
        known.seq = part.steps[-1].seq
        if part.snapshot is not None:
            if part.row is None or not _change(execute, known, known.saved, part, part.row):
                return False
            _save(execute, known.number, known.seq, part.snapshot)
            self._db.numbers.record(execute, known.number)
            known.saved = known.seq
        _name(execute, known.number, part.artifacts)
        return True

    async def import_run(self, run: StoredRun) -> None:
        async with self._db.write() as execute:
            number = self._insert(execute, run.row, run.row.tier if run.row.tier == SNAPSHOT else STATE_ACTION_LOG, 0, None)
            execute("UPDATE runs SET epoch = ? WHERE number = ?", (run.epoch + 1, number))
            self._keep_head(execute, number, run)
            _name(execute, number, run.artifacts)
            first = run.row.seq - len(run.lines) + 1
            if run.snapshot is not None:
                _save(execute, number, first - 1, run.snapshot)
            sum_, change = b"", self._db.numbers.take(execute)
            for start in range(0, len(run.lines), _CHUNK):
                lines = run.lines[start : start + _CHUNK]
                begin = first + start
                text = clean("\n".join(lines))
                values = (number << 32) + begin, begin + len(lines) - 1, run.row.leaves_ended, change, text
                sum_ = next_sum(sum_, *values)
                execute(_INSERT_STEPS, (*values, sum_))
            if sum_:
                moved = sum_of_moved(moved_values(run.row), sum_)
                execute("UPDATE runs SET moved = ?, head = ? WHERE number = ?", (moved, sum_, number))

    async def delete(self, run_ids: Sequence[str]) -> int:
        deleted = 0
        async with self._db.write() as execute:
            now = self._db.now()
            for run_id in dict.fromkeys(run_ids):
                found = execute(
                    f"SELECT number, closed = 0 AND {COUNTS}, plan FROM runs LEFT JOIN owners USING (owner) "
                    "LEFT JOIN heads ON run = number WHERE run_id = ?",
                    (now, now, run_id),
                ).fetchone()
                if found is None:
                    continue
                number, driven, plan = found
                if driven:
                    raise BusyError(f"run {run_id!r} is being driven", hint="cancel it first")
                execute("DELETE FROM steps WHERE id BETWEEN ? AND ?", (number << 32, ((number + 1) << 32) - 1))
                for table in _OF_RUN:
                    execute(f"DELETE FROM {table} = ?", (number,))
                execute("DELETE FROM runs WHERE number = ?", (number,))
                self._db.numbers.record(execute, number, run_id)
                execute(FORGET_PLAN, (plan,))
                deleted += 1
        for run_id in run_ids:
            self._known.pop(run_id, None)
        return deleted

    # --- reading ---

    async def load(self, run_id: str) -> StoredRun:
        with self._db.read() as execute:
            row = execute(f"SELECT {SHOWN}, {SUMMED}, epoch, number FROM {RUNS} WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise NotFoundError(f"run {run_id!r} is unknown")
            number, whose = row[-1], f"run {run_id!r}"
            require_row(row, whose)
            head = execute(HEAD, (number,)).fetchone()
            if head is not None:
                require("heads", head[:3], head[3], f"the header of {whose}")
            saved = execute("SELECT run, seq, text, sum FROM snapshots WHERE run = ?", (number,)).fetchone()
            if saved is not None:
                require("snapshots", saved[:3], saved[3], f"the snapshot of {whose}")
            lines = chained(execute, number, saved[1] + 1 if saved is not None else 0, whose)
        header = self.records.read_header(head[2] if head is not None else None, whose)
        plan = self.records.read_plan(head[4:] if head is not None else None, whose)
        snapshot = saved[2] if saved is not None else None
        return StoredRun(make_row(row[:WIDTH]), plan, header, snapshot, lines, epoch=row[-2])

    async def row(self, run_id: str) -> RunSummary | None:
        with self._db.read() as execute:
            found = execute(f"SELECT {SHOWN} FROM {RUNS} WHERE run_id = ?", (run_id,)).fetchone()
        return make_row(found) if found is not None else None

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        where, values = condition(query)
        order = "wake_at, run_id" if query.asleep else "created_at DESC, run_id DESC"
        text = f"SELECT {SHOWN} FROM {RUNS} {where} ORDER BY {order} LIMIT ?"
        with self._db.read() as execute:
            return [make_row(found) for found in execute(text, (*values, -1 if query.limit is None else query.limit))]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        with self._db.read() as execute:
            known = self._known.get(run_id) or self._look_up(execute, run_id, keep=False)
            if known is None:
                raise NotFoundError(f"run {run_id!r} is unknown")
            base = known.number << 32
            before: bytes | None = None
            for row in execute(LINES, (base, base + after + 1, base, base + (1 << 32))):
                before = require_chained(execute, row, before, f"run {run_id!r}")
                if row[1] > after:
                    first = row[0] - base
                    found += [(seq, line) for seq, line in enumerate(row[4].split("\n"), first) if seq > after]
                if len(found) >= limit:
                    break
        return found[:limit]

    # --- inside ---

    def _look_up(self, execute: Execute, run_id: str, keep: bool = True) -> Known | None:
        saved = "coalesce((SELECT seq FROM snapshots WHERE run = number), 0)"
        text = f"SELECT number, tier, {SEQ}, {saved}, coalesce(sum, x'') FROM {RUNS} WHERE run_id = ?"
        found = execute(text, (run_id,)).fetchone()
        if found is None:
            return None
        known = Known(*found)
        if keep:
            self._known[run_id] = known
        return known

    def _insert(self, execute: Execute, row: RunSummary, tier: str, token: int, owner: str | None) -> int:
        if is_there(execute, row.run_id):
            raise _exists(row.run_id)
        labels = clean(to_json(dict(row.labels)))
        place = (row.run_id, row.workflow, row.namespace, row.version, labels, row.phase, clean(row.message))
        times = (row.created_at, row.started_at, row.ended_at, row.closed, row.seq, row.leaves_ended, row.leaves_known)
        origin = (row.digest, row.retry_of, tier)
        fixed = sum_of("fixed", (*place[:5], row.created_at, *origin, row.document_version))
        sums = fixed, sum_of_moved(moved_values(row), None), None
        values = (*place, *times, *origin, row.document_version, token, owner, *sums)
        number = execute(_INSERT_RUN, values).lastrowid
        assert number is not None
        self._db.numbers.record(execute, number)
        return number

    def _keep_head(self, execute: Execute, number: int, run: NewRun | StoredRun) -> None:
        """Record what of a run never changes."""
        plan = self.records.keep_plan(execute, run.plan)
        values = number, plan, self.records.header(run.header)
        execute("INSERT INTO heads (run, plan, header, sum) VALUES (?, ?, ?, ?)", (*values, sum_of("heads", values)))


def is_there(execute: Execute, run_id: str) -> bool:
    """Whether there is a run of this id."""
    return execute("SELECT 1 FROM runs WHERE run_id = ?", (run_id,)).fetchone() is not None


def _require_free(execute: Execute, namespace: str, key: RunKey) -> None:
    """Raise KeyTakenError where a run has the key."""
    found = execute(_KEY, (namespace, key.key)).fetchone()
    if found is not None:
        *values, sum_, run_id = found
        require("keys", values, sum_, f"the idempotency key {key.key!r}")
        raise KeyTakenError(key.key, run_id, first=values[3], given=key.digest)


def _exists(run_id: str) -> ConflictError:
    return ConflictError(f"run {run_id!r} exists already")


def _name(execute: Execute, number: int, artifacts: Iterable[str]) -> None:
    """Record that a run names artifacts."""
    for digest in artifacts:
        execute(_NAME, (number, digest))


def _save(execute: Execute, number: int, seq: int, snapshot: str) -> None:
    values = number, seq, snapshot
    execute(_SAVE, (*values, sum_of("snapshots", values)))


def _change(execute: Execute, known: Known, seq: int, part: RunAppend, row: RunSummary) -> bool:
    """Write the row, which was last written at step `seq` or before; False if it was later, or the token is stale."""
    now = replace(row, seq=part.steps[-1].seq, closed=part.closed)
    head = known.sum or None
    told = (row.phase, clean(row.message), row.started_at, row.ended_at, row.leaves_known, row.leaves_ended, now.seq)
    values = (*told, sum_of_moved(moved_values(now), head), head, known.number, seq, part.token)
    return execute(_CLOSE if part.closed else _ADVANCE, values).rowcount == 1


def _refusal(execute: Execute, part: RunAppend) -> AetherError:
    found = execute(f"SELECT token, {SEQ} FROM {RUNS} WHERE run_id = ?", (part.run_id,)).fetchone()
    if found is None:
        return BusyError(f"run {part.run_id!r} was deleted by another process")
    if found[0] != part.token:
        return BusyError(f"run {part.run_id!r} was taken over by another owner")
    return BusyError(f"run {part.run_id!r} is at step {found[1]}, not {part.expected_seq}: another engine drives it")
