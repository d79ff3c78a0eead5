"""Runs in SQLite: rows, steps, plans, snapshots.

Law: one append is one transaction, whatever the number of runs. The key of `steps` is the optimistic lock, the run's token
the fence, both in the statement that inserts. The row of `runs` is written when something but the number of steps and ended
leaves has changed; these two stand beside the steps. How a run is kept (its tier) is said at its creation and holds for its
life, whoever opens it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.adapters.stores.sqlite_database import Database, Execute
from aether_protocol.adapters.stores.sqlite_leases import GOES_ON, LEASE
from aether_protocol.errors import AetherError, BusyError, PortError, UsageError
from aether_protocol.expressions.copying import clean
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, NewRun, RunAppend, RunQuery, RunRow, StoredRun

if TYPE_CHECKING:  # loaded with the first run that is written or opened
    from aether_protocol.adapters.stores.sqlite_records import Records

# Fewer steps are replayed in a fifth of a second; a snapshot costs the size of the run, so a large one waits for more.
SNAPSHOT_STEPS: Final = 20_000
SNAPSHOT_SHARE: Final = 4  # and for at least the number of its tasks divided by this
SAVE_STEPS: Final = 1_000  # tier snapshot: after this many, and as many as the run has tasks,
SAVE_US: Final = 5_000_000  # or after this time
_CHUNK: Final = 128  # steps in a row, of a run that was imported

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})

ROW: Final = (
    "run_id, workflow, namespace, version, labels, phase, message, created_at, started_at, ended_at, closed, seq, "
    "leaves_ended, leaves_known, digest, retry_of, tier"
)
_INSERT_RUN: Final = f"INSERT INTO runs ({ROW}, token, owner) VALUES ({', '.join('?' * 19)})"
# A run's row as it is now: of an open run, how far it is stands in the newest row of its steps.
_NEWEST: Final = "(SELECT max(id) FROM steps WHERE id BETWEEN number << 32 AND (number << 32) + 4294967295)"
RUNS: Final = f"runs LEFT JOIN steps ON steps.id = CASE closed WHEN 0 THEN {_NEWEST} END"
_SEQ: Final = "coalesce(max(last, seq), seq)"
_BROKEN: Final = "(SELECT reason FROM breaks WHERE run = runs.number AND aside = 1)"
_FAR: Final = f"{_SEQ}, CASE WHEN last > seq THEN ended ELSE leaves_ended END"
SHOWN: Final = f"{ROW.replace('seq, leaves_ended', _FAR)}, {_BROKEN}"
_CHANGE: Final = "UPDATE runs SET phase=?, message=?, started_at=?, ended_at=?, leaves_known=?, leaves_ended=?, seq=?"
_ADVANCE: Final = f"{_CHANGE} WHERE number=? AND seq<=? AND token=?"
_CLOSE: Final = f"{_CHANGE}, closed=1 WHERE number=? AND seq<=? AND token=?"  # apart: `closed` is indexed
_APPEND: Final = (
    "INSERT OR IGNORE INTO steps (id, last, ended, lines) SELECT ?, ?, ?, ? FROM runs WHERE number = ? AND token = ?"
)
_INSERT_STEPS: Final = "INSERT INTO steps (id, last, ended, lines) VALUES (?, ?, ?, ?)"
_SAVE: Final = "INSERT OR REPLACE INTO snapshots (run, seq, text) VALUES (?, ?, ?)"
# The row that step ? is in, or the first one after it.
_LINES: Final = (
    "SELECT id, last, lines FROM steps WHERE id >= coalesce((SELECT max(id) FROM steps WHERE id BETWEEN ? AND ?), ?) "
    "AND id < ? ORDER BY id"
)
# A plan that neither a run nor a schedule needs any more.
FORGET_PLAN: Final = (
    "DELETE FROM plans WHERE number = ?1 AND NOT EXISTS (SELECT 1 FROM heads WHERE plan = ?1) "
    "AND NOT EXISTS (SELECT 1 FROM schedules WHERE plan = ?1)"
)
_OF_RUN: Final = tuple(
    f"{table} WHERE run" for table in ("snapshots", "heads", "logs", "log_bounds", "requests", "breaks")
)

_to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode


class _Known:
    """What this process knows of a run that it appends to. `saved` is the step of the newest snapshot, `saved_at` its
    instant; `seq` the last step that was appended, which of tier snapshot alone may not be in the file yet."""

    __slots__ = ("base", "leaves_known", "number", "saved", "saved_at", "seq", "tier", "waiting")

    def __init__(self, number: int, tier: str, seq: int, saved: int, leaves_known: int) -> None:
        self.number = number
        self.base = number << 32  # the id of the row of steps that begins with step 0, which there never is
        self.tier = tier
        self.seq = seq
        self.saved = saved
        self.leaves_known = leaves_known
        self.saved_at = 0
        self.waiting = False  # it was saved as Suspended

    def wants_snapshot(self, last: int, closed: bool, every: int) -> bool:
        """Whether a log that has come to step `last` gets a snapshot, after more than `every` steps."""
        steps = last - self.saved
        return steps > every and (steps * SNAPSHOT_SHARE > self.leaves_known or closed)


class SqliteRuns:
    """The `RunStore` part of a SQLite store."""

    snapshot_steps = SNAPSHOT_STEPS
    tier: str
    _db: Database

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}

    @cached_property
    def _records(self) -> Records:
        from aether_protocol.adapters.stores.sqlite_records import Records

        return Records(self._db.path)

    # --- writing ---

    async def create(self, run: NewRun) -> int:
        async with self._db.write() as execute:
            token, known = self._begin(execute, run)
        self._known[run.row.run_id] = known
        return token

    def _begin(self, execute: Execute, run: NewRun) -> tuple[int, _Known]:
        """A new run, inside of a transaction: its token, and what is known of it once that is through."""
        token = 0 if run.owner is None else 1
        number = self._insert(execute, run.row, self.tier, token, run.owner)
        self._keep_head(execute, number, run)
        if run.owner is not None:
            execute(LEASE, (run.owner, run.until, run.length_us))
        known = _Known(number, self.tier, run.row.seq, 0, run.row.leaves_known)
        known.saved_at = run.row.created_at
        return token, known

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        if len(batch) == 1 and self._append_alone(batch[0]):
            return _NONE
        refused: dict[str, AetherError] = {}
        try:
            async with self._db.write() as execute:
                for part in batch:
                    known = self._known.get(part.run_id) or self._look_up(execute, part.run_id)
                    if known is None:
                        refused[part.run_id] = UsageError(f"run {part.run_id!r} is unknown")
                    elif not (
                        self._advance(execute, known, part) if known.tier != SNAPSHOT else self._pass(execute, known, part)
                    ):
                        refused[part.run_id] = _refusal(execute, part)
        except BaseException:
            for part in batch:  # what is known may be ahead of the file
                self._known.pop(part.run_id, None)
            raise
        for part in batch:
            if part.closed or part.run_id in refused:
                self._known.pop(part.run_id, None)
        return refused or _NONE

    def _append_alone(self, part: RunAppend) -> bool:
        """Steps that leave the row as it is, in one statement; False where there is more to do, or to find out."""
        known = self._known.get(part.run_id)
        if known is None or part.progress is None or known.seq != part.expected_seq or known.tier == SNAPSHOT:
            return False
        steps = part.steps
        first, last = part.expected_seq + 1, steps[-1].seq
        if part.closed or known.wants_snapshot(last, False, self.snapshot_steps):
            return False
        lines = self._records.steps(steps)
        if self._db.once(_APPEND, (known.base + first, last, part.progress, lines, known.number, part.token)) != 1:
            return False
        known.seq = last
        return True

    def _advance(self, execute: Execute, known: _Known, part: RunAppend) -> bool:
        """Record every step; False if somebody else was first."""
        if known.seq != part.expected_seq:  # somebody began anew from what the file has
            fresh = self._look_up(execute, part.run_id)
            if fresh is None or fresh.seq != part.expected_seq:
                return False
            known = fresh
        row = part.row() if part.closed or part.progress is None else None
        ended = row.leaves_ended if row is not None else part.progress
        first, last = part.expected_seq + 1, part.steps[-1].seq
        values = (known.base + first, last, ended, self._records.steps(part.steps), known.number, part.token)
        if execute(_APPEND, values).rowcount != 1:
            return False
        if row is not None:
            _change(execute, known, part.expected_seq, part, row)
        known.seq = last
        if known.wants_snapshot(last, part.closed, self.snapshot_steps):
            self._save(execute, known, part)
        return True

    def _pass(self, execute: Execute, known: _Known, part: RunAppend) -> bool:
        """Tier snapshot: record the state where it is time to, and no step."""
        if known.seq != part.expected_seq:  # somebody began anew from what the file has
            fresh = self._look_up(execute, part.run_id)
            if fresh is None or fresh.seq != part.expected_seq:
                return False
            known = fresh
        row = part.row()
        known.seq = part.steps[-1].seq
        steps, at = known.seq - known.saved, part.steps[-1].at
        waits = row.phase == "Suspended"
        first = known.saved == 0  # from here on deadlines stay what they are
        due = first or (steps > SAVE_STEPS and steps > row.leaves_known) or (waits and not known.waiting) or part.closed
        if not due and not (at - known.saved_at >= SAVE_US and steps * 20 > row.leaves_known):
            return execute("SELECT 1 FROM runs WHERE number=? AND token=?", (known.number, part.token)).fetchone() is not None
        if not _change(execute, known, known.saved, part, row):
            return False
        self._save(execute, known, part)
        known.saved_at, known.waiting = at, waits
        return True

    def _save(self, execute: Execute, known: _Known, part: RunAppend) -> None:
        execute(_SAVE, (known.number, known.seq, clean(_to_json(part.snapshot()))))
        known.saved = known.seq

    async def adopt(self, run: StoredRun) -> None:
        async with self._db.write() as execute:
            number = self._insert(execute, run.row, run.row.tier if run.row.tier == SNAPSHOT else STATE_ACTION_LOG, 0, None)
            self._keep_head(execute, number, run)
            first = run.row.seq - len(run.lines) + 1
            if run.snapshot is not None:
                execute(_SAVE, (number, first - 1, clean(_to_json(run.snapshot))))
            for start in range(0, len(run.lines), _CHUNK):
                lines = run.lines[start : start + _CHUNK]
                begin = first + start
                values = (begin + len(lines) - 1, run.row.leaves_ended, clean("\n".join(lines)))
                execute(_INSERT_STEPS, ((number << 32) + begin, *values))

    async def delete(self, run_ids: Sequence[str], now: int) -> int:
        deleted = 0
        async with self._db.write() as execute:
            for run_id in dict.fromkeys(run_ids):
                found = execute(
                    f"SELECT number, closed = 0 AND {GOES_ON}, plan FROM runs LEFT JOIN owners USING (owner) "
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
                execute(FORGET_PLAN, (plan,))
                deleted += 1
        for run_id in run_ids:
            self._known.pop(run_id, None)
        return deleted

    # --- reading ---

    async def load(self, run_id: str) -> StoredRun:
        with self._db.read() as execute:
            row = execute(f"SELECT {SHOWN}, number FROM {RUNS} WHERE run_id = ?", (run_id,)).fetchone()
            if row is None:
                raise UsageError(f"run {run_id!r} is unknown")
            number = row[-1]
            head = execute("SELECT header, text FROM heads, plans WHERE run=? AND plans.number=plan", (number,)).fetchone()
            saved = execute("SELECT seq, text FROM snapshots WHERE run = ?", (number,)).fetchone()
            begin = (number << 32) + (saved[0] + 1 if saved is not None else 0)
            chunks = execute("SELECT lines FROM steps WHERE id BETWEEN ? AND ? ORDER BY id", (begin, ((number + 1) << 32) - 1))
            lines = "\n".join([chunk for (chunk,) in chunks]).split("\n")
        whose = f"run {run_id!r}"
        header = self._records.read_header(head[0] if head is not None else None, whose)
        plan = self._records.read_plan(head[1] if head is not None else None, whose)
        try:
            snapshot = json.loads(saved[1]) if saved is not None else None
        except ValueError as error:
            told = f"{whose} cannot be read from {self._db.path!r}: {error}"
            raise PortError(told, hint="`aether db check` tells more") from error
        return StoredRun(make_row(row[:-1]), plan, header, snapshot, lines if lines != [""] else [])

    async def row(self, run_id: str) -> RunRow | None:
        with self._db.read() as execute:
            found = execute(f"SELECT {SHOWN} FROM {RUNS} WHERE run_id = ?", (run_id,)).fetchone()
        return make_row(found) if found is not None else None

    async def rows(self, query: RunQuery) -> list[RunRow]:
        where, values = _where(query)
        text = f"SELECT {SHOWN} FROM {RUNS} {where} ORDER BY created_at DESC, run_id DESC LIMIT ?"
        with self._db.read() as execute:
            return [make_row(found) for found in execute(text, (*values, -1 if query.limit is None else query.limit))]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        found: list[tuple[int, str]] = []
        with self._db.read() as execute:
            known = self._known.get(run_id) or self._look_up(execute, run_id, keep=False)
            if known is None:
                raise UsageError(f"run {run_id!r} is unknown")
            base = known.number << 32
            for id_, last, text in execute(_LINES, (base, base + after + 1, base, base + (1 << 32))):
                if last > after:
                    first = id_ - base
                    found += [(seq, line) for seq, line in enumerate(text.split("\n"), first) if seq > after]
                if len(found) >= limit:
                    break
        return found[:limit]

    # --- inside ---

    def _look_up(self, execute: Execute, run_id: str, keep: bool = True) -> _Known | None:
        saved = "coalesce((SELECT seq FROM snapshots WHERE run = number), 0)"
        text = f"SELECT number, tier, {_SEQ}, {saved}, leaves_known FROM {RUNS} WHERE run_id = ?"
        found = execute(text, (run_id,)).fetchone()
        if found is None:
            return None
        known = _Known(*found)
        if keep:
            self._known[run_id] = known
        return known

    def _insert(self, execute: Execute, row: RunRow, tier: str, token: int, owner: str | None) -> int:
        if execute("SELECT 1 FROM runs WHERE run_id = ?", (row.run_id,)).fetchone() is not None:
            raise UsageError(f"run {row.run_id!r} exists already")
        labels = clean(_to_json(dict(row.labels)))
        place = (row.run_id, row.workflow, row.namespace, row.version, labels, row.phase, clean(row.message))
        times = (row.created_at, row.started_at, row.ended_at, row.closed, row.seq, row.leaves_ended, row.leaves_known)
        number = execute(_INSERT_RUN, (*place, *times, row.digest, row.retry_of, tier, token, owner)).lastrowid
        assert number is not None
        return number

    def _keep_head(self, execute: Execute, number: int, run: NewRun | StoredRun) -> None:
        """What of a run never changes."""
        plan = self._records.keep_plan(execute, run.plan)
        header = self._records.header(run.header)
        execute("INSERT INTO heads (run, plan, header) VALUES (?, ?, ?)", (number, plan, header))

def _change(execute: Execute, known: _Known, seq: int, part: RunAppend, row: RunRow) -> bool:
    """Write the row anew, which was last written at step `seq` or before; False if it was later, or the token is stale."""
    known.leaves_known = row.leaves_known
    told = (row.phase, clean(row.message), row.started_at, row.ended_at, row.leaves_known)
    values = (*told, row.leaves_ended, part.steps[-1].seq, known.number, seq, part.token)
    return execute(_CLOSE if part.closed else _ADVANCE, values).rowcount == 1


def _refusal(execute: Execute, part: RunAppend) -> AetherError:
    found = execute(f"SELECT token, {_SEQ} FROM {RUNS} WHERE run_id = ?", (part.run_id,)).fetchone()
    if found is None:
        return BusyError(f"run {part.run_id!r} was deleted by somebody else")
    if found[0] != part.token:
        return BusyError(f"run {part.run_id!r} was taken over by another owner")
    return BusyError(f"run {part.run_id!r} is at step {found[1]}, not {part.expected_seq}: somebody else drives it")


def make_row(found: tuple[Any, ...]) -> RunRow:
    """A row from the columns of ROW."""
    row = RunRow(*found)
    labels: Any = row.labels
    row.labels = json.loads(labels) if labels != "{}" else {}
    row.closed = row.closed == 1
    return row


def _where(query: RunQuery) -> tuple[str, list[Json]]:
    """The condition, and its values. A label is found as it stands in the JSON text, which no other text can contain."""
    table: list[tuple[str, Json]] = [
        ("workflow = ?", query.name),
        ("namespace = ?", query.namespace),
        ("created_at >= ?", query.since),
        ("created_at < ?", query.until),
        ("ended_at < ?", query.ended_before),
        ("closed = ?", query.closed),
    ]
    held = [(text, value) for text, value in table if value is not None]
    held += [("instr(labels, ?)", clean(_to_json({key: value})[1:-1])) for key, value in query.labels.items()]
    texts, values = [text for text, _ in held], [value for _, value in held]
    if query.phases:
        texts.append(f"phase IN ({', '.join('?' * len(query.phases))})")
        values += query.phases
    if query.prefix:
        texts.append("run_id >= ? AND run_id < ?")
        values += (query.prefix, f"{query.prefix}\U0010ffff")
    if query.retries:
        texts.append("retry_of IS NOT NULL")
    if query.before is not None:
        texts.append("(created_at, run_id) < (?, ?)")
        values += query.before
    return f"WHERE {' AND '.join(texts)}" if texts else "", values
