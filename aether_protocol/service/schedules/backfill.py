"""Fires of a time that is past: which there were, and which of them have run.

Law: a fire has one run, ever. One whose run is there is never started; one whose run was deleted only if that is asked for.
"""

from __future__ import annotations

from itertools import islice
from typing import Final

from msgspec import Struct

from aether_protocol.cron.policy import run_name
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import Store, schedules_of
from aether_protocol.ports.store.schedules import BACKFILLED, STARTED, StoredSchedule
from aether_protocol.service.schedules.times import fires_of

MOST: Final = 100_000  # fires at a time
_PAGE: Final = 1_000


class BackfillFire(Struct, frozen=True):
    """A fire, the id of its run, and why it is not to be run, if so."""

    at: int
    run_id: str
    why: str | None


async def find_fires(
    store: Store, schedule: StoredSchedule, first: int, last: int, *, again: bool = False
) -> list[BackfillFire]:
    """Find the fires of a schedule from `first` to `last`, both counting, oldest first.

    Args:
        store: where the schedule and its runs are.
        schedule: whose fires they are.
        first: microseconds since the epoch.
        last: microseconds since the epoch; the present at the latest.
        again: also fires whose run was deleted are to be run.

    Raises:
        UsageError: there are more than MOST fires.
        BadScheduleError: this machine does not know the zone.
    """
    times = list(islice(fires_of(schedule.settings, first - 1, last), MOST + 1))
    if len(times) > MOST:
        raise UsageError(f"there are more than {MOST} fires", hint="take a part of that time")
    ran = await _ran(store, schedule, times[0]) if times and not again else set()
    fires = []
    for at in times:
        run_id = run_name(schedule.namespace, schedule.name, at)
        row = await store.runs.row(run_id)
        if row is not None:
            fires.append(BackfillFire(at, run_id, f"run {run_id} exists: it is {row.phase}"))
        else:
            fires.append(BackfillFire(at, run_id, f"run {run_id} was there and is deleted" if at in ran else None))
    return fires


async def _ran(store: Store, schedule: StoredSchedule, since: int) -> set[int]:
    """The fires since an instant of which it is recorded that they had a run."""
    found: set[int] = set()
    before: int | None = None
    while records := await schedules_of(store).fires(schedule.namespace, schedule.name, before, _PAGE):
        found |= {one.at for one in records if one.kind in (STARTED, BACKFILLED) and one.at >= since}
        before = records[-1].id
    return found
