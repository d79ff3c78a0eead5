"""Messages on standard error: errors, warnings, notes and hints, all of one look.

Law: `error: ...` and `warning: ...` begin a message, `  hint: ...` below it says what to do. `--quiet` leaves out notes and the
hints to them, never an error or a warning. Text from elsewhere is made printable here. With `--log-format json` each message is
one JSON object in a line: `time` (UTC), `level` (info, warning, error), `message`, and what more is known.
"""

from __future__ import annotations

from collections.abc import Iterable

import click

from aether_protocol.cli.terminal.color import decided
from aether_protocol.views.text import printable

_quiet = False
_as_json = False


def begin() -> None:
    """Before a command is parsed: say everything, as text."""
    global _quiet, _as_json
    _quiet = _as_json = False


def quoted(word: str) -> str:
    """Write a word as a shell takes it, for a command in a hint."""
    import shlex  # only for a hint of that kind

    return shlex.quote(word)


def set_json() -> None:
    """From now on write each message as a JSON object."""
    global _as_json
    _as_json = True


def is_json() -> bool:
    return _as_json


def record(level: str, text: str, **fields: object) -> None:
    """Write a message as one JSON object. Any text is valid in it: what is not a character is escaped.

    Args:
        level: info, warning or error.
        text: the message.
        fields: what more is known; None is left out.
    """
    if _quiet and level == "info":
        return
    import json  # here: most commands write text
    import time

    from aether_protocol.scheduler.timing import rfc3339

    known = {name: value for name, value in fields.items() if value is not None}
    line = {"time": rfc3339(time.time_ns() // 1000), "level": level, "message": text, **known}
    click.echo(json.dumps(line, separators=(",", ":"), default=str), err=True)


def set_quiet() -> None:
    """From now on report errors and warnings alone."""
    global _quiet
    _quiet = True


def is_quiet() -> bool:
    return _quiet


def note(text: str, *hints: str | None, color: str | None = None) -> None:
    """Something that is good to know."""
    if _as_json:
        record("info", text, hint=_first(hints))
    elif not _quiet:
        click.echo(click.style(printable(text), fg=color) if color else printable(text), err=True, color=decided())
        _hint(hints)


def hint(text: str) -> None:
    """What can be done next, below what standard output has."""
    if _as_json:
        record("info", text)
    elif not _quiet:
        _hint((text,))


def warn(text: str, *hints: str | None) -> None:
    """Something that is not right, and changes nothing about the exit code."""
    _labelled("warning: ", "yellow", text, hints)


def warn_unreachable(servers: Iterable[str], what: str) -> None:
    """Servers of a store that did not answer the one that was asked; `what` follows from it."""
    if away := ", ".join(servers):
        warn(f"no answer from {away}: {what}", "'aether server ls' shows which servers there are")


def error(text: str, *hints: str | None) -> None:
    """Why a command failed, and what can be done about it."""
    _labelled("error: ", "red", text, hints)


def _labelled(label: str, color: str, text: str, hints: Iterable[str | None]) -> None:
    if _as_json:
        record(label.rstrip(": "), text, hint=_first(hints))
        return
    click.echo(click.style(label, fg=color, bold=True), err=True, nl=False, color=decided())
    click.echo(printable(text), err=True)
    _hint(hints)


def _first(hints: Iterable[str | None]) -> str | None:
    return "; ".join(filter(None, hints)) or None


def _hint(hints: Iterable[str | None]) -> None:
    for one in hints:
        if one:
            click.echo(f"  hint: {printable(one)}", err=True)
