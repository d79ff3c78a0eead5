"""From a document to its plan control goes down from layer to layer; two calls go upward, to what was given as an option."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from types import FrameType
from typing import Any

from aether_protocol.assembly.documents import load_plan

ROOT = Path(__file__).parents[3]
PACKAGE = "aether_protocol."


def ranks() -> dict[str, int]:
    """The layer of each package, from the walls: 0 is the lowest."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    [layers] = [one["layers"] for one in contracts if one["id"] == "layers"]
    return {
        name.strip().strip("()"): rank
        for rank, layer in enumerate(reversed(layers))
        for name in layer.split("|")
    }


def upward_calls(path: Path) -> set[tuple[str, str]]:
    """Who calls upward, and what, while a document becomes a plan: modules."""
    rank = ranks()
    found: set[tuple[str, str]] = set()

    def module(frame: FrameType | None) -> str | None:
        while frame is not None:  # passes over the standard library: a mapping's `get` calls its `__getitem__`
            name = str(frame.f_globals.get("__name__", ""))
            if name.startswith(PACKAGE):
                return name.removeprefix(PACKAGE)
            frame = frame.f_back
        return None

    def watch(frame: FrameType, event: str, argument: Any) -> None:
        name = str(frame.f_globals.get("__name__", ""))
        if event != "call" or not name.startswith(PACKAGE) or frame.f_code.co_name == "<module>":
            return
        callee, caller = name.removeprefix(PACKAGE), module(frame.f_back)
        if caller is not None and rank[callee.partition(".")[0]] > rank[caller.partition(".")[0]]:
            found.add((caller, callee))

    libraries = [path.parent / "library"]
    load_plan(path, library=libraries)  # what is imported on the way is imported now
    before = sys.getprofile()
    sys.setprofile(watch)
    try:
        load_plan(path, library=libraries)
    finally:
        sys.setprofile(before)
    return found


def test_a_document_becomes_a_plan_with_two_climbs_at_most() -> None:
    climbs: set[tuple[str, str]] = set()
    for path in sorted((ROOT / "examples" / "workflows").glob("*.yaml")):
        if ".cases." not in path.name and "kind: WorkflowTemplate\n" not in path.read_text("utf-8"):
            climbs |= upward_calls(path)
    asked = {(caller.partition(".")[0], callee) for caller, callee in climbs}
    assert ("compiler", "assembly.executors") in asked  # which executor types there are on this machine
    assert asked <= {("compiler", "assembly.executors"), ("expressions", "compiler.known_types")}
