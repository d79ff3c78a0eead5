"""Runs in SQLite: how steps are appended.

One append is one transaction, whatever the number of runs. The key of `steps` is the optimistic lock, the run's token
the fence, both in the statement that inserts. The row of `runs` is written when something but the number of steps and ended
leaves has changed; these two stand beside the steps. Rows of steps are a chain of digests, whose end the run's row has as of
its last change.

Every change has a number (`numbers`): steps alone have it in their row, all else makes a row of `changes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from aether_protocol.adapters.stores.sql.records import next_sum
from aether_protocol.adapters.stores.sql.runs import (
    STEPS,
    Known,
    RunRecords,
    exists,
    name_artifacts,
    refusal,
    save,
    taken_id,
)
from aether_protocol.adapters.stores.sql.work import run as carry_out
from aether_protocol.adapters.stores.sqlite.database import Database, Execute
from aether_protocol.adapters.stores.sqlite.dialect import SqliteDialect
from aether_protocol.errors import AetherError, NotFoundError
from aether_protocol.ports.store import SNAPSHOT
from aether_protocol.ports.store.runs import NewRun, RunAppend, StoredRun

_NONE: Final[Mapping[str, AetherError]] = MappingProxyType({})

_APPEND: Final = f"INSERT OR IGNORE INTO steps ({STEPS}) SELECT ?, ?, ?, ?, ?, ? FROM runs WHERE number = ? AND token = ?"
# Alone, where the feed finds the change beside the steps, and the block of numbers is still the newest one.
_APPEND_ALONE: Final = f"{_APPEND} AND closed = 0 AND wake_at IS NULL AND EXISTS (SELECT 1 FROM feed WHERE reserved = ?)"
_MINE: Final = "SELECT 1 FROM runs WHERE number=? AND token=?"


class SqliteRuns:
    """`ports.store.RunStore`. `records` are the rows, written and read as in every store in SQL."""

    def __init__(self, database: Database, dialect: SqliteDialect, records: RunRecords) -> None:
        self._db = database
        self._dialect = dialect
        self._records = records
        self._known = records.known
        self.load, self.row, self.rows, self.lines = records.load, records.row, records.rows, records.lines

    async def create(self, run: NewRun) -> int:
        token, known = await self._dialect.transact(lambda: self._records.create(run))
        self._known[run.row.run_id] = known
        return token

    async def import_run(self, run: StoredRun) -> None:
        await self._dialect.transact(lambda: self._records.import_run(run))

    async def delete(self, run_ids: Sequence[str]) -> int:
        deleted = await self._dialect.transact(lambda: self._records.delete(run_ids))
        for run_id in run_ids:
            self._records.forget(run_id)
        return deleted

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
        known = self._known.get(part.run_id) or carry_out(execute, self._records.look_up(part.run_id))
        if known is None:
            return NotFoundError(f"run {part.run_id!r} is unknown")
        taken = carry_out(execute, taken_id(part)) if part.new_runs else None
        if taken is not None:
            return exists(taken)
        if known.seq != part.expected_seq:  # another writer continued from what the file has
            known = carry_out(execute, self._records.look_up(part.run_id))
        if known is None or known.seq != part.expected_seq:
            return carry_out(execute, refusal(part))
        if not (self._advance(execute, known, part) if known.tier != SNAPSHOT else self._pass(execute, known, part)):
            return carry_out(execute, refusal(part))
        for new in part.new_runs:
            _, begun[new.row.run_id] = carry_out(execute, self._records.insert(new))
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
        return known.base + part.expected_seq + 1, steps[-1].seq, part.leaves_ended, change, self._records.codec.steps(steps)

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
            carry_out(execute, self._records.change_row(known, part.expected_seq, part, part.row))
        if part.artifacts:
            carry_out(execute, name_artifacts(known.number, part.artifacts))
        if part.snapshot is not None:
            carry_out(execute, save(known.number, known.seq, part.snapshot))
        return True

    def _pass(self, execute: Execute, known: Known, part: RunAppend) -> bool:
        """Tier snapshot: record the state where it is given, and no step; False if the token is stale."""
        if execute(_MINE, (known.number, part.token)).fetchone() is None:
            return False
        known.seq = part.steps[-1].seq
        if part.snapshot is not None:
            change_row = self._records.change_row
            if part.row is None or not carry_out(execute, change_row(known, known.saved, part, part.row)):
                return False
            carry_out(execute, save(known.number, known.seq, part.snapshot))
            self._db.numbers.record(execute, known.number)
            known.saved = known.seq
        carry_out(execute, name_artifacts(known.number, part.artifacts))
        return True
