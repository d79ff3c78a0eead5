"""Schedules of a store (`client.ScheduleControl`).

Law: runs of schedules that are recorded here are unowned until an engine recovers them, but for an engine of this process,
which begins them at once. Each is recorded together with its fire, so that no fire is run twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from aether_protocol.engine.submission import make_header, new_run, read_texts
from aether_protocol.errors import BusyError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import schedules_of
from aether_protocol.ports.store.schedules import BACKFILLED, TRIGGERED, FireRecord, ScheduleDecision, StoredSchedule
from aether_protocol.service.documents.changes import SCHEDULE, WORKFLOW
from aether_protocol.service.documents.parameters import parameters_of
from aether_protocol.service.documents.texts import DocumentText, LibraryTexts
from aether_protocol.service.local.context import ClientContext
from aether_protocol.service.local.control import LocalControl
from aether_protocol.service.local.documents import LocalDocuments
from aether_protocol.service.schedules.backfill import BackfillFire, find_fires
from aether_protocol.service.schedules.check import AppliedSchedule, AppliedSchedules
from aether_protocol.service.schedules.find import ScheduleOverview, find_schedule, overview_of
from aether_protocol.service.schedules.suspend import SuspendedSchedule, suspend_schedules

if TYPE_CHECKING:
    from aether_protocol.engine.schedule_runner import ScheduleRunner

_TRIES: Final = 20  # against other processes that change the schedule


class LocalSchedules:
    """See `client.ScheduleControl`."""

    def __init__(self, context: ClientContext) -> None:
        self._context = context
        self._runner: ScheduleRunner | None = None

    async def apply(
        self,
        documents: Mapping[str, Json] | str | Sequence[DocumentText],
        *,
        replaces: bool = False,
        library: Sequence[LibraryTexts] = (),
    ) -> AppliedSchedules:
        context = self._context
        done = await LocalDocuments(context).apply(documents, kinds=(SCHEDULE,), library=library, replaces=replaces)
        applied = []
        for one in done.changes:
            schedule = await find_schedule(context.store, one.namespace, one.name)
            applied.append(AppliedSchedule(one.action, await overview_of(context.store, schedule), one.resumed))
        return AppliedSchedules(applied, [one for one in done.left_out if one.kind == WORKFLOW], done.warnings)

    async def get(self, name: str) -> ScheduleOverview:
        schedule = await self._find(name)
        plan = await schedules_of(self._context.store).plan(schedule.namespace, schedule.name)
        return replace(await overview_of(self._context.store, schedule), takes=parameters_of(plan))

    async def list(
        self, namespace: str | None = None, *, after: tuple[str, str] | None = None, limit: int | None = None
    ) -> Sequence[ScheduleOverview]:
        store = self._context.store
        found = await schedules_of(store).find(namespace, after=after, limit=limit)
        return [await overview_of(store, one) for one in found]

    async def remove(self, name: str) -> bool:
        schedule = await self._find(name)
        return await schedules_of(self._context.store).remove(schedule.namespace, schedule.name)

    async def suspend(self, names: str | Sequence[str], *, suspend: bool = True) -> Sequence[SuspendedSchedule]:
        context = self._context
        several = [names] if isinstance(names, str) else names
        return await suspend_schedules(context.store, several, context.clock.now(), suspend=suspend)

    async def history(self, name: str, *, before: int | None = None, limit: int = 100) -> Sequence[FireRecord]:
        schedule = await self._find(name)
        return await schedules_of(self._context.store).fires(schedule.namespace, schedule.name, before, limit)

    async def trigger(self, name: str, *, texts: Mapping[str, str] | None = None) -> str:
        schedule = await self._find(name)
        if (runner := self._local()) is not None:
            caller = self._context.caller
            return await runner.trigger(schedule.namespace, schedule.name, submitted_by=caller, texts=texts)
        run_id = await self._record(schedule, self._context.clock.now(), TRIGGERED, None, texts)
        assert run_id is not None  # its id is new
        return run_id

    async def backfill(
        self, name: str, first: int, last: int, *, again: bool = False, dry_run: bool = False
    ) -> Sequence[BackfillFire]:
        context = self._context
        schedule = await self._find(name)
        fires = await find_fires(context.store, schedule, first, min(last, context.clock.now()), again=again)
        if dry_run:
            return fires
        return [fire if fire.why is not None else await self._run(schedule, fire) for fire in fires]

    async def _run(self, schedule: StoredSchedule, fire: BackfillFire) -> BackfillFire:
        ran = await self._one(schedule, fire.at, fire.run_id) is not None
        return fire if ran else replace(fire, why=f"run {fire.run_id} exists by now")

    async def _one(self, schedule: StoredSchedule, at: int, run_id: str) -> str | None:
        if (runner := self._local()) is not None:
            return await runner.backfill(schedule.namespace, schedule.name, at, submitted_by=self._context.caller)
        return await self._record(schedule, at, BACKFILLED, run_id)

    async def _record(
        self, schedule: StoredSchedule, at: int, kind: str, run_id: str | None, texts: Mapping[str, str] | None = None
    ) -> str | None:
        """Record a run with its fire; None where there is such a run already."""
        context = self._context
        for _ in range(_TRIES):
            plan = await schedules_of(context.store).plan(schedule.namespace, schedule.name)
            bare = LocalControl(context).bare_header(plan, run_id, at)
            new = new_run(plan, make_header(plan, read_texts(plan, texts or {}), bare), folder=schedule.settings.folder)
            record = FireRecord(at, kind, context.clock.now(), new.row.run_id, generation=schedule.generation)
            try:
                tokens = await schedules_of(context.store).decide(ScheduleDecision(schedule, [record], [new]))
            except BusyError:
                schedule = await find_schedule(context.store, schedule.namespace, schedule.name)
                continue
            return new.row.run_id if new.row.run_id in tokens else None
        raise BusyError(f"schedule {schedule.name!r} is changed by others all the time", hint="try again")

    async def _find(self, name: str) -> StoredSchedule:
        return await find_schedule(self._context.store, None, name)

    def _local(self) -> ScheduleRunner | None:
        """The runner of the engine in this process."""
        engine = self._context.engine
        if self._runner is None and engine is not None:
            from aether_protocol.engine.clock import SystemClock, WallClock
            from aether_protocol.engine.schedule_runner import ScheduleRunner

            clock = WallClock() if isinstance(engine.clock, SystemClock) else engine.clock
            self._runner = ScheduleRunner(engine, engine.store, clock)
        return self._runner
