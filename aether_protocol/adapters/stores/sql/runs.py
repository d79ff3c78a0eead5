"""Runs in SQL: what is written of a new run, and all that is read.

How a run is kept (its tier) is said at its creation and holds for its life, by which engine it may be opened. Appends are the
adapters' own: they are what is tuned.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from msgspec.structs import replace

from aether_protocol.adapters.stores.sql.leases import COUNTS, LEASE, end_of
from aether_protocol.adapters.stores.sql.newest import newest_of_each
from aether_protocol.adapters.stores.sql.records import (
    HEAD,
    LINES,
    ROW,
    RUNS,
    SEQ,
    SHOWN,
    SUMMED,
    UNLIMITED,
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
from aether_protocol.adapters.stores.sql.work import Rows, SqlDatabase, Work, change, fetch, fetch_one
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

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan

_CHUNK: Final = 128  # steps in a row, of a run that was imported

_INSERT_RUN: Final = (
    f"INSERT INTO runs ({ROW}, document_version, trace_id, token, owner, fixed, moved, head) VALUES ({', '.join('?' * 24)}) "
    "RETURNING number"
)
_CHANGE: Final = (
    "UPDATE runs SET phase=?, message=?, started_at=?, ended_at=?, leaves_known=?, leaves_ended=?, seq=?, moved=?, head=?"
)
_ADVANCE: Final = f"{_CHANGE} WHERE number=? AND seq<=? AND token=?"
_CLOSE: Final = f"{_CHANGE}, closed=1 WHERE number=? AND seq<=? AND token=?"  # apart: `closed` is indexed
STEPS: Final = "id, last, ended, change, lines, sum"
INSERT_STEPS: Final = f"INSERT INTO steps ({STEPS}) VALUES (?, ?, ?, ?, ?, ?)"
_SAVE: Final = (
    "INSERT INTO snapshots (run, seq, text, sum) VALUES (?, ?, ?, ?) ON CONFLICT (run) DO UPDATE SET "
    "seq = excluded.seq, text = excluded.text, sum = excluded.sum"
)
_NAME: Final = "INSERT INTO artifacts (run, digest) VALUES (?, ?) ON CONFLICT (run, digest) DO NOTHING"
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
    its row was written at: on tier snapshot the store has nothing of what came after that. `sum` is the digest of the newest
    row of steps."""

    __slots__ = ("base", "number", "saved", "seq", "sum", "tier")

    def __init__(self, number: int, tier: str, seq: int, saved: int, sum_: bytes | None = b"") -> None:
        self.number = number
        self.base = number << 32  # the id of the row of steps that begins with step 0, which there never is
        self.tier = tier
        self.seq = seq
        self.saved = saved
        self.sum = sum_ or b""


