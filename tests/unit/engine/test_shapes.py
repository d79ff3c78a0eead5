"""What a decoded record may hold: all that our own compiler and scheduler make, and nothing that its annotations exclude."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.assembly.documents import load_plan
from aether_protocol.engine.record_check import misfit
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.model import Plan, Retry
from aether_protocol.scheduler.facts import Fact, NodeCreated, NodeEnded
from aether_protocol.scheduler.transitions import Phase

FOLDER = Path(__file__).parents[3] / "examples" / "workflows"
EXAMPLES = [path for path in sorted(FOLDER.glob("*.yaml")) if not path.name.endswith(".cases.yaml")]


ENDED = NodeEnded(0, Phase.FAILED, None, "", {}, 5)  # type: ignore[arg-type]


class Box(Struct):
    label: str
    boxes: Sequence[Box] = ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (1, int), (2**70, int), (10**400, float),
        (1, float), (1.5, float), ("x", str), (Phase.FAILED, Phase), (None, str | None), (True, bool), ([], Any),
        ({"a": [1]}, Mapping[str, list[int]]), ((1, "x"), tuple[int, str]), ((1, 2, 3), tuple[int, ...]),
        ("a", Literal["a", "b"]),
        (frozenset({"x"}), frozenset[str]), (Box("a", [Box("b")]), Box), ([NodeCreated(0, -1, 0)], list[Fact]),
        ({"n": [1, {"m": None}]}, Mapping[str, Any]),
    ],
)  # fmt: skip
def test_what_fits(value: object, kind: Any) -> None:
    assert misfit("it", value, kind) is None


@pytest.mark.parametrize(
    ("value", "kind", "told"),
    [
        (True, int, "it is True, not int"),
        ("1", int, "it is '1', not int"),
        (float("inf"), float, "it is inf, not float"),
        ("Fine", Phase, "it is 'Fine', not Phase"),
        ("xy", Sequence[str], "it is 'xy', not collections.abc.Sequence[str]"),
        ({"a": [1, "x"]}, Mapping[str, list[int]], "it.a[1] is 'x', not int"),
        ({1: 1}, Mapping[str, int], "it (a key) is 1, not str"),
        ({"a": {2: 1}}, Any, "it.a (a key) is 2, not str"),
        ([1, [float("nan")]], Any, "it[1][0] is nan, not Any"),
        ((1, 2), tuple[int, str], "it[1] is 2, not str"),
        ((1,), tuple[int, str], "it is tuple, not tuple[int, str]"),
        ([], str | None, "it is list, not str | None"),
        ("c", Literal["a", "b"], "it is 'c', not Literal['a', 'b']"),
        (Box("a", [Box("b", "c")]), Box, f"it.boxes[0].boxes is 'c', not collections.abc.Sequence[{__name__}.Box]"),
        ([ENDED], list[Fact], "it[0].artifacts is 5, not collections.abc.Mapping[str, typing.Any]"),
        ("x" * 100, int, f"it is '{'x' * 39}…, not int"),
    ],
)  # fmt: skip
def test_what_does_not_fit(value: object, kind: Any, told: str) -> None:
    assert misfit("it", value, kind) == told


def test_what_holds_itself_is_looked_at_once() -> None:
    endless: list[Any] = [1]
    endless.append(endless)
    assert misfit("it", endless, Any) is None
    shared = {"a": "x"}
    assert misfit("it", (shared, shared), tuple[Mapping[str, str], Mapping[str, int]]) == "it[1].a is 'x', not int"


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_plan_that_we_make_fits_what_it_says(path: Path) -> None:
    plan = load_plan(path, library=[FOLDER / "library"])
    for one in (plan, decode_plan(encode_plan(plan))):
        assert misfit("plan", one, Plan) is None


def test_a_plan_in_which_something_deep_down_does_not_fit() -> None:
    plan = load_plan(EXAMPLES[0])
    call = replace(plan.root, retry=Retry(limit="3"))  # type: ignore[arg-type]
    assert misfit("plan", replace(plan, root=call), Plan) == "plan.root.retry.limit is '3', not int"
