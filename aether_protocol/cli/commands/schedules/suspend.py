"""`aether cron suspend NAME...`: let schedules rest."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import namespace_option, store_option
from aether_protocol.cli.schedules import switch

EPILOG = """\b
Examples:
  aether cron suspend nightly hourly"""


@click.command("suspend", epilog=EPILOG)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@namespace_option
@store_option
def command(names: tuple[str, ...], namespace: str | None, store: str) -> int:
    """Let schedules rest: nothing is started until they are resumed, and fires in between are not made up for.

    Runs that are under way go on. 'aether cron apply' sets it to what the document says.
    """
    switch(store, namespace, names, suspend=True)
    return FINE
