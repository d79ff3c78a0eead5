"""Schedules in SQLite, with what became of their fires.

Law: the version of a schedule is the lock: it is compared and raised in the transaction that writes all the rest of a
decision, the new runs among it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.adapters.stores.sqlite.database import Database, Execute, next_id
from aether_protocol.adapters.stores.sqlite.leases import ask
from aether_protocol.adapters.stores.sqlite.records import COVERED, RUNS, SHOWN, damaged, make_row, require, sum_of
from aether_protocol.adapters.stores.sqlite.runs import FORGET_PLAN, SqliteRuns, is_there
from aether_protocol.cron.settings import decode_settings, encode_settings
from aether_protocol.errors import AetherError, BusyError, NotFoundError, UsageError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.runs import RunSummary
from aether_protocol.ports.store.schedules import CANCEL, KEEP_FIRES, FireRecord, ScheduleDecision, StoredSchedule

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan

_ONE: Final = "WHERE namespace = ? AND name = ?"
_SCHEDULE: Final = (
    "namespace, name, settings, spec, document, applied_at, changed_at, seen, next_at, last_at, generation, version"
)
_INSERT: Final = f"INSERT INTO schedules ({_SCHEDULE}, plan) VALUES ({', '.join('?' * 13)}) ON CONFLICT DO NOTHING"
_SUMMED: Final = f"{COVERED['schedules']}, sum"
_CHANGE: Final = (
    "UPDATE schedules SET settings = ?, spec = ?, document = ?, applied_at = ?, changed_at = ?, seen = ?, next_at = ?, "
    f"last_at = ?, generation = ?, version = version + 1 {_ONE} AND version = ? RETURNING number"
)
_FIRE: Final = "at, kind, noted_at, run_id, reason, count, first, generation"
_INSERT_FIRE: Final = f"INSERT INTO fires (id, schedule, {_FIRE}, sum) VALUES ({', '.join('?' * 11)})"
_OLD_FIRES: Final = (
    "DELETE FROM fires WHERE schedule = ?1 AND id <= (SELECT id FROM fires WHERE schedule = ?1 ORDER BY id DESC LIMIT 1 "
    f"OFFSET {KEEP_FIRES}) AND (run_id IS NULL OR run_id NOT IN (SELECT run_id FROM runs))"
)
_RUNS_OF: Final = (
    f"SELECT {SHOWN} FROM (SELECT run_id AS started, max(at) AS fired FROM fires JOIN schedules ON number = schedule "
    "WHERE run_id IS NOT NULL AND (?1 IS NULL OR namespace = ?1) AND (?2 IS NULL OR name = ?2) GROUP BY run_id) "
    f"JOIN {RUNS.replace('runs LEFT', 'runs ON run_id = started LEFT')} WHERE ?3 IS NULL OR closed = ?3 "
    "ORDER BY fired DESC, run_id DESC"
)
_CANCEL_TEXT: Final = json.dumps(CANCEL)


class SqliteSchedules:
    """`ports.store.ScheduleStore`. `runs` makes the runs that a decision starts."""

    def __init__(self, database: Database, runs: SqliteRuns) -> None:
        self._db = database
        self._runs = runs

    async def put(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        async with self._db.write() as execute:
            self.write(execute, schedule, plan)
            found = _find(execute, schedule.namespace, schedule.name)
        assert found is not None
        return found

    def write(self, execute: Execute, schedule: StoredSchedule, plan: Plan | None) -> None:
        """`put`, inside of a transaction."""
        number = None if plan is None else self._runs.records.keep_plan(execute, plan)
        if schedule.version == 0:
            if number is None:
                raise UsageError(f"schedule {schedule.name!r} has no plan")
            if execute(_INSERT, (*_values(schedule), 1, number)).rowcount != 1:
                raise BusyError(f"schedule {schedule.name!r} exists already")
        else:
            self._change(execute, schedule)
            if number is not None:
                where = (schedule.namespace, schedule.name)
                before = execute(f"SELECT plan FROM schedules {_ONE}", where).fetchone()
                execute(f"UPDATE schedules SET plan = ? {_ONE}", (number, *where))
                execute(FORGET_PLAN, before)
        _sum_up(execute, schedule.namespace, schedule.name)

    async def get(self, namespace: str, name: str) -> StoredSchedule | None:
        with self._db.read() as execute:
            return _find(execute, namespace, name)

    async def find(
        self, namespace: str | None = None, *, due: int | None = None, limit: int | None = None
    ) -> list[StoredSchedule]:
        order = "namespace, name" if due is None else "next_at, namespace, name"
        where = f"WHERE (?1 IS NULL OR namespace = ?1) AND (?2 IS NULL OR next_at <= ?2) ORDER BY {order} LIMIT ?3"
        values = (namespace, due, -1 if limit is None else limit)
        with self._db.read() as execute:
            return [_make(item) for item in execute(f"SELECT {_SUMMED} FROM schedules {where}", values)]

    async def plan(self, namespace: str, name: str) -> Plan:
        with self._db.read() as execute:
            there = _find(execute, namespace, name)
            text = f"SELECT digest, text FROM plans WHERE number = (SELECT plan FROM schedules {_ONE})"
            found = execute(text, (namespace, name)).fetchone()
        if there is None:
            raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return self._runs.records.read_plan(found, f"schedule {name!r}")

    async def remove(self, namespace: str, name: str) -> bool:
        async with self._db.write() as execute:
            found = execute(f"DELETE FROM schedules {_ONE} RETURNING number, plan", (namespace, name)).fetchone()
            if found is None:
                return False
            execute("DELETE FROM fires WHERE schedule = ?", (found[0],))
            execute(FORGET_PLAN, (found[1],))
        return True

    async def decide(self, decision: ScheduleDecision) -> Mapping[str, int]:
        tokens: dict[str, int] = {}
        begun = {}
        async with self._db.write() as execute:
            number = self._change(execute, decision.schedule)
            _sum_up(execute, decision.schedule.namespace, decision.schedule.name)
            there = {run.row.run_id for run in decision.runs if is_there(execute, run.row.run_id)}
            for run in decision.runs:
                if run.row.run_id not in there:
                    tokens[run.row.run_id], begun[run.row.run_id] = self._runs.insert(execute, run)
            for record in decision.records:
                if record.run_id not in there:
                    values = (next_id(execute, "fires"), number, *_fire_values(record))
                    execute(_INSERT_FIRE, (*values, sum_of("fires", values)))
            for run_id in decision.cancel:
                ask(execute, run_id, _CANCEL_TEXT, "AND closed = 0")
            if decision.records:
                execute(_OLD_FIRES, (number,))
        self._runs.remember(begun)
        return tokens

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        text = (
            f"SELECT id, schedule, {_FIRE}, sum FROM fires "
            "WHERE schedule = (SELECT number FROM schedules WHERE namespace = ?1 AND name = ?2) "
            "AND (?3 IS NULL OR id < ?3) ORDER BY id DESC LIMIT ?4"
        )
        with self._db.read() as execute:
            found: list[Any] = execute(text, (namespace, name, before, limit)).fetchall()
        for *values, sum_ in found:
            require("fires", values, sum_, f"a fire of schedule {name!r}")
        return [_make_fire(item) for item in found]

    async def runs(
        self, namespace: str | None = None, name: str | None = None, *, closed: bool | None = None
    ) -> list[RunSummary]:
        with self._db.read() as execute:
            return [make_row(item) for item in execute(_RUNS_OF, (namespace, name, closed))]

    def _change(self, execute: Execute, schedule: StoredSchedule) -> int:
        """Move a schedule on from the version that was read; its number."""
        values = (*_values(schedule)[2:], schedule.namespace, schedule.name, schedule.version)
        found = execute(_CHANGE, values).fetchall()
        if not found:
            raise BusyError(f"schedule {schedule.name!r} was changed by another process", hint="look at it, and try again")
        number: int = found[0][0]
        return number


def _find(execute: Execute, namespace: str, name: str) -> StoredSchedule | None:
    found = execute(f"SELECT {_SUMMED} FROM schedules {_ONE}", (namespace, name)).fetchone()
    return _make(found) if found is not None else None


def _sum_up(execute: Execute, namespace: str, name: str) -> None:
    """Make the digest of a schedule's row that was written just now."""
    values = execute(f"SELECT {COVERED['schedules']} FROM schedules {_ONE}", (namespace, name)).fetchone()
    execute(f"UPDATE schedules SET sum = ? {_ONE}", (sum_of("schedules", values), namespace, name))


