"""`aether cron next FILE|NAME`: the fire times ahead."""

from __future__ import annotations

import json
from itertools import islice
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import Moment, ZonedInstant, now_us
from aether_protocol.cli.options import MaxOption, NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.schedules import Asked, asked_for
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number
from aether_protocol.service.schedules.times import fires_of, zone_of

EPILOG = """\b
Examples:
  aether cron next nightly.yaml
  aether cron next nightly --limit 3
  aether cron next nightly --after 2026-10-24 -o json

A document is read as it is, and needs no store. What is odd about a fire is noted: a local time that the clock
skips (it fires right after), and one that comes twice (at the first, or at both where minute or hour are *)."""


class ScheduleNextOptions(Struct, frozen=True, kw_only=True):
    what: Annotated[str, argument("FILE|NAME")]
    limit: Annotated[
        int,
        option("--limit", old=["--number"], type=Number(1, 10_000), default=10, show_default=True, metavar="N",
               help="How many of each."),
    ] = 10
    after: Annotated[
        Moment | None,
        option("--after", type=ZonedInstant(), metavar="TIME",
               help="After that time instead of now: 2026-01-01, 2h (ago), RFC 3339; read in the schedule's zone."),
    ] = None
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption
    max: MaxOption


@command_with(ScheduleNextOptions, "next", epilog=EPILOG)
def command(options: ScheduleNextOptions) -> int:
    """Print the next fire times of the CronWorkflows of a file, or of a schedule of the store, in the schedule's time zone.

    What is suspended is noted, and shown as if it were not.
    """
    now = now_us()
    found = []
    for one in asked_for(options.what, options.namespace, options.store, options.max):
        begin = now if options.after is None else options.after.first(zone_of(one.settings))
        found.append((one, list(islice(fires_of(one.settings, begin), options.limit))))
    if options.output == "json":
        print_json(found)
    else:
        show(found, now)
    return FINE


def print_json(told: list[tuple[Asked, list[int]]]) -> None:
    from aether_protocol.cli.render.schedules import fire_json

    listed = [
        {
            "name": one.name,
            "namespace": one.namespace,
            "schedule": one.settings.schedule,
            "timezone": one.settings.timezone,
            "suspend": one.settings.suspend,
            "next": [fire_json(one.settings, at) for at in fires],
        }
        for one, fires in told
    ]
    click.echo(json.dumps({"schedules": listed}, indent=2, ensure_ascii=False))


def show(told: list[tuple[Asked, list[int]]], now: int) -> None:
    from aether_protocol.cli.render.schedules import fire_line
    from aether_protocol.views.text import one_line

    for one, fires in told:
        settings = one.settings
        if len(told) > 1:
            click.secho(f"{one_line(one.name)}  {one_line(settings.schedule)}  {settings.timezone}", bold=True)
        if settings.suspend:
            messages.note(f"{one_line(one.name)} is suspended: nothing fires until it is resumed")
        if not fires:
            messages.note(f"{one_line(one.name)} does not fire any more")
        for at in fires:
            click.echo(("  " if len(told) > 1 else "") + fire_line(settings, at, now))
