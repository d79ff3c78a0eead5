"""docs/reference/executors.md is what the executors' tables say (SPEC-15)."""

from __future__ import annotations

import runpy
from pathlib import Path

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_up_to_date() -> None:
    made = runpy.run_path(str(DOCS / "executors_page.py"))["page"]()
    assert (DOCS / "reference" / "executors.md").read_text(encoding="utf-8") == made
