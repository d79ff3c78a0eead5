"""Pages of the reference that are made from the code are equal to it."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


MADE = [
    ("fields_page", "fields"),
    ("python_page", "python-api"),
    ("names_page", "expressions"),
    ("configuration_page", "configuration"),
]


@pytest.mark.parametrize(("maker", "page"), MADE)
def test_a_page_is_what_its_maker_makes(maker: str, page: str) -> None:
    made = runpy.run_path(str(DOCS / f"{maker}.py"))["page"]()
    assert (DOCS / "reference" / f"{page}.md").read_text("utf-8") == made, f"run python docs/{maker}.py"


def test_every_rule_of_the_engine_has_a_number_of_its_own_and_none_is_left_out() -> None:
    """Two changes that are made at a time take the same number easily."""
    text = (DOCS / "protocol.md").read_text("utf-8")
    numbers = sorted(int(number) for number in re.findall(r"^- \*\*RT-(\d+)\*\*", text, re.MULTILINE))
    assert numbers == list(range(1, len(numbers) + 1))
