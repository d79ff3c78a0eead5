"""`aether cron rm NAME...`: remove schedules."""

from __future__ import annotations

from collections.abc import Sequence

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free
from aether_protocol.cli.freeing import told as freed
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import namespace_option, store_option
from aether_protocol.cli.stored import look
from aether_protocol.ports.schedules import CronStore
from aether_protocol.service.schedules.find import called, find_schedules, overview_of
from aether_protocol.views.text import counted

EPILOG = """\b
Examples:
  aether cron rm nightly
  aether cron rm nightly --runs                 (its runs that have ended, too)"""


@click.command("rm", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--runs", is_flag=True, help="Delete their runs that have ended, too.")
@namespace_option
@store_option
def command(names: tuple[str, ...], runs: bool, namespace: str | None, store: str) -> int:
    """Remove schedules, with the history of their fires. All of them or, if one is not there, none.

    Their runs stay, and those that have not ended go on.
    """
    look(store, lambda opened: remove(opened, namespace, names, runs), writes=True)
    return FINE


async def remove(store: CronStore, namespace: str | None, names: Sequence[str], runs: bool) -> None:
    found = [await overview_of(store, schedule) for schedule in await find_schedules(store, namespace, names)]
    for one in found:
        name = called(one.schedule)
        removed = await store.remove_schedule(one.schedule.namespace, one.schedule.name)
        told = f"removed schedule {name}" if removed else f"schedule {name} was removed by somebody else"
        if runs:
            ended = [row.run_id for row in one.runs if row.closed]
            count = await store.delete(ended, now_us())
            told += f" and {counted(count, 'run')} of it{freed(await free(store))}"
        if one.unfinished:
            told += f"; not ended, and left alone: {', '.join(row.run_id for row in one.unfinished)}"
        click.echo(told)