class RunRecords:
    """The rows of runs, and what this process knows of those that it appends to. `tier` is how new runs are kept."""

    def __init__(self, database: SqlDatabase, tier: str) -> None:
        self._db = database
        self.tier = tier
        self.known: dict[str, Known] = {}

    @cached_property
    def codec(self) -> RecordCodec:
        return RecordCodec(self._db.path)

    # --- what is known ---

    def remember(self, known: Mapping[str, Known]) -> None:
        """Keep what is known of runs that were inserted: their transaction is through."""
        self.known.update(known)

    def forget(self, run_id: str) -> None:
        """Forget what is known of a run: it is looked up again with the next append."""
        self.known.pop(run_id, None)

    def look_up(self, run_id: str, keep: bool = True) -> Work[Known | None]:
        """Read what must be known of a run to append to it; None for an unknown one."""
        saved = "coalesce((SELECT seq FROM snapshots WHERE run = number), 0)"
        found = yield from fetch_one(f"SELECT number, tier, {SEQ}, {saved}, sum FROM {RUNS} WHERE run_id = ?", (run_id,))
        if found is None:
            return None
        known = Known(*found)
        if keep:
            self.known[run_id] = known
        return known

    # --- writing ---

    def create(self, run: NewRun) -> Work[tuple[int, Known]]:
        """Insert a new run as `insert` does, while the run that it retries, if it does, is there and stays."""
        before = run.row.retry_of
        if before is not None:
            kept = yield from fetch_one(f"SELECT 1 FROM runs WHERE run_id = ?{self._db.for_key}", (before,))
            if kept is None:
                raise NotFoundError(f"run {before!r} was deleted")
        return (yield from self.insert(run))

    def insert(self, run: NewRun) -> Work[tuple[int, Known]]:
        """Insert a new run; its token, and what is to be remembered of it."""
        token = 0 if run.owner is None else FIRST_TOKEN
        if run.key is not None:
            yield from _require_free(run.row.namespace, run.key)
        number = yield from self._insert(run.row, self.tier, token, run.owner)
        if run.key is not None:
            values = run.row.namespace, run.key.key, number, run.key.digest
            yield _KEEP_KEY, (*values, sum_of("keys", values))
        yield from self._keep_head(number, run)
        if run.owner is not None:
            now = yield from self._db.clock()
            yield LEASE, (run.owner, end_of(run.ttl, now), run.ttl)
        yield from name_artifacts(number, run.artifacts)
        return token, Known(number, self.tier, run.row.seq, 0)

    def _insert(self, row: RunSummary, tier: str, token: int, owner: str | None) -> Work[int]:
        if (yield from is_there(row.run_id)):
            raise exists(row.run_id)
        labels = clean(to_json(dict(row.labels)))
        place = (row.run_id, row.workflow, row.namespace, row.version, labels, row.phase, clean(row.message))
        times = (row.created_at, row.started_at, row.ended_at, row.closed, row.seq, row.leaves_ended, row.leaves_known)
        origin = (row.digest, row.retry_of, tier, row.document_version, row.trace_id)
        fixed = sum_of("fixed", (*place[:5], row.created_at, *origin))
        sums = fixed, sum_of_moved(moved_values(row), None), None
        found = yield from fetch_one(_INSERT_RUN, (*place, *times, *origin, token, owner, *sums))
        assert found is not None
        number: int = found[0]
        yield from self._db.record_change(number)
        return number

    def keep_plan(self, plan: Plan) -> Work[int]:
        """Find the row of a plan, or make it; its number."""
        return self.codec.keep_plan(plan, self._db.for_key)

    def _keep_head(self, number: int, run: NewRun | StoredRun) -> Work[None]:
        """Record what of a run never changes."""
        plan = yield from self.keep_plan(run.plan)
        values = number, plan, self.codec.header(run.header)
        yield "INSERT INTO heads (run, plan, header, sum) VALUES (?, ?, ?, ?)", (*values, sum_of("heads", values))

    def import_run(self, run: StoredRun) -> Work[None]:
        """Insert a run that another store gave."""
        tier = run.row.tier if run.row.tier == SNAPSHOT else STATE_ACTION_LOG
        number = yield from self._insert(run.row, tier, 0, None)
        yield "UPDATE runs SET epoch = ? WHERE number = ?", (run.epoch + 1, number)
        yield from self._keep_head(number, run)
        yield from name_artifacts(number, run.artifacts)
        first = run.row.seq - len(run.lines) + 1
        if run.snapshot is not None:
            yield from save(number, first - 1, run.snapshot)
        sum_, rows = b"", Rows()
        for start in range(0, len(run.lines), _CHUNK):
            lines = run.lines[start : start + _CHUNK]
            begin = first + start
            text = clean("\n".join(lines))
            values = (number << 32) + begin, begin + len(lines) - 1, run.row.leaves_ended, 0, text
            sum_ = next_sum(sum_, *values)  # number 0: that the run is new has a change of its own
            rows.append((*values, sum_))
        yield INSERT_STEPS, rows
        if sum_:
            moved = sum_of_moved(moved_values(run.row), sum_)
            yield "UPDATE runs SET moved = ?, head = ? WHERE number = ?", (moved, sum_, number)

    def delete(self, run_ids: Sequence[str]) -> Work[int]:
        """Delete runs with all that belongs to them; how many there were. Raises BusyError for one that is driven."""
        deleted = 0
        now = yield from self._db.clock()
        asked = (
            f"SELECT number, closed = 0 AND owners.owner IS NOT NULL AND NOT (NOT {COUNTS}{self._db.gone_owner}), plan, "
            "namespace FROM runs LEFT JOIN owners USING (owner) LEFT JOIN heads ON run = number WHERE run_id = ?"
        )
        for run_id in dict.fromkeys(run_ids):
            found = yield from fetch_one(asked, (now, now, run_id))
            if found is None:
                continue
            number, driven, plan, namespace = found
            if driven:
                raise BusyError(f"run {run_id!r} is being driven", hint="cancel it first")
            yield "DELETE FROM steps WHERE id BETWEEN ? AND ?", (number << 32, ((number + 1) << 32) - 1)
            for table in _OF_RUN:
                yield f"DELETE FROM {table} = ?", (number,)
            yield "DELETE FROM runs WHERE number = ?", (number,)
            yield from self._db.record_change(number, run_id, namespace)
            yield FORGET_PLAN, (plan,)
            deleted += 1
        return deleted

    def change_row(self, known: Known, seq: int, part: RunAppend, row: RunSummary) -> Work[bool]:
        """Write the row, which was last written at step `seq` or before; False if it was later, or the token is stale."""
        values = (*changed_values(part, row, known.sum or None), known.number, seq, part.token)
        return (yield from change(_CLOSE if part.closed else _ADVANCE, values)) == 1

    # --- reading ---

    async def load(self, run_id: str) -> StoredRun:
        row, head, saved, lines = await self._db.query(lambda: self._load(run_id, f"run {run_id!r}"), bulk=True)
        whose = f"run {run_id!r}"
        header = self.codec.read_header(head[2] if head is not None else None, whose)
        plan = self.codec.read_plan(head[4:] if head is not None else None, whose)
        snapshot = saved[2] if saved is not None else None
        return StoredRun(make_row(row[:WIDTH]), plan, header, snapshot, lines, epoch=row[-2])

    def _load(self, run_id: str, whose: str) -> Work[tuple[Any, Any, Any, list[str]]]:
        row = yield from fetch_one(f"SELECT {SHOWN}, {SUMMED}, epoch, number FROM {RUNS} WHERE run_id = ?", (run_id,))
        if row is None:
            raise NotFoundError(f"{whose} is unknown")
        number = row[-1]
        require_row(row, whose)
        head = yield from fetch_one(HEAD, (number,))
        if head is not None:
            require("heads", head[:3], head[3], f"the header of {whose}")
        saved = yield from fetch_one("SELECT run, seq, text, sum FROM snapshots WHERE run = ?", (number,))
        if saved is not None:
            require("snapshots", saved[:3], saved[3], f"the snapshot of {whose}")
        first = saved[1] + 1 if saved is not None else 0
        lines = yield from chained(self._db.chained_change, number, first, whose)
        return row, head, saved, lines

    async def row(self, run_id: str) -> RunSummary | None:
        found = await self._db.query(lambda: fetch_one(f"SELECT {SHOWN} FROM {RUNS} WHERE run_id = ?", (run_id,)))
        return make_row(found) if found is not None else None

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        where, values = condition(query, self._db) if query.newest_of_each is None else newest_of_each(query, self._db)
        order = "wake_at, run_id" if query.asleep else "created_at DESC, run_id DESC"
        text = f"SELECT {SHOWN} FROM {RUNS} {where} ORDER BY {order} LIMIT ?"
        limit = UNLIMITED if query.limit is None else query.limit
        found = await self._db.query(lambda: fetch(text, (*values, limit)), bulk=True)
        return [make_row(one) for one in found]

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        return (await self._db.query(lambda: self._lines(run_id, after, limit), bulk=True))[:limit]

    def _lines(self, run_id: str, after: int, limit: int) -> Work[list[tuple[int, str]]]:
        known = self.known.get(run_id) or (yield from self.look_up(run_id, keep=False))
        if known is None:
            raise NotFoundError(f"run {run_id!r} is unknown")
        base, found = known.base, list[tuple[int, str]]()
        before: bytes | None = None
        text = LINES % self._db.chained_change
        for row in (yield from fetch(text, (base, base + after + 1, base + (1 << 32), limit + 1))):
            before = yield from require_chained(row, before, f"run {run_id!r}")
            if row[1] > after:
                first = row[0] - base
                found += [(seq, line) for seq, line in enumerate(row[4].split("\n"), first) if seq > after]
            if len(found) >= limit:
                break
        return found


