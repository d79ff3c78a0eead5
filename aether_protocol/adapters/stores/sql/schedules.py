"""Schedules in SQL, with what became of their fires.

Law: the version of a schedule is the lock: it is compared and raised in the transaction that writes all the rest of a
decision, the new runs among it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from aether_protocol.adapters.stores.sql.leases import SqlMailbox
from aether_protocol.adapters.stores.sql.records import COVERED, RUNS, SHOWN, UNLIMITED, damaged, make_row, require, sum_of
from aether_protocol.adapters.stores.sql.runs import FORGET_PLAN, Known, RunRecords, is_there
from aether_protocol.adapters.stores.sql.work import Row, Rows, SqlDatabase, Work, change, fetch, fetch_one
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
    "WHERE run_id IS NOT NULL AND (namespace = ?1 OR ?1 IS NULL) AND (name = ?2 OR ?2 IS NULL) GROUP BY run_id) AS begun "
    f"JOIN {RUNS.replace('runs LEFT', 'runs ON run_id = started LEFT', 1)} WHERE closed = ?3 OR ?3 IS NULL "
    "ORDER BY fired DESC, run_id DESC"
)
_CANCEL_TEXT: Final = json.dumps(CANCEL)


class SqlSchedules:
    """`ports.store.ScheduleStore`. `runs` makes the runs that a decision starts."""

    def __init__(self, database: SqlDatabase, runs: RunRecords, mailbox: SqlMailbox) -> None:
        self._db = database
        self._runs = runs
        self._mailbox = mailbox

    async def put(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        return await self._db.transact(lambda: self._put(schedule, plan))

    def _put(self, schedule: StoredSchedule, plan: Plan | None) -> Work[StoredSchedule]:
        yield from self.write(schedule, plan)
        found = yield from _find(schedule.namespace, schedule.name)
        assert found is not None
        return found

    def write(self, schedule: StoredSchedule, plan: Plan | None) -> Work[None]:
        """`put`, inside of a transaction."""
        number = None if plan is None else (yield from self._runs.keep_plan(plan))
        if schedule.version == 0:
            if number is None:
                raise UsageError(f"schedule {schedule.name!r} has no plan")
            if (yield from change(_INSERT, (*_values(schedule), 1, number))) != 1:
                raise BusyError(f"schedule {schedule.name!r} exists already")
        else:
            yield from self._change(schedule)
            if number is not None:
                where = (schedule.namespace, schedule.name)
                before = yield from fetch_one(f"SELECT plan FROM schedules {_ONE}", where)
                yield f"UPDATE schedules SET plan = ? {_ONE}", (number, *where)
                yield FORGET_PLAN, before or (0,)
        yield from _sum_up(schedule.namespace, schedule.name)

    async def get(self, namespace: str, name: str) -> StoredSchedule | None:
        return await self._db.query(lambda: _find(namespace, name))

    async def find(
        self,
        namespace: str | None = None,
        *,
        due: int | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> list[StoredSchedule]:
        order = "namespace, name" if due is None else "next_at, namespace, name"
        behind = "" if after is None else "AND (namespace, name) > (?4, ?5) "
        where = f"WHERE (namespace = ?1 OR ?1 IS NULL) AND (next_at <= ?2 OR ?2 IS NULL) {behind}ORDER BY {order} LIMIT ?3"
        values = (namespace, due, UNLIMITED if limit is None else limit, *(after or ()))
        return [_make(item) for item in await self._db.query(lambda: fetch(f"SELECT {_SUMMED} FROM schedules {where}", values))]

    async def plan(self, namespace: str, name: str) -> Plan:
        there, found = await self._db.query(lambda: self._find_plan(namespace, name))
        if not there:
            raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return self._runs.codec.read_plan(found, f"schedule {name!r}")

    def _find_plan(self, namespace: str, name: str) -> Work[tuple[bool, Row | None]]:
        there = yield from _find(namespace, name)
        text = f"SELECT digest, text FROM plans WHERE number = (SELECT plan FROM schedules {_ONE})"
        return there is not None, (yield from fetch_one(text, (namespace, name)))

    async def remove(self, namespace: str, name: str) -> bool:
        return await self._db.transact(lambda: self._remove(namespace, name))

    def _remove(self, namespace: str, name: str) -> Work[bool]:
        found = yield from fetch_one(f"DELETE FROM schedules {_ONE} RETURNING number, plan", (namespace, name))
        if found is None:
            return False
        yield "DELETE FROM fires WHERE schedule = ?", (found[0],)
        yield FORGET_PLAN, (found[1],)
        return True

    async def decide(self, decision: ScheduleDecision) -> Mapping[str, int]:
        begun = await self._db.transact(lambda: self._decide(decision))
        self._runs.remember({run_id: known for run_id, (_, known) in begun.items()})
        return {run_id: token for run_id, (token, _) in begun.items()}

    def _decide(self, decision: ScheduleDecision) -> Work[dict[str, tuple[int, Known]]]:
        begun = {}
        number = yield from self._change(decision.schedule)
        yield from _sum_up(decision.schedule.namespace, decision.schedule.name)
        there = set[str]()
        for run in decision.runs:
            if (yield from is_there(run.row.run_id)):
                there.add(run.row.run_id)
            else:
                begun[run.row.run_id] = yield from self._runs.insert(run)
        records = [record for record in decision.records if record.run_id not in there]
        rows = Rows()
        for id_, record in zip((yield from self._db.next_ids("fires", len(records))), records, strict=True):
            values = (id_, number, *_fire_values(record))
            rows.append((*values, sum_of("fires", values)))
        yield _INSERT_FIRE, rows
        for run_id in decision.cancel:
            yield from self._mailbox.ask(run_id, _CANCEL_TEXT, "AND closed = 0")
        if decision.records:
            yield _OLD_FIRES, (number,)
        return begun

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        text = (
            f"SELECT id, schedule, {_FIRE}, sum FROM fires "
            "WHERE schedule = (SELECT number FROM schedules WHERE namespace = ?1 AND name = ?2) "
            "AND (id < ?3 OR ?3 IS NULL) ORDER BY id DESC LIMIT ?4"
        )
        found = await self._db.query(lambda: fetch(text, (namespace, name, before, limit)))
        for *values, sum_ in found:
            require("fires", values, sum_, f"a fire of schedule {name!r}")
        return [_make_fire(item) for item in found]

    async def runs(
        self, namespace: str | None = None, name: str | None = None, *, closed: bool | None = None
    ) -> list[RunSummary]:
        return [make_row(item) for item in await self._db.query(lambda: fetch(_RUNS_OF, (namespace, name, closed)))]

    def _change(self, schedule: StoredSchedule) -> Work[int]:
        """Move a schedule on from the version that was read; its number."""
        values = (*_values(schedule)[2:], schedule.namespace, schedule.name, schedule.version)
        found = yield from fetch(_CHANGE, values)
        if not found:
            raise BusyError(f"schedule {schedule.name!r} was changed by another process", hint="look at it, and try again")
        number: int = found[0][0]
        return number


def _find(namespace: str, name: str) -> Work[StoredSchedule | None]:
    found = yield from fetch_one(f"SELECT {_SUMMED} FROM schedules {_ONE}", (namespace, name))
    return _make(found) if found is not None else None


def _sum_up(namespace: str, name: str) -> Work[None]:
    """Make the digest of a schedule's row that was written just now."""
    values = yield from fetch_one(f"SELECT {COVERED['schedules']} FROM schedules {_ONE}", (namespace, name))
    assert values is not None
    yield f"UPDATE schedules SET sum = ? {_ONE}", (sum_of("schedules", values), namespace, name)


def _make(found: Row) -> StoredSchedule:
    *values, sum_ = found
    what = f"schedule {found[2]!r}"
    require("schedules", values, sum_, what)
    _, namespace, name, settings, *rest, _ = values
    try:
        return StoredSchedule(namespace, name, decode_settings(json.loads(settings)), *rest)
    except (AetherError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise damaged(what) from error


def _make_fire(found: Row) -> FireRecord:
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
