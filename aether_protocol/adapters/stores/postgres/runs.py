"""Runs in PostgreSQL: how steps are appended.

One append is one transaction, whatever the number of runs, and one statement (one round trip) where no more than steps and rows
is written. The key of `steps` is the optimistic lock. The fence is a lock on the row of the run, in the statement that inserts:
where another claims the run at this moment the append waits, reads the row as it is then, and is refused. A comparison alone
would read the token from before. Rows of steps are a chain of digests, which shows also whether a row was written by an append
that heard no answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from aether_protocol.adapters.stores.postgres.dialect import CHANGE, MOST_CHANGES, PostgresDialect
from aether_protocol.adapters.stores.postgres.link import ORDINAL, Link
from aether_protocol.adapters.stores.postgres.texts import to_server
from aether_protocol.adapters.stores.sql.records import next_sum
from aether_protocol.adapters.stores.sql.runs import (
    STEPS,
    Known,
    RunRecords,
    changed_values,
    exists,
    name_artifacts,
    refusal,
    save,
    taken_id,
)
from aether_protocol.adapters.stores.sql.work import Work, fetch_one
from aether_protocol.errors import AetherError, NotFoundError
from aether_protocol.ports.store import SNAPSHOT
from aether_protocol.ports.store.runs import FIRST_TOKEN, NewRun, RunAppend, StoredRun

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})

_FENCE: Final = "(SELECT 1 FROM runs WHERE number = ?8 AND token = ?9 FOR SHARE) AS fence"
_APPEND: Final = (
    f"INSERT INTO steps ({STEPS}) SELECT ?3, ?4, ?5, {CHANGE}, ?6, ?7 FROM {_FENCE} ON CONFLICT (id) DO NOTHING"
)
# For several runs at once: an array for each column.
_PART: Final = (
    "WITH part AS (SELECT * FROM unnest(CAST(?2 AS BIGINT[]), CAST(?3 AS BIGINT[]), CAST(?4 AS BIGINT[]), CAST(?5 AS TEXT[]), "
    "CAST(?6 AS BYTEA[]), CAST(?7 AS BIGINT[]), CAST(?8 AS BIGINT[]){types}) WITH ORDINALITY "
    "AS part (id, last, ended, lines, sum, number, token, {names}ordinal)), "
    "fence AS (SELECT runs.number FROM runs JOIN part ON runs.number = part.number AND runs.token = part.token "
    "ORDER BY runs.number FOR {lock} OF runs) "
)
_INSERT_EACH: Final = (
    f"INSERT INTO steps ({STEPS}) SELECT id, last, ended, {CHANGE.replace('?2', 'ordinal')}, lines, sum "
    "FROM part JOIN fence ON fence.number = part.number ON CONFLICT (id) DO NOTHING RETURNING id"
)
_APPEND_EACH: Final = _PART.format(types="", names="", lock="SHARE") + _INSERT_EACH
# The same, where rows of runs change with their steps; those that do not change have no phase.
_APPEND_AND_CHANGE_EACH: Final = (
    _PART.format(
        types=", CAST(?9 AS TEXT[]), CAST(?10 AS TEXT[]), CAST(?11 AS BIGINT[]), CAST(?12 AS BIGINT[]), CAST(?13 AS BIGINT[]), "
        "CAST(?14 AS BIGINT[]), CAST(?15 AS BIGINT[]), CAST(?16 AS BYTEA[]), CAST(?17 AS BYTEA[]), CAST(?18 AS BIGINT[])",
        names="phase, message, started_at, ended_at, leaves_known, leaves_ended, seq, moved, head, closed, ",
        lock="NO KEY UPDATE",
    )
    + f", written AS ({_INSERT_EACH}), changed AS (UPDATE runs SET phase = part.phase, message = part.message, "
    "started_at = part.started_at, ended_at = part.ended_at, leaves_known = part.leaves_known, "
    "leaves_ended = part.leaves_ended, seq = part.seq, moved = part.moved, head = part.head, closed = part.closed "
    "FROM part JOIN written ON written.id = part.id WHERE runs.number = part.number AND part.phase IS NOT NULL) "
    "SELECT id FROM written"
)
_UNCHANGED: Final = (None,) * 10
_WRITTEN_EACH: Final = (
    "SELECT id FROM unnest(CAST(?1 AS BIGINT[]), CAST(?2 AS BYTEA[])) AS part (id, sum) JOIN steps USING (id, sum)"
)
# With more to write to the row of the run: nothing is to be locked twice.
_APPEND_AND_CHANGE: Final = _APPEND.replace("FOR SHARE", "FOR NO KEY UPDATE")
_MINE: Final = "SELECT 1 FROM runs WHERE number = ? AND token = ? FOR NO KEY UPDATE"
_WRITTEN: Final = "SELECT sum FROM steps WHERE id = ?"
_DELETED_AT_ONCE: Final = MOST_CHANGES // 4


class PostgresRuns:
    """`ports.store.RunStore`. `records` are the rows, written and read as in every store in SQL."""

    def __init__(self, dialect: PostgresDialect, records: RunRecords) -> None:
        self._dialect = dialect
        self._records = records
        self._known = records.known
        self.load, self.row, self.rows, self.lines = records.load, records.row, records.rows, records.lines

    async def create(self, run: NewRun) -> int:
        token, known = await self._dialect.transact(
            lambda: self._records.create(run), again=lambda: self._create_again(run)
        )
        self._known[run.row.run_id] = known
        return token

    def _create_again(self, run: NewRun) -> Work[tuple[int, Known]]:
        """Insert a new run, unless that was done and not heard of."""
        asked = "SELECT header, token FROM runs JOIN heads ON run = number WHERE run_id = ?"
        found = yield from fetch_one(asked, (run.row.run_id,))
        if found is not None and found[0] == self._records.codec.header(run.header):
            known = yield from self._records.look_up(run.row.run_id)
            if known is not None and found[1] == (0 if run.owner is None else FIRST_TOKEN):
                return found[1], known
        return (yield from self._records.create(run))

    async def import_run(self, run: StoredRun) -> None:
        await self._dialect.transact(lambda: self._records.import_run(run), long=True)

    async def delete(self, run_ids: Sequence[str]) -> int:
        """Delete runs; of very many, some thousands in a transaction."""
        deleted = 0
        for start in range(0, len(run_ids), _DELETED_AT_ONCE):
            several = run_ids[start : start + _DELETED_AT_ONCE]
            deleted += await self._dialect.transact(lambda several=several: self._records.delete(several), "leases", long=True)  # type: ignore[misc]
        for run_id in run_ids:
            self._records.forget(run_id)
        return deleted

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        try:
            if len(batch) == 1 and (done := await self._append_alone(batch[0])) is not None:
                return done
            if not (batch := await self._append_each(batch)):
                return _NONE
            refused, begun, reached = await self._dialect.transact(
                lambda: self._append(batch), again=lambda: self._append(batch, doubtful=True)
            )
        except BaseException:
            for part in batch:  # what is known may be behind, or ahead
                self._records.forget(part.run_id)
            raise
        self._known.update(begun)
        for run_id, (known, seq, saved, sum_) in reached.items():
            known.seq, known.saved, known.sum = seq, saved, sum_
            self._known[run_id] = known
        for part in batch:
            if part.closed or part.run_id in refused:
                self._records.forget(part.run_id)
        return refused or _NONE

    # --- in one statement ---

    async def _append_alone(self, part: RunAppend) -> Mapping[str, AetherError] | None:
        """Append steps that leave the row as it is; None where there is more to do, or to find out."""
        known = self._known_for_one_statement(part)
        if known is None or part.row is not None or part.closed:
            return None
        row = self._step_values(known, part)
        sum_ = next_sum(known.sum, row[0], row[1], row[2], 0, row[3])
        values = (self._dialect.offset, 0, *row, sum_, known.number, part.token)

        async def attempt(link: Link, doubtful: bool) -> bool:
            if (await link.run(_APPEND, values)).changed == 1:
                return True
            return doubtful and (await link.run(_WRITTEN, (row[0],))).rows == [(sum_,)]

        if not await self._dialect.connections.insist(attempt):
            return None
        known.seq, known.sum = row[1], sum_
        self._dialect.changed()
        return _NONE

    def _known_for_one_statement(self, part: RunAppend) -> Known | None:
        """What is known of the run of an append of which nothing is written but its steps and its row, as far as can be seen
        here."""
        known = self._known.get(part.run_id)
        if known is None or known.seq != part.expected_seq or known.tier == SNAPSHOT:
            return None
        return None if part.artifacts or part.new_runs or part.snapshot is not None else known

    async def _append_each(self, batch: Sequence[RunAppend]) -> Sequence[RunAppend]:
        """Append what is steps and rows alone; those appends for which there is more to do, or to find out."""
        alone, others = dict[int, tuple[Known, RunAppend, int, bytes]](), list[RunAppend]()
        columns: list[tuple[Any, ...]] = []
        for part in batch:
            known = self._known_for_one_statement(part)
            if known is None or len(columns) >= MOST_CHANGES // 2:
                others.append(part)
                continue
            row = self._step_values(known, part)
            sum_ = next_sum(known.sum, row[0], row[1], row[2], 0, row[3])
            columns.append((*row, sum_, known.number, part.token, *_told(part, sum_)))
            alone[row[0]] = (known, part, row[1], sum_)
        if not columns:
            return batch
        text, width = _APPEND_AND_CHANGE_EACH, len(columns[0])
        if all(part.row is None for _, part, _, _ in alone.values()):
            text, width = _APPEND_EACH, width - len(_UNCHANGED)
        values = (self._dialect.offset, *map(list, list(zip(*columns, strict=True))[:width]))

        async def attempt(link: Link, doubtful: bool) -> set[int]:
            written = {id_ for (id_,) in (await link.run(text, values)).rows}
            if doubtful and len(written) < len(columns):
                written |= {id_ for (id_,) in (await link.run(_WRITTEN_EACH, (values[1], values[5]))).rows}
            return written

        written = await self._dialect.connections.insist(attempt)
        for id_, (known, part, seq, sum_) in alone.items():
            if id_ not in written:
                others.append(part)
            elif part.closed:
                self._records.forget(part.run_id)
            else:
                known.seq, known.sum = seq, sum_
        self._dialect.changed()
        return others

    def _step_values(self, known: Known, part: RunAppend) -> tuple[int, int, int, str]:
        steps = part.steps
        return known.base + part.expected_seq + 1, steps[-1].seq, part.leaves_ended, self._records.codec.steps(steps)

    # --- any appends, in a transaction ---

    def _append(
        self, batch: Sequence[RunAppend], doubtful: bool = False
    ) -> Work[tuple[dict[str, AetherError], dict[str, Known], dict[str, tuple[Known, int, int, bytes]]]]:
        """Append to each run. Nothing that is known changes before the transaction is through: it may be repeated.

        Gives the runs that were refused, those that began, and how far the others are.
        """
        refused: dict[str, AetherError] = {}
        begun: dict[str, Known] = {}
        reached: dict[str, tuple[Known, int, int, bytes]] = {}
        for part in sorted(batch, key=lambda one: one.run_id):  # locks are taken in one order by all
            fault = yield from self._append_to(part, doubtful, begun, reached)
            if fault is not None:
                refused[part.run_id] = fault
        return refused, begun, reached

    def _append_to(
        self,
        part: RunAppend,
        doubtful: bool,
        begun: dict[str, Known],
        reached: dict[str, tuple[Known, int, int, bytes]],
    ) -> Work[AetherError | None]:
        run_id = part.run_id
        known = self._known.get(run_id)
        if known is None or known.seq != part.expected_seq or doubtful:  # another writer continued from what the store has
            known = yield from self._records.look_up(run_id, keep=False)
        if known is None:
            return NotFoundError(f"run {run_id!r} is unknown")
        if doubtful and known.tier != SNAPSHOT and (yield from self._was_written(known, part)):
            return None
        taken = yield from taken_id(part)
        if taken is not None:
            return exists(taken)
        if known.seq != part.expected_seq:
            return (yield from refusal(part))
        now = Known(known.number, known.tier, known.seq, known.saved, known.sum)
        write = self._pass if known.tier == SNAPSHOT else self._advance
        if not (yield from write(now, part)):
            return (yield from refusal(part))
        for new in part.new_runs:
            _, begun[new.row.run_id] = yield from self._records.insert(new)
        reached[run_id] = (known, now.seq, now.saved, now.sum)
        return None

    def _was_written(self, known: Known, part: RunAppend) -> Work[bool]:
        """Whether exactly these steps were appended already, by a try that heard no answer: no other engine writes the same."""
        row = self._step_values(known, part)
        text = "SELECT sum FROM steps WHERE id < ? AND id > ? ORDER BY id DESC LIMIT 1"
        before = yield from fetch_one(text, (row[0], known.base))
        sum_ = next_sum(before[0] if before is not None else b"", row[0], row[1], row[2], 0, row[3])
        found = yield from fetch_one(_WRITTEN, (row[0],))
        return found == (sum_,)

    def _advance(self, known: Known, part: RunAppend) -> Work[bool]:
        """Record every step; False if another writer was first."""
        row = self._step_values(known, part)
        sum_ = next_sum(known.sum, row[0], row[1], row[2], 0, row[3])
        ordinal = (yield ORDINAL).changed
        values = (self._dialect.offset, ordinal, *row, sum_, known.number, part.token)
        if (yield _APPEND if part.row is None else _APPEND_AND_CHANGE, values).changed != 1:
            return False
        known.seq, known.sum = row[1], sum_
        if part.row is not None:
            yield from self._records.change_row(known, part.expected_seq, part, part.row)
        yield from name_artifacts(known.number, part.artifacts)
        if part.snapshot is not None:
            yield from save(known.number, known.seq, part.snapshot)
        return True

    def _pass(self, known: Known, part: RunAppend) -> Work[bool]:
        """Tier snapshot: record the state where it is given, and no step; False if the token is stale."""
        if (yield from fetch_one(_MINE, (known.number, part.token))) is None:
            return False
        known.seq = part.steps[-1].seq
        if part.snapshot is not None:
            if part.row is None or not (yield from self._records.change_row(known, known.saved, part, part.row)):
                return False
            yield from save(known.number, known.seq, part.snapshot)
            yield from self._dialect.record_change(known.number)
            known.saved = known.seq
        yield from name_artifacts(known.number, part.artifacts)
        return True


def _told(part: RunAppend, sum_: bytes) -> tuple[Any, ...]:
    """What is written to the row of a run whose newest steps have this digest, as elements of arrays."""
    if part.row is None:
        return _UNCHANGED
    phase, message, *others = changed_values(part, part.row, sum_)
    return phase, to_server(message), *others, int(part.closed)
