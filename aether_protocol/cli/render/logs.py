"""What tasks wrote, as lines.

Law: tasks write in pieces that end anywhere; a line is shown once it is whole, or when nothing more comes. Control
characters never reach the terminal.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Sequence

import click

from aether_protocol.cli.render.times import here
from aether_protocol.ports.store import LogLine
from aether_protocol.ports.store.logs import LOSS, NOTE
from aether_protocol.views.text import printable


class LogPrinter:
    """Prints pieces as lines on standard output: each with the task's path where `paths` says so, and with the number of the
    attempt where it is not the first, or was lost and began again (`#1 again`). With `times` it begins with the time at which
    its end was written. `only`: only lines in which that is found."""

    def __init__(self, *, paths: bool, times: bool = False, only: re.Pattern[str] | None = None) -> None:
        self.paths = paths
        self.times = times
        self.only = only
        self.kept: deque[tuple[str, bool]] | None = None
        self.at = 0  # of the last piece
        self.partial: dict[tuple[str, int, str], list[str]] = {}  # of lines that have not ended
        self.losses: dict[tuple[str, int], int] = {}  # by path and attempt: how often it was lost

    def keep(self, count: int) -> None:
        """Print only the last lines, at the end."""
        self.kept = deque(maxlen=count)

    def take(self, piece: LogLine) -> None:
        key = (piece.path, piece.attempt, piece.stream)
        self.at = piece.at
        is_loss = piece.stream == NOTE and piece.text == LOSS
        if piece.attempt > 1 or is_loss:
            self._end_attempts(piece)
        if is_loss:
            self._print(key, piece.text.rstrip("\n"))
            self.losses[piece.path, piece.attempt] = self.losses.get((piece.path, piece.attempt), 0) + 1
            return
        if "\n" not in piece.text:
            self.partial.setdefault(key, []).append(piece.text)
            return
        *lines, rest = ("".join(self.partial.pop(key, ())) + piece.text).split("\n")
        if rest:
            self.partial[key] = [rest]
        for line in lines:
            self._print(key, line)

    def _end_attempts(self, piece: LogLine) -> None:
        """Nothing more comes of the attempts before this one, nor of it where this says that it was lost."""
        last = piece.attempt - (piece.stream != NOTE or piece.text != LOSS)
        for key in [key for key in self.partial if key[0] == piece.path and key[1] <= last]:
            self._print(key, "".join(self.partial.pop(key)))

    def end(self) -> None:
        """Nothing more comes: what is not a whole line is one now."""
        for key, rest in self.partial.items():
            self._print(key, "".join(rest))
        self.partial.clear()
        for text, is_note in self.kept or ():
            self._write(text, is_note)

    def _print(self, key: tuple[str, int, str], line: str) -> None:
        path, attempt, stream = key
        if self.only is not None and stream != NOTE and not self.only.search(line):
            return
        marks = [printable(path)] if self.paths else []
        again = self.losses.get((path, attempt), 0)
        if attempt > 1 or again:
            marks.append(f"#{attempt}{' again' if again else ''}{f' {again}' if again > 1 else ''}")
        text = f"{''.join(marks)} | {printable(line)}" if marks else printable(line)
        if self.times:
            text = f"{here(self.at, timespec='milliseconds')}  {text}"
        if self.kept is None:
            self._write(text, stream == NOTE)
        else:
            self.kept.append((text, stream == NOTE))

    def _write(self, text: str, is_note: bool) -> None:
        if is_note:
            click.secho(text, fg="yellow", err=True)
        else:
            click.echo(text)


def tail_lines(pieces: Sequence[LogLine], count: int) -> Iterator[str]:
    """The last lines of a task's log."""
    text = "".join(piece.text for piece in pieces if piece.stream != NOTE)
    yield from deque(text.rstrip("\n").split("\n") if text.strip() else (), maxlen=count)
