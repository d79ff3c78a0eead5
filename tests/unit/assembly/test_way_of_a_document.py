"""From a document to its plan: each layer is entered once, in order, and what is below asks what is above at two places only.

Law: measured on the calls of this process, so what a layer is handed (a table of executors, a function) counts as a way up.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from aether_protocol.assembly.documents import load_plan

WORKFLOWS = Path(__file__).parents[3] / "examples" / "workflows"
EXAMPLES = sorted({*WORKFLOWS.glob("*.yaml")} - {*WORKFLOWS.glob("*.cases.yaml"), *WORKFLOWS.glob("uses-a-*.yaml")})
HEIGHT = {"diagnostics": 0, "errors": 1, "expressions": 2, "cron": 3, "documents": 4, "plan": 5, "compiler": 6, "assembly": 7}
MOST_WAYS_UP = 2  # the executors that are installed (assembly), and the types of names in an expression (compiler)


class Ways:
    """A profiler of calls from one layer into another."""

    def __init__(self) -> None:
        self.entered: list[str] = []
        self.up: set[tuple[str, str]] = set()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        layer = layer_of(frame)
        if event != "call" or layer is None:
            return
        caller = next((found for one in callers(frame) if (found := layer_of(one)) is not None), None)
        if caller is None or caller == layer:
            return
        if caller == "assembly" and layer in ("documents", "compiler") and self.entered[-1:] != [layer]:
            self.entered.append(layer)
        if HEIGHT[layer] > HEIGHT[caller]:
            self.up.add((caller, layer))


def callers(frame: FrameType) -> Iterator[FrameType]:
    above = frame.f_back
    while above is not None:
        yield above
        above = above.f_back


def layer_of(frame: FrameType) -> str | None:
    package, _, rest = str(frame.f_globals.get("__name__")).partition(".")
    layer = rest.partition(".")[0]
    return layer if package == "aether_protocol" and layer in HEIGHT else None


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_a_document_becomes_a_plan_on_one_way(path: Path) -> None:
    ways = Ways()
    sys.setprofile(ways)
    try:
        load_plan(path)
    finally:
        sys.setprofile(None)
    assert ways.entered == ["documents", "compiler"]
    assert len(ways.up) <= MOST_WAYS_UP, ways.up
