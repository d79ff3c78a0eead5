"""`aether cron backfill NAME`: the fires of a time that is past."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import click
from click.core import ParameterSource
from msgspec import Struct
from msgspec.structs import asdict

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.configured import configured
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Moment, ZonedInstant, now_us
from aether_protocol.cli.options import HostingOptions, NamespaceOption
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number
from aether_protocol.errors import UsageError
from aether_protocol.views.text import counted

if TYPE_CHECKING:
    from aether_protocol.ports.store.schedules import StoredSchedule
    from aether_protocol.service.client import ScheduleControl
    from aether_protocol.service.run_host import HostContext
    from aether_protocol.service.schedules.backfill import BackfillFire

EPILOG = """\b
Examples:
  aether cron backfill nightly --from 2026-01-01 --until 2026-01-31 --dry-run
  aether cron backfill nightly --from 2026-01-01 --concurrency 4

TIME is 2026-01-01 (the whole day), 2026-01-01T12:00 (both in the schedule's time zone), RFC 3339, or 2h (ago). Both
ends count. A fire whose run is there, or was and is deleted since, is left out. Runs that are backfilled are runs of
the schedule: they have the same ids, concurrencyPolicy sees them, and the history limits delete the oldest.

\b
Exit codes: 0 all Succeeded, or nothing was left to do; else that of the
run that went worst, as with 'aether cron tick'; 130 interrupted (runs are
left as they are, 'aether cron tick' recovers them)."""


class BackfillOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    first: Annotated[
        Moment, option("--from", type=ZonedInstant(), required=True, metavar="TIME", help="The first instant that counts.")
    ]
    last: Annotated[
        Moment | None, option("--until", type=ZonedInstant(), metavar="TIME", help="The last one; now if left out.")
    ] = None
    dry_run: Annotated[
        bool,
        option("--dry-run", is_flag=True,
               help="List the fires, and which of them have run, on standard output; start nothing."),
    ] = False
    again: Annotated[bool, option("--again", is_flag=True, help="Also those whose run was deleted since.")] = False
    at_once: Annotated[
        int,
        option("--concurrency", type=Number(1, 1000), default=1, show_default=True, metavar="N",
               help="At most N runs at once."),
    ] = 1
    namespace: NamespaceOption = None
    server: Annotated[
        str | None,
        option("--server", metavar="URL", callback=configured("server.url"),
               help="The server that runs them, where the schedule is one of a server; by default AETHER_SERVER, or url of "
                    "[server]. --store wins."),
    ] = None
    hosting: HostingOptions


@command_with(BackfillOptions, "backfill", epilog=EPILOG, not_a_file=(ZonedInstant(), "--until"))
def command(options: BackfillOptions) -> int:
    """Run the fires that a schedule had in a time that is past, as a scheduler would have then: oldest first, each with its
    own scheduled time.

    startAt and endAt hold; that it is suspended, or was, does not count.
    """
    named = click.get_current_context().get_parameter_source("store") is ParameterSource.COMMANDLINE
    if options.server is not None and not named:
        return backfill_there(options.server, options)
    from aether_protocol.cli.hosting import Hosting, host
    from aether_protocol.cli.schedules import refuse_memory, store_option_text
    from aether_protocol.cli.stored import ask, check_there

    store = options.hosting.store
    refuse_memory(store)
    check_there(store)
    if options.dry_run:
        schedule, fires = ask(store, lambda client: find(client.schedules, options))
        if options.hosting.output == "events":
            print_fires(fires)
        else:
            show_fires(schedule, fires)
        return FINE
    settings = Hosting(**asdict(options.hosting), more=store_option_text(store))
    return host(settings, lambda at, _: run_fires(at, options))


def backfill_there(server: str, options: BackfillOptions) -> int:
    """Let a server run the fires, and print which these are."""
    from aether_protocol.cli.commands.runs.there import refuse_what_is_here_alone
    from aether_protocol.cli.stored import ask_server

    refuse_what_is_here_alone(["dry_run"])
    schedule, fires = ask_server(server, lambda client: find(client.schedules, options, dry_run=options.dry_run))
    if options.hosting.output == "events":
        print_fires(fires)
    elif options.dry_run:
        show_fires(schedule, fires)
    else:
        todo = sum(fire.why is None for fire in fires)
        hint = f"aether cron history {options.name} lists them"
        messages.note(f"the server runs {counted(todo, 'fire')} of {len(fires)}", hint)
    return FINE


async def find(
    schedules: ScheduleControl, options: BackfillOptions, *, dry_run: bool = True
) -> tuple[StoredSchedule, Sequence[BackfillFire]]:
    """The schedule and its fires, oldest first. Raises UsageError for an unknown schedule and a time that is not past."""
    from aether_protocol.service.schedules.find import full_name
    from aether_protocol.service.schedules.times import zone_of

    name = full_name(options.name, options.namespace)
    schedule = (await schedules.get(name)).schedule
    zone = zone_of(schedule.settings)
    now = now_us()
    first = options.first.first(zone)
    last = now if options.last is None else options.last.last(zone)
    if first > now:
        raise UsageError("--from is in the future", hint="what is ahead, the schedule does by itself")
    if last < first:
        raise UsageError("--until is before --from")
    return schedule, await schedules.backfill(name, first, min(last, now), again=options.again, dry_run=dry_run)


def print_fires(fires: Sequence[BackfillFire]) -> None:
    """`--dry-run` for programs: a JSON line for each fire."""
    from aether_protocol.scheduler.timing import rfc3339

    for fire in fires:
        record = {"kind": "FireToStart" if fire.why is None else "FireLeftOut", "fire": rfc3339(fire.at), "runId": fire.run_id}
        if fire.why is not None:
            record["reason"] = fire.why
        click.echo(json.dumps(record, ensure_ascii=False, separators=(",", ":")))


def show_fires(schedule: StoredSchedule, fires: Sequence[BackfillFire]) -> None:
    """`--dry-run`."""
    from aether_protocol.cli.render.times import in_zone
    from aether_protocol.service.schedules.times import zone_of

    zone = zone_of(schedule.settings)
    for fire in fires:
        told = f"would start run {fire.run_id}" if fire.why is None else f"left out: {fire.why}"
        click.echo(f"{in_zone(fire.at, zone)}  {told}")
    todo = sum(fire.why is None for fire in fires)
    messages.note(f"{counted(len(fires), 'fire')}, {todo} to be run; nothing was started")


async def run_fires(at: HostContext, options: BackfillOptions) -> int:
    """Run them; the exit code."""
    from aether_protocol.cli.hosting import worst_of

    schedule, fires = await find(at.client.schedules, options)
    done = await at.backfill(schedule, fires, options.at_once)
    rest = f", {done.not_started} not started" if done.not_started else ""
    messages.note(f"backfilled {counted(done.started, 'fire')} of {len(fires)}, {done.left_out} left out{rest}")
    return worst_of(at.runs.outcomes.values())
