"""Schedules as they are applied and changed (CRON-2, CRON-6).

Law: what a schedule runs is resolved when it is applied and never changes under its name; how often it runs may. Whatever
changes its times makes it begin anew at that instant: fires before it are neither missed nor made up for.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.cron.policy import first_seen, next_fire
from aether_protocol.cron.settings import CronSettings
from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store.schedules import ScheduleStore, StoredSchedule

What = Literal["created", "updated", "unchanged", "replaced"]


class ScheduleSpec(Struct, frozen=True):
    """A CronWorkflow to apply: its name, when and what it runs, the sha256 of its workflowSpec in hex, and its text."""

    namespace: str
    name: str
    settings: CronSettings
    spec: str
    document: str
    plan: Plan


class ChangedSpecError(UsageError):
    """The workflowSpec is another one (CRON-6)."""


class NoFireError(UsageError):
    """It would never fire from now on."""


class ScheduleChange(Struct, frozen=True):
    """What applying comes to: the schedule as it shall be, and the plan that it shall have (both as they are: unchanged)."""

    what: What
    schedule: StoredSchedule
    plan: Plan


async def plan_change(store: ScheduleStore, given: ScheduleSpec, now: int, *, replaces: bool = False) -> ScheduleChange:
    """What applying would do; nothing is written. See `apply`."""
    before = await store.get(given.namespace, given.name)
    check_fires(given, now)
    if before is None:
        made = StoredSchedule(
            namespace=given.namespace,
            name=given.name,
            settings=given.settings,
            spec=given.spec,
            document=given.document,
            applied_at=now,
            changed_at=now,
            seen=first_seen(now),
            next_at=None,
        )
        return ScheduleChange("created", _with_next(made), given.plan)
    if before.spec != given.spec:
        if not replaces:
            hint = "--replace makes a new schedule of that name and keeps the history; another name makes another schedule"
            raise ChangedSpecError(f"schedule {given.name!r} runs another workflowSpec, and that cannot be changed", hint=hint)
        made = replace(
            _changed(before, given.settings, now, anew=True),
            spec=given.spec,
            document=given.document,
            applied_at=now,
            generation=before.generation + 1,
        )
        return ScheduleChange("replaced", made, given.plan)
    anew = replace(before.settings, folder=given.settings.folder) != given.settings
    plan = await store.plan(given.namespace, given.name)
    same = before.document == given.document and before.settings.folder == given.settings.folder
    if not anew and same and plan.digest == given.plan.digest:
        return ScheduleChange("unchanged", before, plan)
    made = replace(_changed(before, given.settings, now, anew=anew), document=given.document)
    return ScheduleChange("updated", made, given.plan)


async def apply_change(store: ScheduleStore, change: ScheduleChange) -> StoredSchedule:
    """Apply a planned change; return the schedule as it is then. Raises BusyError where it was changed since."""
    return change.schedule if change.what == "unchanged" else await store.put(change.schedule, change.plan)


async def apply(
    store: ScheduleStore, given: ScheduleSpec, now: int, *, replaces: bool = False
) -> tuple[StoredSchedule, What]:
    """Make or change a schedule; how it stands, and what was done.

    `replaces`: another workflowSpec makes a new schedule of that name, which keeps the history. Raises ChangedSpecError where
    that is not wanted, NoFireError, BusyError where it is changed at the same time.
    """
    change = await plan_change(store, given, now, replaces=replaces)
    return await apply_change(store, change), change.what


async def set_suspended(
    store: ScheduleStore, namespace: str, name: str, suspend: bool, now: int
) -> tuple[StoredSchedule, bool]:
    """Suspend a schedule or let it go on; how it stands, and whether that was a change."""
    before = await store.get(namespace, name)
    if before is None:
        raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
    if before.settings.suspend is suspend:
        return before, False
    made = _changed(before, replace(before.settings, suspend=suspend), now, anew=True)
    return await store.put(made), True


async def change(store: ScheduleStore, before: StoredSchedule, settings: CronSettings, now: int) -> StoredSchedule:
    """Give a schedule other settings."""
    return await store.put(_changed(before, settings, now, anew=True))


def _changed(before: StoredSchedule, settings: CronSettings, now: int, *, anew: bool) -> StoredSchedule:
    if not anew:
        return replace(before, settings=settings)
    seen = max(before.seen, first_seen(now))
    return _with_next(replace(before, settings=settings, changed_at=now, seen=seen))


def _with_next(schedule: StoredSchedule) -> StoredSchedule:
    return replace(schedule, next_at=next_fire(schedule.settings, schedule.seen))


def check_fires(given: ScheduleSpec, now: int) -> None:
    """A schedule that never fires again is an error (CRON-1); one that is suspended is asked as if it were not. Raises
    NoFireError."""
    seen = first_seen(now)
    settings = replace(given.settings, suspend=False)
    if next_fire(settings, seen) is not None:
        return
    if settings.end_at is not None and settings.end_at <= seen:
        raise NoFireError(f"schedule {given.name!r} has ended: its endAt is in the past", hint="give a later endAt, or none")
    raise NoFireError(f"schedule {given.name!r} has no fire from now on", hint="look at schedule, startAt and endAt")
