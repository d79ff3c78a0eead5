"""The phase diagram in the docs is the table."""

from __future__ import annotations

from pathlib import Path

from aether_protocol.scheduler.transitions import diagram, table

PAGE = Path(__file__).parents[3] / "docs" / "explanation" / "phases.md"
BEGIN, END = "<!-- drawn from the table: begin -->\n", "<!-- drawn from the table: end -->\n"


def drawn() -> str:
    return f"{BEGIN}\n```mermaid\n{diagram()}```\n\n{table()}\n{END}"


def test_the_page_shows_the_table_as_it_is() -> None:
    text = PAGE.read_text(encoding="utf-8")
    held = text[text.index(BEGIN) : text.index(END) + len(END)]
    assert held == drawn(), f"redraw the page; between the marks of {PAGE.name} belongs:\n{drawn()}"