def changed_values(part: RunAppend, row: RunSummary, head: bytes | None) -> tuple[Any, ...]:
    """List what an append writes to the row of its run: phase, message, started_at, ended_at, leaves_known, leaves_ended, seq,
    and the digests moved and head."""
    now = replace(row, seq=part.steps[-1].seq, closed=part.closed)
    told = (row.phase, clean(row.message), row.started_at, row.ended_at, row.leaves_known, row.leaves_ended, now.seq)
    return *told, sum_of_moved(moved_values(now), head), head


def is_there(run_id: str) -> Work[bool]:
    """Whether there is a run of this id."""
    return (yield from fetch_one("SELECT 1 FROM runs WHERE run_id = ?", (run_id,))) is not None


def taken_id(part: RunAppend) -> Work[str | None]:
    """The first id of the runs that begin with an append which is taken already."""
    new_ids = [new.row.run_id for new in part.new_runs]
    for at, id_ in enumerate(new_ids):
        if id_ in new_ids[:at] or (yield from is_there(id_)):
            return id_
    return None


def _require_free(namespace: str, key: RunKey) -> Work[None]:
    """Raise KeyTakenError where a run has the key."""
    found = yield from fetch_one(_KEY, (namespace, key.key))
    if found is not None:
        *values, sum_, run_id = found
        require("keys", values, sum_, f"the idempotency key {key.key!r}")
        raise KeyTakenError(key.key, run_id, first=values[3], given=key.digest)


def exists(run_id: str) -> ConflictError:
    """Make the error for an id that is taken."""
    return ConflictError(f"run {run_id!r} exists already")


def name_artifacts(number: int, artifacts: Iterable[str]) -> Work[None]:
    """Record that a run names artifacts."""
    rows = Rows([(number, digest) for digest in artifacts])
    if rows:
        yield _NAME, rows


def save(number: int, seq: int, snapshot: str) -> Work[None]:
    """Keep a run's whole state, in place of the one before."""
    values = number, seq, snapshot
    yield _SAVE, (*values, sum_of("snapshots", values))


def refusal(part: RunAppend) -> Work[AetherError]:
    """Find out why an append was refused."""
    found = yield from fetch_one(f"SELECT token, {SEQ} FROM {RUNS} WHERE run_id = ?", (part.run_id,))
    if found is None:
        return BusyError(f"run {part.run_id!r} was deleted by another process")
    if found[0] != part.token:
        return BusyError(f"run {part.run_id!r} was taken over by another owner")
    return BusyError(f"run {part.run_id!r} is at step {found[1]}, not {part.expected_seq}: another engine drives it")
