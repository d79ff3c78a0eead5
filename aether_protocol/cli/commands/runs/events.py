"""`aether events RUN`: everything that happened, a JSON line for each fact."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import run_argument, store_option
from aether_protocol.cli.stored import look, told_when_left
from aether_protocol.cli.terminal.streams import stop_when_lost
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import Store
from aether_protocol.service.runs.find import find_run

EPILOG = """\b
Examples:
  aether events latest
  aether events latest --follow | jq -c 'select(.kind == "NodeEnded")'"""


@click.command("events", epilog=EPILOG)
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the run is over.")
@store_option
def command(run: str, follow: bool, store: str) -> int:
    """Print what happened in a run, one JSON line for each event, as 'aether run --output events' does.

    RUN is a run's id, the beginning of it, or latest.
    """
    stop_when_lost()
    look(store, lambda opened: pour(opened, run, follow))
    return FINE


async def pour(store: Store, text: str, follow: bool) -> None:
    from aether_protocol.cli.render.events import print_events
    from aether_protocol.engine.clock import SystemClock
    from aether_protocol.engine.stream import StoredEvents

    row = await find_run(store, text)
    events = StoredEvents(store, SystemClock(), row.run_id, follow=follow)
    if follow:
        async with told_when_left(store, row):
            count = await print_events(events)
    else:
        count = await print_events(events)
    if not count and row.seq:
        hint = "the tier state-action-log keeps them all"
        raise UsageError(f"the steps of run {row.run_id!r} were not kept: its tier is {row.tier}", hint=hint)
