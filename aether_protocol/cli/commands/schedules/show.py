"""`aether cron show NAME`: all about a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cron.fields import BadScheduleError
from aether_protocol.ports.store.schedules import FireRecord
from aether_protocol.service.client import ScheduleControl
from aether_protocol.service.schedules.find import ScheduleOverview, full_name
from aether_protocol.service.schedules.times import fires_of

EPILOG = """\b
Examples:
  aether cron show nightly
  aether cron show nightly -o json   (with the document as it was applied)"""

AHEAD = 5
BEHIND = 10


class ScheduleShowOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleShowOptions, "show", epilog=EPILOG)
def command(options: ScheduleShowOptions) -> int:
    """Show a schedule: its settings, its next fires, what became of the last ones, and its runs."""
    now = now_us()
    one, records = ask(options.store, lambda client: read(client.schedules, full_name(options.name, options.namespace)))
    settings = one.schedule.settings
    try:
        fires = list(islice(fires_of(settings, max(now, one.schedule.seen)), AHEAD))
    except BadScheduleError as error:  # its zone, on another machine
        fires = []
        messages.warn(f"the next fires are not known here: {error.message}")
    if options.output == "json":
        from aether_protocol.cli.render.schedules import print_schedule_json

        print_schedule_json(one, fires, records)
        return FINE
    from aether_protocol.cli.render.schedules import show_schedule

    show_schedule(one, fires, records, now)
    return FINE


async def read(schedules: ScheduleControl, name: str) -> tuple[ScheduleOverview, Sequence[FireRecord]]:
    return await schedules.get(name), await schedules.history(name, limit=BEHIND)
