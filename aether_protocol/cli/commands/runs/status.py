"""`aether status RUN`: the word of prior systems for `aether show`."""

from __future__ import annotations

from aether_protocol.cli.command import command_with
from aether_protocol.cli.commands.runs.show import ShowOptions, show

EPILOG = """\b
Examples:
  aether status latest
  aether status 0195c3f2 -o json   (the run report)"""


@command_with(ShowOptions, "status", epilog=EPILOG)
def command(options: ShowOptions) -> int:
    """Show a run, as 'aether show' does: its tasks with their times, its outputs, and why it failed.

    RUN is a run's id, the beginning of it, or latest.
    """
    return show(options)
