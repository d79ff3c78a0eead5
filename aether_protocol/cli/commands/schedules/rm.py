"""`aether cron rm NAME...`: remove schedules."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, freed_text
from aether_protocol.cli.options import NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.service.client import Client
from aether_protocol.service.schedules.find import called, full_name
from aether_protocol.views.text import counted

EPILOG = """\b
Examples:
  aether cron rm nightly
  aether cron rm nightly --runs   (its runs that have ended, too)"""


class ScheduleRemoveOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    runs: Annotated[bool, option("--runs", is_flag=True, help="Delete their runs that have ended, too.")] = False
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleRemoveOptions, "rm", epilog=EPILOG)
def command(options: ScheduleRemoveOptions) -> int:
    """Remove schedules, with the history of their fires. All of them or, if one is not there, none.

    Their runs stay, and those that have not ended continue.
    """
    removed = ask(options.store, lambda client: remove(client, options), writes=True)
    if options.output == "json":
        listed = [
            {"namespace": one.namespace, "name": one.name, "runs": one.runs, "unfinishedRuns": one.left} for one in removed
        ]
        click.echo(json.dumps({"removed": listed}, indent=2, ensure_ascii=False))
        return FINE
    for one in removed:
        click.echo(one.text)
    return FINE


class RemovedSchedule(Struct, frozen=True):
    """A schedule that is not there any more: how many of its runs were deleted, and those that were left alone."""

    namespace: str
    name: str
    runs: int
    left: list[str]
    text: str


async def remove(client: Client, options: ScheduleRemoveOptions) -> list[RemovedSchedule]:
    """Remove them all; what became of each."""
    names = dict.fromkeys(full_name(name, options.namespace) for name in options.names)
    removed: list[RemovedSchedule] = []
    for one in [await client.schedules.get(name) for name in names]:
        name, count = called(one.schedule), 0
        was_there = await client.schedules.remove(f"{one.schedule.namespace}/{one.schedule.name}")
        text = f"removed schedule {name}" if was_there else f"schedule {name} was removed by another process"
        if options.runs:
            count = await client.control.delete([row.run_id for row in one.runs if row.closed])
            text += f" and {counted(count, 'run')} of it{freed_text(await free(client.store, options.store))}"
        left = [row.run_id for row in one.unfinished]
        if left:
            text += f"; not ended, and left alone: {', '.join(left)}"
        removed.append(RemovedSchedule(one.schedule.namespace, one.schedule.name, count, left, text))
    return removed
