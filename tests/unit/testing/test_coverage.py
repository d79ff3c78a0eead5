"""The table of rules counts what cases and marked tests name, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

from aether_protocol.testing.cases.coverage import coverage_text, rule_coverage
from aether_protocol.testing.cases.read import read_text
from aether_protocol.testing.cases.rules import RULES

CASES = """
case: good
rules: [SCHED-5, DATA-1]
document: {}
expect: {phase: Failed}
---
case: faulty
rules: [DATA-2]
document: {}
expect: {phase: Nope}
"""

TESTS = """
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.rule("EXEC-5")]

@pytest.mark.rule("DATA-7", "SCHED-5")
def test_one(): pass

class TestMore:
    @pytest.mark.rule("WIRE-1")
    async def test_two(self): pass

@pytest.mark.rule("DATA-77")
def test_three(): pass
"""


def test_cases_and_marked_tests_are_counted(tmp_path: Path) -> None:
    (tmp_path / "test_x.py").write_text(TESTS)
    (tmp_path / "helper.py").write_text(TESTS.replace("DATA-7", "DATA-8"))
    (tmp_path / "test_broken.py").write_text("def (")
    coverage = rule_coverage(read_text(CASES.encode(), "x.cases.yaml"), [tmp_path])
    counts = {row.rule: (row.cases, row.tests) for row in coverage.rows if row.covered}
    assert counts == {"SCHED-5": (1, 1), "DATA-1": (1, 0), "DATA-7": (0, 1), "WIRE-1": (0, 1), "EXEC-5": (0, 1)}
    assert [str(fault) for fault in coverage.faults] == [
        f"{tmp_path / 'test_x.py'}:13: 'DATA-77' is not a rule (did you mean 'DATA-7'?)"
    ]
    assert not coverage.complete
    shown = coverage_text(coverage).splitlines()
    assert shown[-1].startswith(f"5 of {len(RULES)} rules covered (5 %); missing: DOC-1, ")


def test_marks_of_all_rules_are_complete(tmp_path: Path) -> None:
    rules = ", ".join(f'"{rule}"' for rule in RULES)
    (tmp_path / "test_all.py").write_text(f"import pytest\n@pytest.mark.rule({rules})\ndef test_all(): pass\n")
    coverage = rule_coverage([], [tmp_path])
    assert coverage.complete
    assert coverage.missing == ()
    assert "(100 %)" in coverage_text(coverage)


def test_decisions_of_this_runtime_may_be_named_and_stand_in_the_docs() -> None:
    root = Path(__file__).parents[3]
    told = re.findall(r"\*\*(RT-[0-9]+)\*\*", (root / "docs" / "protocol.md").read_text("utf-8"))
    texts = [path.read_text("utf-8") for path in (root / "tests").rglob("test_*.py")]
    named = {rule for text in texts for rule in re.findall(r'"(RT-[0-9]+)"', text)}
    assert named - set(told) == set()
    assert [f"RT-{number}" for number in range(1, len(told) + 1)] == sorted(told, key=lambda rule: int(rule[3:]))
