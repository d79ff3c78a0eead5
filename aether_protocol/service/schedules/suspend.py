"""Suspend schedules and let them continue.

Law: all schedules are found before the first is changed. What is so already stays, and is reported as unchanged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.engine.schedules import set_suspended
from aether_protocol.errors import BusyError
from aether_protocol.ports.store import Store, schedules_of
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.service.schedules.find import find_schedule, find_schedules

_TRIES: Final = 20  # against processes that change it at the same moment


class SuspendedSchedule(Struct, frozen=True):
    """A schedule as it stands after it was suspended or resumed, and whether that changed it."""

    schedule: StoredSchedule
    changed: bool


async def suspend_schedules(
    store: Store, names: Sequence[str], now: int, *, suspend: bool
) -> list[SuspendedSchedule]:
    """Suspend schedules, or (`suspend` is False) let them continue with the next fire from `now`.

    Raises:
        UsageError: a schedule is unknown; none was changed.
        BusyError: other processes change a schedule all the time.
    """
    found = await find_schedules(store, None, names)
    return [await _one(store, schedule, suspend, now) for schedule in found]


async def _one(store: Store, schedule: StoredSchedule, suspend: bool, now: int) -> SuspendedSchedule:
    for _ in range(_TRIES):
        try:
            return SuspendedSchedule(
                *await set_suspended(schedules_of(store), schedule.namespace, schedule.name, suspend, now)
            )
        except BusyError:
            await find_schedule(store, schedule.namespace, schedule.name)  # it may be gone
    raise BusyError(f"schedule {schedule.name!r} is changed by others all the time", hint="try again")
