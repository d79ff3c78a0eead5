"""The pages about case files are true: their cases pass, and they name every field that there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from aether_protocol.testing.cases import grammar
from aether_protocol.testing.cases.fields import ObjectCheck
from aether_protocol.testing.cases.grammar import LIMITS
from aether_protocol.testing.cases.read import read_text
from aether_protocol.testing.cases.reports import explain
from aether_protocol.testing.cases.run import run_case

DOCS = Path(__file__).resolve().parents[3] / "docs"
HOW_TO = DOCS / "how-to" / "test-workflows.md"
REFERENCE = DOCS / "reference" / "case-files.md"
CASES = re.findall(r"```yaml\n(case: .*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)


@pytest.mark.parametrize("text", CASES)
def test_the_cases_of_the_how_to_pass(text: str) -> None:
    (case,) = read_text(text.encode(), str(HOW_TO))
    result = run_case(case)
    assert result.outcome == "passed", explain(result)


def test_there_are_cases_in_the_how_to() -> None:
    assert len(CASES) == 2


@pytest.mark.parametrize("name", [name for name, value in vars(grammar).items() if isinstance(value, ObjectCheck)])
def test_the_reference_names_every_field(name: str) -> None:
    page = REFERENCE.read_text("utf-8")
    record: ObjectCheck = getattr(grammar, name)
    fields = [*record.fields, *(LIMITS if record is grammar.CASE else ())]
    if record is grammar.ASSIGNMENT:
        fields = [field for field in fields if field in ("attempt", "config", "timeout", "payloads")]  # WIRE-1 has them all
    assert [field for field in fields if not re.search(rf"`[^`]*\b{field}\b[^`]*`", page)] == []
