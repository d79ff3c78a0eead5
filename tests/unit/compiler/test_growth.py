"""What a check costs grows as the document does, also where every entry is at fault: judged by calls, never by the clock.

`bench/bench_growth.py` does the same with all lists that a document can hold, by time and up to a megabyte.
"""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from aether_protocol.assembly.files import FileBytes
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.diagnostics.bounds import MOST, first_of
from aether_protocol.diagnostics.suggest import BUDGET, Suggestions
from bench.growth_documents import CASES

SMALL, GROWTH = 250, 2.6  # twice as many entries: 2 where it is linear, 4 where it is quadratic
SOME = (
    "a secret down a chain",
    "arguments beside declared ones",
    "arguments that are not declared",
    "calls of a loop that reads many tasks",
    "calls of a template that reads many missing tasks",
    "calls of a template that reads many tasks",
    "calls of a template that reads many tasks too early",
    "calls of a template with many missing sources",
    "calls of a template with many sources",
    "dags that call a missing leaf",
    "dags that call each other",
    "documents of one name",
    "inputs of the entrypoint without a value",
    "items with other fields",
    "items without fields",
    "libraries that are missing",
    "missing dependencies of one task",
    "parameters that are missing",
    "unknown fields of a config",
    "unknown fields of many",
    "values that a long enum lacks",
)


def check(data: bytes) -> list[Diagnostic]:
    workspace = DocumentWorkspace()
    return workspace.check([[workspace.take(FileBytes("big.yaml", data))]])


def calls(data: bytes) -> int:
    """How many functions of Python and of C are called for a check."""
    count = 0

    def seen(frame: FrameType, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        check(data)
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.rule("SPEC-11", "DOC-7")
@pytest.mark.parametrize("name", SOME)
def test_twice_the_document_is_twice_the_work(name: str) -> None:
    make = CASES[name]
    check(make(4))  # what is made once is not counted
    assert calls(make(2 * SMALL)) <= GROWTH * calls(make(SMALL))


@pytest.mark.rule("DOC-6", "DOC-7")
@pytest.mark.parametrize(
    "name",
    ["missing dependencies of one task", "hooks that are dags", "dags each of which calls itself", "documents of one name"],
)
def test_at_most_a_thousand_findings_are_told_and_that_there_are_more(name: str) -> None:
    found = check(CASES[name](3 * MOST))
    assert len(found) == MOST
    assert found == sorted(found)
    assert sum("more f" in (one.hint or "") for one in found) == 1


def test_errors_are_told_before_warnings() -> None:
    warnings = [Diagnostic("f", line, 1, "AE901", "warning", "w", "") for line in range(1, MOST + 100)]
    error = Diagnostic("f", MOST + 500, 1, "AE201", "error", "e", "")
    other = Diagnostic("g", 1, 1, "AE201", "error", "e", "")
    told = first_of([*warnings, error, other])
    assert len(told) == MOST + 1
    assert [one.line for one in told if one.severity == "error"] == [MOST + 500, 1]
    assert told[MOST - 1].hint == "there are 100 more findings; only the first 1000 are shown"


def test_suggestions_have_a_budget() -> None:
    known = [f"parameter-{i}" for i in range(3000)]
    suggestions = Suggestions()
    found = [suggestions.nearest(f"parametre-{i}", known) for i in range(3000)]
    given = sum(name is not None for name in found)
    assert found[0] is not None
    assert 5 < given < BUDGET / 30
    assert not any(found[given:])
