"""Lines of text that fit the terminal that standard output leads to, and stay one line each where it leads to none.

Law: what tasks wrote is never broken here, nor what programs read.
"""

from __future__ import annotations

from textwrap import wrap
from typing import Final

import click

from aether_protocol.cli.terminal.streams import terminal_columns
from aether_protocol.views.text import cells

FURTHER: Final = 6  # columns by which later lines are further in
LEAST: Final = 20  # columns of text, however far in it stands


def wrapped(text: str, indent: str = "", further: int = FURTHER) -> list[str]:
    """`text` behind `indent`; on a terminal in lines that fit, the later ones further in."""
    columns = terminal_columns()
    if columns is None or len(indent) + cells(text) <= columns:
        return [indent + text]
    later = indent + " " * further
    room = max(columns - 1, len(later) + LEAST)
    return wrap(text, room, initial_indent=indent, subsequent_indent=later, break_on_hyphens=False)


def say(text: str, indent: str = "", *, further: int = FURTHER, color: str | None = None, bold: bool = False) -> None:
    """Print `text` on standard output as `wrapped` gives it."""
    lines = "\n".join(wrapped(text, indent, further))
    click.secho(lines, fg=color, bold=bold) if color or bold else click.echo(lines)
