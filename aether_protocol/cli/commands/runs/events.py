"""`aether events RUN`: everything that happened, a JSON line for each fact."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import command_with, option, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import RunArgument, StoreOption, ToOption
from aether_protocol.cli.stored import ask, told_when_left
from aether_protocol.cli.terminal.streams import stop_when_lost
from aether_protocol.errors import UsageError
from aether_protocol.service.client import RunReader

EPILOG = """\b
Examples:
  aether events latest
  aether events latest --follow | jq -c 'select(.kind == "NodeEnded")'"""


class EventsOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    follow: Annotated[bool, option("-f", "--follow", is_flag=True, help="Continue until the run has ended.")] = False
    output: Annotated[
        str, output_option("json", "text", help="A JSON line for each event, or a line of text.")
    ] = "json"
    to: ToOption = None
    store: StoreOption


@command_with(EventsOptions, "events", epilog=EPILOG)
def command(options: EventsOptions) -> int:
    """Print what happened in a run, one JSON line for each event, as 'aether run -o events' does.

    RUN is a run's id, the beginning of it, or latest.
    """
    stop_when_lost()
    ask(options.store, lambda client: pour(client.runs, options))
    return FINE


async def pour(runs: RunReader, options: EventsOptions) -> None:
    from aether_protocol.cli.render.events import print_events

    row = await runs.get(options.run)
    events = runs.events(row.run_id, follow=options.follow)
    as_json = options.output == "json"
    if options.follow:
        async with told_when_left(runs, row.run_id):
            count = await print_events(events, as_json=as_json)
    else:
        count = await print_events(events, as_json=as_json)
    if not count and row.seq:
        hint = "the tier state-action-log keeps them all"
        raise UsageError(f"the steps of run {row.run_id!r} were not kept: its tier is {row.tier}", hint=hint)
