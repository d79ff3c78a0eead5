"""`aether cron suspend NAME...`: suspend schedules."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.schedules import switch

EPILOG = """\b
Examples:
  aether cron suspend nightly hourly"""


class ScheduleSuspendOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleSuspendOptions, "suspend", epilog=EPILOG)
def command(options: ScheduleSuspendOptions) -> int:
    """Suspend schedules: nothing is started until they are resumed, and fires in between are not made up for.

    Runs that have begun continue. 'aether cron apply' sets it to what the document says.
    """
    switch(options.store, options.namespace, options.names, as_json=options.output == "json", suspend=True)
    return FINE