def _make(found: tuple[Any, ...]) -> StoredSchedule:
    *values, sum_ = found
    what = f"schedule {found[2]!r}"
    require("schedules", values, sum_, what)
    _, namespace, name, settings, *rest, _ = values
    try:
        return StoredSchedule(namespace, name, decode_settings(json.loads(settings)), *rest)
    except (AetherError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise damaged(what) from error


def _make_fire(found: tuple[Any, ...]) -> FireRecord:
    id_, _, at, kind, noted_at, run_id, reason, count, first, generation, _ = found
    return FireRecord(
        at=at,
        kind=kind,
        noted_at=noted_at,
        run_id=run_id,
        reason=reason,
        count=count,
        first=first,
        generation=generation,
        id=id_,
    )


def _values(schedule: StoredSchedule) -> tuple[Any, ...]:
    """In the order of `_SCHEDULE`, without the version."""
    settings = json.dumps(encode_settings(schedule.settings))
    texts = (schedule.namespace, schedule.name, settings, schedule.spec, clean(schedule.document))
    times = (schedule.applied_at, schedule.changed_at, schedule.seen, schedule.next_at, schedule.last_at)
    return (*texts, *times, schedule.generation)


def _fire_values(record: FireRecord) -> tuple[Any, ...]:
    told = (record.at, record.kind, record.noted_at, record.run_id, clean(record.reason))
    return (*told, record.count, record.first, record.generation)
