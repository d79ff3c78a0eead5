"""Tables for people.

Law: a line for each row, whatever is in its cells; each column is as wide as it must be, and nothing is cut here. Columns are
left out on a terminal alone.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from aether_protocol.cli.terminal.streams import terminal_columns
from aether_protocol.views.text import cells


def show_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    colors: Sequence[str | None] = (),
    column: int = 0,
    least: Sequence[str] = (),
    err: bool = False,
) -> None:
    """Headings and rows of as many cells; what they hold is printable and has no line ends. `colors`, by row, are those of cell
    number `column`; where a terminal is not wide enough, the columns `least` are left out, the first of them first."""
    widths = [max(cells(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    chosen = list(range(len(headings)))
    room = None if err else terminal_columns()
    for heading in least:
        if room is None or sum(widths[i] + 2 for i in chosen) - 2 <= room:
            break
        chosen = [i for i in chosen if headings[i] != heading]
    click.secho(_joined(_padded(headings, widths), chosen), bold=True, err=err)
    for number, row in enumerate(rows):
        parts = _padded(row, widths)
        if number < len(colors) and colors[number] is not None:
            parts[column] = click.style(parts[column], fg=colors[number])
        click.echo(_joined(parts, chosen), err=err)


def _joined(parts: Sequence[str], chosen: Sequence[int]) -> str:
    return "  ".join(parts[i] for i in chosen).rstrip()


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [text + " " * (width - cells(text)) for text, width in zip(line, widths, strict=True)]
