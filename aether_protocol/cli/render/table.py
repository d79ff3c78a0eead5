"""Tables for people.

Law: a line for each row, whatever is in its cells; each column is as wide as it must be, and nothing is cut here.
"""

from __future__ import annotations

from collections.abc import Sequence

import click

from aether_protocol.cli.render.text import cells


def show_table(headings: Sequence[str], rows: Sequence[Sequence[str]], *, err: bool = False) -> None:
    """Headings and rows of as many cells; what they hold is printable and has no line ends."""
    widths = [max(cells(line[i]) for line in (headings, *rows)) for i in range(len(headings))]
    click.secho(_padded(headings, widths), bold=True, err=err)
    for row in rows:
        click.echo(_padded(row, widths), err=err)


def _padded(line: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(text + " " * (width - cells(text)) for text, width in zip(line, widths, strict=True)).rstrip()
