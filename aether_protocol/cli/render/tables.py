"""A table in the terminal, each column as wide as it must be.

Law: a line for each row, whatever is in it: cells come as printable text on one line.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from aether_protocol.cli.render.text import cells


def show_table(
    headings: Sequence[str], rows: Sequence[Sequence[str]], colors: Sequence[str | None] = (), column: int = 0
) -> None:
    """On standard output. `colors` are those of cell `column`, by row."""
    widths = [max(cells(row[i]) for row in (headings, *rows)) for i in range(len(headings))]
    widths[-1] = 0  # nothing follows the last one
    out = [click.style(_padded(headings, widths), bold=True)]
    for number, row in enumerate(rows):
        color = colors[number] if number < len(colors) else None
        out.append(_padded(row, widths, color, column))
    click.echo("\n".join(out))


def _padded(row: Sequence[str], widths: Sequence[int], color: str | None = None, column: int = 0) -> str:
    parts = [text + " " * (width - cells(text)) for text, width in zip(row, widths, strict=True)]
    if color is not None:
        parts[column] = click.style(parts[column], fg=color)
    return "  ".join(parts).rstrip()
