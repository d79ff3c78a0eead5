"""What tasks wrote, as lines.

Law: tasks write in pieces that end anywhere; a line is shown once it is whole, or when nothing more comes. Control
characters never reach the terminal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

import click

from aether_protocol.cli.render.text import printable
from aether_protocol.ports.store import LogLine

NOTE = "note"  # the stream of what the store says itself


class LogPrinter:
    """Prints pieces as lines on standard output, each with the task's path where `paths` says so."""

    def __init__(self, *, paths: bool) -> None:
        self.paths = paths
        self.partial: dict[tuple[str, int, str], str] = {}

    def take(self, piece: LogLine) -> None:
        key = (piece.path, piece.attempt, piece.stream)
        *lines, rest = (self.partial.pop(key, "") + piece.text).split("\n")
        if rest:
            self.partial[key] = rest
        for line in lines:
            self._print(piece.path, piece.stream, line)

    def end(self) -> None:
        """Nothing more comes: what is not a whole line is one now."""
        for (path, _, stream), rest in self.partial.items():
            self._print(path, stream, rest)
        self.partial.clear()

    def _print(self, path: str, stream: str, line: str) -> None:
        text = f"{printable(path)} | {printable(line)}" if self.paths else printable(line)
        if stream == NOTE:
            click.secho(text, fg="yellow", err=True)
        else:
            click.echo(text)


def tail_lines(pieces: Sequence[LogLine], count: int) -> Iterator[str]:
    """The last lines of a task's log."""
    text = "".join(piece.text for piece in pieces if piece.stream != NOTE)
    yield from deque(text.rstrip("\n").split("\n") if text.strip() else (), maxlen=count)
