"""Messages on standard error: errors, warnings, notes and hints, all of one look.

Law: `error: ...` and `warning: ...` begin a message, `  hint: ...` below it says what to do. `--quiet` leaves out notes and the
hints to them, never an error or a warning. Text from elsewhere is made printable here.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from aether_protocol.cli.terminal.color import decided
from aether_protocol.views.text import printable

_quiet = False


def begin() -> None:
    """Before a command is parsed: say everything."""
    global _quiet
    _quiet = False


def set_quiet() -> None:
    """From now on report errors and warnings alone."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    return _quiet


def note(text: str, *hints: str | None, color: str | None = None) -> None:
    """Something that is good to know."""
    if not _quiet:
        click.echo(click.style(printable(text), fg=color) if color else printable(text), err=True, color=decided())
        _hint(hints)


def hint(text: str) -> None:
    """What can be done next, below what standard output has."""
    if not _quiet:
        _hint((text,))


def warn(text: str, *hints: str | None) -> None:
    """Something that is not right, and changes nothing about the exit code."""
    _labelled("warning: ", "yellow", text, hints)


def error(text: str, *hints: str | None) -> None:
    """Why a command failed, and what can be done about it."""
    _labelled("error: ", "red", text, hints)


def _labelled(label: str, color: str, text: str, hints: Iterable[str | None]) -> None:
    click.echo(click.style(label, fg=color, bold=True), err=True, nl=False, color=decided())
    click.echo(printable(text), err=True)
    _hint(hints)


def _hint(hints: Iterable[str | None]) -> None:
    for one in hints:
        if one:
            click.echo(f"  hint: {printable(one)}", err=True)
