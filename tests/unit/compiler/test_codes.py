"""The table of codes, its page, and that the checks use exactly its codes (DOC-7)."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

from aether_protocol.diagnostics import CODES
from aether_protocol.diagnostics.checks import CHECKS

ROOT = Path(__file__).parents[3]
COMPILER = ROOT / "aether_protocol" / "compiler"


def test_the_page_is_up_to_date() -> None:
    made = runpy.run_path(str(ROOT / "docs" / "diagnostics_page.py"))["page"]()
    assert (ROOT / "docs" / "reference" / "diagnostics.md").read_text(encoding="utf-8") == made


@pytest.mark.rule("DOC-7")
def test_every_code_is_found_by_some_check_and_every_check_has_a_code() -> None:
    used = {code for path in COMPILER.rglob("*.py") for code in re.findall(r'"(AE\d{3})"', path.read_text("utf-8"))}
    schedules = {"AE501", "AE502", "AE503", "AE512"}  # of which applying has more: test_schedules
    assert used - schedules == {info.code for info in CHECKS}


def test_every_check_code_is_shown_by_a_test() -> None:
    shown = {code for path in Path(__file__).parent.glob("*.py") for code in re.findall(r"AE\d{3}", path.read_text("utf-8"))}
    assert {info.code for info in CHECKS} - shown == set()


def test_rows_are_in_order_and_complete() -> None:
    codes = [info.code for info in CHECKS]
    assert codes == sorted(set(codes))
    assert len(CODES) >= len(CHECKS)
    for info in CHECKS:
        assert info.severity == ("warning" if info.code.startswith("AE9") else "error")
        assert not info.title.endswith(".")
        assert info.explanation.endswith((".", "`."))
