"""Every kind of fact survives its record, and no record can forge a secret."""

from __future__ import annotations

import json
from types import MappingProxyType, SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.errors import BrokenInvariant
from aether_protocol.expressions.values import SecretValue
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler import snapshot
from aether_protocol.scheduler.codec import decode_entry, decode_value, encode_entry, encode_fact, encode_value
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.nodes import DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.transitions import Phase

HEADER = RunHeader(
    "r", 1, None, {"p": SecretValue(("pre", ("db", "password")))}, {"system": {"os": "linux"}}, 5, None, "old", {"a": {"x": 1}}
)
SAMPLES: dict[str, Any] = {
    "header": HEADER,
    "phase": Phase.FAILED,
    "inputs": {"a": 1, "b": SecretValue((("n", "k"),))},
    "outputs": {"$secret": ["forged"], "x": [1, {"$": None}]},
    "artifacts": {},
    "payload": {"ok": True},
    "context": {"trigger": {"code": None}},
    "items": [1, "two", None],
    "refs": [("b", 3, "x")],
    "message": "why: ü",
    "event": "onExit",
    "secret": True,
    "code": 2,
}


def sample(kind: type) -> Any:
    return kind(**{name: SAMPLES.get(name, 7) for name in kind.__struct_fields__})


@pytest.mark.parametrize("kind", get_args(f.Fact))
def test_every_fact_comes_back_as_it_was(kind: type) -> None:
    assert "__slots__" in vars(kind), "a fact is made on the hot path: slots"
    fact = sample(kind)
    step = LogEntry(4, 99, "broker:TaskFinished", [fact], [])
    line = encode_entry(step)
    value = fact.inputs["b"] if kind is f.InputsBound else None
    back = decode_entry(line, lambda node, name: value if (node, name) == (3, "x") else pytest.fail("wrong reference"))
    assert back == step
    assert "\n" not in line


def test_an_input_that_is_another_tasks_output_is_recorded_by_reference() -> None:
    big = "x" * 10_000
    step = LogEntry(1, 1, "c", [f.InputsBound(2, {"rows": big}, [("rows", 1, "out")], {}, False)], [])
    line = encode_entry(step)
    assert len(line) < 200
    assert decode_entry(line, lambda node, name: big) == step


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["$secret", "$$secret", "a", "$"]) | st.text(), inner),
)


@given(JSON)
def test_plain_values_never_become_secrets(value: Any) -> None:
    assert decode_value(json.loads(json.dumps(encode_value(value)))) == value


@given(JSON)
def test_secrets_beside_any_value_come_back(value: Any) -> None:
    held = {"plain": value, "secret": SecretValue(("a", ("n", "k")))}
    assert decode_value(json.loads(json.dumps(encode_value(held)))) == held


def test_a_record_of_a_newer_version_is_refused() -> None:
    with pytest.raises(BrokenInvariant, match="version 2"):
        decode_entry('[2,1,1,"c",[]]', lambda node, name: None)
    with pytest.raises(BrokenInvariant, match="unknown fact"):
        decode_entry('[1,1,1,"c",[["Nope"]]]', lambda node, name: None)


@pytest.mark.parametrize("kind", get_args(f.Fact))
@pytest.mark.parametrize("message", ["", 'why: ü \u2028 " \\ \0 \n', "lone \ud800"])
@pytest.mark.parametrize("code", [None, 0, -3, 2**70])
def test_the_quick_writers_write_the_general_form(kind: type, message: str, code: int | None) -> None:
    given = {"message": message, "code": code, "outputs": MappingProxyType({}), "artifacts": {"a": {"$secret": 1}}}
    fact = kind(**{name: given.get(name, SAMPLES.get(name, 7)) for name in kind.__struct_fields__})
    line = encode_entry(LogEntry(4, 99, message, [fact, fact], []))
    record = json.loads(json.dumps(encode_fact(fact), default=dict))
    assert json.loads(line) == [1, 4, 99, message, [record, record]]
    assert "\n" not in line


CALL: Any = SimpleNamespace()


@pytest.mark.parametrize(
    "node",
    [
        TaskNode(1, CALL, None, 0, 0),
        HookNode(1, CALL, 0, event="onExit", scope=None, trigger=None, context={}),
        DagNode(1, CALL, None, 0, 0),
        LoopNode(1, CALL, None, 0, 0),
    ],
    ids=lambda node: type(node).__name__,
)
def test_a_snapshot_forgets_no_field_of_a_node(node: Node) -> None:
    """A field that is added to a node must be added to the snapshot, or a run that is taken over loses it."""
    kind = type(node)
    own = set(vars(node)) | {name for base in kind.__mro__ for name in vars(base).get("__annotations__", {})}
    placed = {"id", "call", "parent", "index", "created_at"}  # where a node stands
    columns = {"phase", "code", "started_at", "ended_at", "attempt"}
    derived = {"number", "_kept_path", "_kept_order"}  # from the others
    hook = set() if kind is HookNode else {"hook"}
    assert own - placed - columns - derived - hook == set(snapshot._FIELDS[kind])
