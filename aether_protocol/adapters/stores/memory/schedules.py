"""Schedules in memory, with what became of their fires.

Law: the same answers as a durable store gives, within one process.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from msgspec.structs import replace

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.schedules import CANCEL, KEEP_FIRES, FireRecord, ScheduleDecision, StoredSchedule
from aether_protocol.ports.store import NewRun, RunSummary


class _Runs(Protocol):
    """What is needed of the store's other parts."""

    async def create(self, run: NewRun) -> int: ...
    async def row(self, run_id: str) -> RunSummary | None: ...
    async def post(self, run_id: str, request: Json) -> int: ...


class MemorySchedules:
    """Schedules by namespace and name; their records, oldest first."""

    def __init__(self, runs: _Runs) -> None:
        self._about = runs
        self._schedules: dict[tuple[str, str], tuple[StoredSchedule, Plan]] = {}
        self._fires: dict[tuple[str, str], list[FireRecord]] = {}
        self._records = 0

    async def put_schedule(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        key = (schedule.namespace, schedule.name)
        if schedule.version == 0:
            if plan is None:
                raise UsageError(f"schedule {schedule.name!r} has no plan")
            if key in self._schedules:
                raise BusyError(f"schedule {schedule.name!r} exists already")
            self._fires[key] = []
        else:
            plan = self._changeable(schedule) if plan is None else plan
            self._changeable(schedule)
        made = replace(schedule, version=schedule.version + 1)
        self._schedules[key] = (made, plan)
        return replace(made)

    async def schedule(self, namespace: str, name: str) -> StoredSchedule | None:
        found = self._schedules.get((namespace, name))
        return replace(found[0]) if found is not None else None

    async def schedules(self, namespace: str | None = None, due: int | None = None) -> list[StoredSchedule]:
        found = [schedule for _, (schedule, _) in sorted(self._schedules.items(), key=lambda item: item[0])]
        return [
            replace(one)
            for one in found
            if namespace in (None, one.namespace) and (due is None or (one.next_at is not None and one.next_at <= due))
        ]

    async def next_due(self) -> int | None:
        return min((one.next_at for one, _ in self._schedules.values() if one.next_at is not None), default=None)

    async def schedule_plan(self, namespace: str, name: str) -> Plan:
        found = self._schedules.get((namespace, name))
        if found is None:
            raise UsageError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return found[1]

    async def remove_schedule(self, namespace: str, name: str) -> bool:
        self._fires.pop((namespace, name), None)
        return self._schedules.pop((namespace, name), None) is not None

    async def turn(self, turn: ScheduleDecision) -> Mapping[str, int]:
        schedule = turn.schedule
        plan = self._changeable(schedule)
        there = {run.row.run_id for run in turn.runs if await self._about.row(run.row.run_id) is not None}
        tokens = {run.row.run_id: await self._about.create(run) for run in turn.runs if run.row.run_id not in there}
        for run_id in turn.cancel:
            row = await self._about.row(run_id)
            if row is not None and not row.closed:
                await self._about.post(run_id, CANCEL)
        key = (schedule.namespace, schedule.name)
        self._schedules[key] = (replace(schedule, version=schedule.version + 1), plan)
        for record in turn.records:
            if record.run_id not in there:
                self._records += 1
                self._fires[key].append(replace(record, id=self._records))
        await self._drop_old(key)
        return tokens

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        found = reversed(self._fires.get((namespace, name), []))
        return [replace(one) for one in found if before is None or one.id < before][:limit]

    async def scheduled_runs(self, namespace: str, name: str) -> list[RunSummary]:
        times = {one.run_id: one.at for one in self._fires.get((namespace, name), []) if one.run_id is not None}
        latest = sorted(times.items(), key=lambda item: (item[1], item[0]), reverse=True)
        rows = [await self._about.row(run_id) for run_id, _ in latest]
        return [row for row in rows if row is not None]

    async def unfinished_runs(self) -> list[str]:
        ids = {one.run_id for records in self._fires.values() for one in records if one.run_id is not None}
        rows = [row for run_id in ids if (row := await self._about.row(run_id)) is not None and not (row.closed or row.broken)]
        return [row.run_id for row in sorted(rows, key=lambda row: (row.created_at, row.run_id))]

    def _changeable(self, schedule: StoredSchedule) -> Plan:
        """The plan of the schedule, if this is the version that is there."""
        found = self._schedules.get((schedule.namespace, schedule.name))
        if found is None or found[0].version != schedule.version:
            raise BusyError(f"schedule {schedule.name!r} was changed by somebody else", hint="look at it, and try again")
        return found[1]

    async def _drop_old(self, key: tuple[str, str]) -> None:
        records = self._fires[key]
        old, new = records[:-KEEP_FIRES], records[-KEEP_FIRES:]
        kept = [one for one in old if one.run_id is not None and await self._about.row(one.run_id) is not None]
        self._fires[key] = kept + new
