"""`aether cron backfill`: which fires there were, which of them have run, and running the others.

Law: a fire has one run, ever. One whose run is there is never started; one whose run was deleted only if that is asked for.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import Final

import click
from msgspec import Struct

from aether_protocol.cli.crowd import Host
from aether_protocol.cli.exits import worst
from aether_protocol.cli.instants import Moment, now_us
from aether_protocol.cli.render.journal import left_out_entry
from aether_protocol.cli.render.times import in_zone
from aether_protocol.cli.schedules import find_schedule, fires_of, zone_of
from aether_protocol.cron.policy import run_name
from aether_protocol.errors import UsageError
from aether_protocol.ports.schedules import BACKFILLED, STARTED, CronStore, StoredSchedule
from aether_protocol.views.text import counted

MOST: Final = 100_000  # fires at a time
_PAGE: Final = 1_000


class Span(Struct, frozen=True):
    """What is asked for: the fires of a schedule from `first` to `last` (None: now). `again`: also those whose run was
    deleted."""

    namespace: str | None
    name: str
    first: Moment
    last: Moment | None
    again: bool


class Fire(Struct, frozen=True):
    """A fire, and why it is not to be run, if so."""

    at: int
    run_id: str
    why: str | None


async def list_fires(store: CronStore, span: Span) -> None:
    """`--dry-run`."""
    schedule, fires = await _find(store, span)
    zone = zone_of(schedule.settings)
    for fire in fires:
        told = f"would start run {fire.run_id}" if fire.why is None else f"left out: {fire.why}"
        click.echo(f"{in_zone(fire.at, zone)}  {told}")
    todo = sum(fire.why is None for fire in fires)
    click.echo(f"{counted(len(fires), 'fire')}, {todo} to be run; nothing was started", err=True)


async def backfill(at: Host, span: Span, at_once: int) -> int:
    """Run them, oldest first, at most `at_once` at a time; the exit code."""
    crowd = at.crowd
    schedule, fires = await _find(at.store, span)
    left_out = 0
    todo = deque(fires)
    while (todo or crowd.under_way) and not crowd.leaving.is_set():
        while todo and len(crowd.under_way) < at_once and not crowd.leaving.is_set():
            fire = todo.popleft()
            why = fire.why
            if why is None and await at.cron.backfill(schedule.namespace, schedule.name, fire.at) is None:
                why = f"run {fire.run_id} exists by now"
            if why is not None:
                left_out += 1
                at.tell(left_out_entry(schedule, fire.at, fire.run_id, why))
        await crowd.change()
        await at.tidy()
    done = len(fires) - left_out - len(todo)
    rest = f", {len(todo)} not started" if todo else ""
    click.echo(f"backfilled {counted(done, 'fire')} of {len(fires)}, {left_out} left out{rest}", err=True)
    return worst(crowd.codes.values())


async def _find(store: CronStore, span: Span) -> tuple[StoredSchedule, list[Fire]]:
    """The schedule and its fires, oldest first. Raises UsageError for an unknown schedule, a time that is not past, and one
    that is too long."""
    schedule = await find_schedule(store, span.namespace, span.name)
    zone = zone_of(schedule.settings)
    now = now_us()
    first = span.first.first(zone)
    last = now if span.last is None else span.last.last(zone)
    if first > now:
        raise UsageError("--from is in the future", hint="what is ahead, the schedule does by itself")
    if last < first:
        raise UsageError("--to is before --from")
    times = list(islice(fires_of(schedule.settings, first - 1, min(last, now)), MOST + 1))
    if len(times) > MOST:
        raise UsageError(f"there are more than {MOST} fires", hint="take a part of that time")
    ran = await _ran(store, schedule, times[0]) if times and not span.again else set()
    fires = []
    for at in times:
        run_id = run_name(schedule.namespace, schedule.name, at)
        row = await store.row(run_id)
        if row is not None:
            fires.append(Fire(at, run_id, f"run {run_id} exists: it is {row.phase}"))
        else:
            fires.append(Fire(at, run_id, f"run {run_id} was there and is deleted" if at in ran else None))
    return schedule, fires


async def _ran(store: CronStore, schedule: StoredSchedule, since: int) -> set[int]:
    """The fires since an instant of which it is recorded that they had a run."""
    found: set[int] = set()
    before: int | None = None
    while records := await store.fires(schedule.namespace, schedule.name, before, _PAGE):
        found |= {one.at for one in records if one.kind in (STARTED, BACKFILLED) and one.at >= since}
        before = records[-1].id
    return found
