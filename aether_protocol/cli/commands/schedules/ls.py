"""`aether cron ls`: the schedules of a store."""

from __future__ import annotations

from msgspec import Struct

from aether_protocol.cli.command import command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import NamespaceFilter, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages

EPILOG = """\b
Examples:
  aether cron ls
  aether cron ls --namespace team-a -o json"""


class ScheduleListOptions(Struct, frozen=True, kw_only=True):
    namespace: NamespaceFilter = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleListOptions, "ls", epilog=EPILOG)
def command(options: ScheduleListOptions) -> int:
    """List schedules: when they fire, what became of the last fire, and how many of their runs have not ended."""
    found = ask(options.store, lambda client: client.schedules.list(options.namespace))
    if options.output == "json":
        from aether_protocol.cli.render.schedules import print_schedules_json

        print_schedules_json(found)
        return FINE
    from aether_protocol.cli.render.schedules import show_schedules

    if found:
        show_schedules(found, now_us())
    else:
        where = "" if options.namespace is None else f" in namespace {options.namespace!r}"
        messages.note(f"there are no schedules{where}", "'aether cron apply FILE' makes one")
    return FINE
