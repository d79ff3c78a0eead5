"""`aether cron resume NAME...`: let suspended schedules go on."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import namespace_option, store_option
from aether_protocol.cli.schedules import switch

EPILOG = """\b
Examples:
  aether cron resume nightly hourly"""


@click.command("resume", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@namespace_option
@store_option
def command(names: tuple[str, ...], namespace: str | None, store: str) -> int:
    """Let suspended schedules go on with the next fire from now."""
    switch(store, namespace, names, suspend=False)
    return FINE
