"""`aether cron resume NAME...`: resume suspended schedules."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import NamespaceOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.schedules import switch

EPILOG = """\b
Examples:
  aether cron resume nightly hourly"""


class ScheduleResumeOptions(Struct, frozen=True, kw_only=True):
    names: Annotated[tuple[str, ...], argument("NAME...", nargs=-1, required=True)]
    namespace: NamespaceOption = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ScheduleResumeOptions, "resume", epilog=EPILOG)
def command(options: ScheduleResumeOptions) -> int:
    """Resume suspended schedules, from their next fire on."""
    switch(options.store, options.namespace, options.names, as_json=options.output == "json", suspend=False)
    return FINE
