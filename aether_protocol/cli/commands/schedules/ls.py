"""`aether cron ls`: the schedules of a store."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import store_option, table_option
from aether_protocol.cli.stored import look
from aether_protocol.ports.schedules import CronStore
from aether_protocol.service.schedules.find import ScheduleOverview, overview_of

EPILOG = """\b
Examples:
  aether cron ls
  aether cron ls --namespace team-a --output json"""


@click.command("ls", epilog=EPILOG)
@click.option("-n", "--namespace", metavar="NAME", help="Only schedules in this namespace.")
@table_option
@store_option
def command(namespace: str | None, output: str, store: str) -> int:
    """List schedules: when they fire, what became of the last fire, and how many of their runs have not ended."""
    found = look(store, lambda opened: read(opened, namespace))
    if output == "json":
        from aether_protocol.cli.render.schedules import print_schedules_json

        print_schedules_json(found)
        return FINE
    from aether_protocol.cli.render.schedules import show_schedules

    if found:
        show_schedules(found, now_us())
    else:
        where = "" if namespace is None else f" in namespace {namespace!r}"
        click.echo(f"there are no schedules{where}: 'aether cron apply FILE' makes one", err=True)
    return FINE


async def read(store: CronStore, namespace: str | None) -> list[ScheduleOverview]:
    return [await overview_of(store, schedule) for schedule in await store.schedules(namespace)]
