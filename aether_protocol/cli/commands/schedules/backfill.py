"""`aether cron backfill NAME`: the fires of a time that is past."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Moment, ZonedInstant, now_us
from aether_protocol.cli.options import (
    durability_option,
    journal_option,
    namespace_option,
    quiet_option,
    secrets_option,
    store_option,
    workspace_option,
)
from aether_protocol.errors import UsageError
from aether_protocol.views.text import counted

if TYPE_CHECKING:
    from aether_protocol.ports.schedules import CronStore, StoredSchedule
    from aether_protocol.service.run_host import HostContext
    from aether_protocol.service.schedules.backfill import BackfillFire

EPILOG = """\b
Examples:
  aether cron backfill nightly --from 2026-01-01 --to 2026-01-31 --dry-run
  aether cron backfill nightly --from 2026-01-01 --to 2026-01-31 --concurrency 4

\b
TIME is 2026-01-01 (the whole day), 2026-01-01T12:00 (both in the schedule's time zone), RFC 3339, or 2h (ago). Both
ends count. A fire whose run is there, or was and is deleted since, is left out. Runs that are backfilled are runs of
the schedule: they have the same ids, concurrencyPolicy sees them, and the history limits delete the oldest.
Exit codes: 0 all Succeeded, or nothing was left to do; else that of the run that went worst, as with
'aether cron tick'; 130 interrupted (runs are left as they are, 'aether cron tick' goes on with them)."""


class Asked(Struct, frozen=True):
    """What is asked for: the fires of a schedule from `first` to `last` (None: now); `again`: also those whose run was
    deleted."""

    namespace: str | None
    name: str
    first: Moment
    last: Moment | None
    again: bool


@click.command("backfill", epilog=EPILOG)
@click.argument("name", metavar="NAME")
@click.option("--from", "first", type=ZonedInstant(), required=True, metavar="TIME", help="The first instant that counts.")
@click.option("--to", "last", type=ZonedInstant(), metavar="TIME", help="The last one; now if left out.")
@click.option("--dry-run", is_flag=True, help="List the fires, and which of them have run, on standard output; start nothing.")
@click.option("--again", is_flag=True, help="Also those whose run was deleted since.")
@click.option("--concurrency", type=click.IntRange(1, 1000), default=1, show_default=True, metavar="N",
              help="At most N runs at once.")
@namespace_option
@secrets_option
@journal_option
@quiet_option
@workspace_option
@store_option
@durability_option
def command(
    name: str, first: Moment, last: Moment | None, dry_run: bool, again: bool, namespace: str | None, **hosting: object
) -> int:
    """Run the fires that a schedule had in a time that is past, as if somebody had been there: oldest first, each with its
    own scheduled time.

    startAt and endAt hold; that it is suspended, or was, does not count.
    """
    from aether_protocol.cli.hosting import Hosting, host
    from aether_protocol.cli.schedules import refuse_memory, store_option_text
    from aether_protocol.cli.stored import check_there, look

    store = str(hosting["store"])
    at_once = hosting.pop("concurrency")
    assert isinstance(at_once, int)
    refuse_memory(store)
    check_there(store)
    asked = Asked(namespace, name, first, last, again)
    if dry_run:
        show_fires(*look(store, lambda opened: find(opened, asked)))
        return FINE
    settings = Hosting(more=store_option_text(store), **hosting)  # type: ignore[arg-type]
    return host(settings, lambda at, _: run_fires(at, asked, at_once))


async def find(store: CronStore, asked: Asked) -> tuple[StoredSchedule, list[BackfillFire]]:
    """The schedule and its fires, oldest first. Raises UsageError for an unknown schedule and a time that is not past."""
    from aether_protocol.service.schedules.backfill import find_fires
    from aether_protocol.service.schedules.find import find_schedule
    from aether_protocol.service.schedules.times import zone_of

    schedule = await find_schedule(store, asked.namespace, asked.name)
    zone = zone_of(schedule.settings)
    now = now_us()
    first = asked.first.first(zone)
    last = now if asked.last is None else asked.last.last(zone)
    if first > now:
        raise UsageError("--from is in the future", hint="what is ahead, the schedule does by itself")
    if last < first:
        raise UsageError("--to is before --from")
    return schedule, await find_fires(store, schedule, first, min(last, now), again=asked.again)


def show_fires(schedule: StoredSchedule, fires: Sequence[BackfillFire]) -> None:
    """`--dry-run`."""
    from aether_protocol.cli.render.times import in_zone
    from aether_protocol.service.schedules.times import zone_of

    zone = zone_of(schedule.settings)
    for fire in fires:
        told = f"would start run {fire.run_id}" if fire.why is None else f"left out: {fire.why}"
        click.echo(f"{in_zone(fire.at, zone)}  {told}")
    todo = sum(fire.why is None for fire in fires)
    click.echo(f"{counted(len(fires), 'fire')}, {todo} to be run; nothing was started", err=True)


async def run_fires(at: HostContext, asked: Asked, at_once: int) -> int:
    """Run them; the exit code."""
    from aether_protocol.cli.hosting import worst_of
    from aether_protocol.service.schedules.backfill import backfill

    schedule, fires = await find(at.store, asked)
    done = await backfill(at, schedule, fires, at_once)
    rest = f", {done.not_started} not started" if done.not_started else ""
    click.echo(f"backfilled {counted(done.started, 'fire')} of {len(fires)}, {done.left_out} left out{rest}", err=True)
    return worst_of(at.runs.outcomes.values())
