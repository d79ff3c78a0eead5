"""Tables for people.

Law: a line for each row, whatever is in its cells; each column is as wide as it must be, and nothing is cut here.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from aether_protocol.views.text import cells


def show_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    *,
    colors: Sequence[str | None] = (),
    column: int = 0,
    err: bool = False,
) -> None:
    """Headings and rows of as many cells; what they hold is printable and has no line ends. `colors`, by row, are those of cell
    number `column`."""
    widths = [max(cells(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    click.secho("  ".join(_padded(headings, widths)).rstrip(), bold=True, err=err)
    for number, row in enumerate(rows):
        parts = _padded(row, widths)
        if number < len(colors) and colors[number] is not None:
            parts[column] = click.style(parts[column], fg=colors[number])
        click.echo("  ".join(parts).rstrip(), err=err)


def _padded(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    return [text + " " * (width - cells(text)) for text, width in zip(line, widths, strict=True)]
