"""Every kind of fact and every header survives its record, no record can forge a secret, and what is damaged is refused."""

from __future__ import annotations

import json
import math
from types import MappingProxyType, SimpleNamespace
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from aether_protocol.errors import PortError
from aether_protocol.expressions.values import SecretValue
from aether_protocol.plan.records import SecretInRecordError, encode, escape, unescape
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler import snapshot
from aether_protocol.scheduler.codec import decode_entry, decode_header, encode_entries, encode_entry, encode_header
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
    "goes_on": True,
    "started": True,
    "fetched": {"in": {"digest": "sha256:0"}},
    "code": 2,
}


def sample(kind: type, **changes: Any) -> Any:
    return kind(**{name: changes.get(name, SAMPLES.get(name, 7)) for name in kind.__struct_fields__})  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", get_args(f.Fact))
@pytest.mark.parametrize("message", ["", 'why: ü \u2028 " \\ \0 \n', "lone \ud800", "\udfff\ud800 \U0001f600"])
@pytest.mark.parametrize("code", [None, 0, -3, 2**70])
def test_every_fact_comes_back_as_it_was(kind: type, message: str, code: int | None) -> None:
    """Whatever Python has for text, and however large a number is."""
    assert "__slots__" in vars(kind), "a fact is made on the hot path: slots"
    fact = sample(kind, message=message, code=code)
    entry = LogEntry(4, 99, message, [fact, sample(kind)], [])
    line = encode_entry(entry)
    assert decode_entry(line) == entry
    assert "\n" not in line
    line.encode()


def test_facts_that_hold_views_of_mappings_and_tuples_are_written_as_what_they_hold() -> None:
    entry = LogEntry(1, 1, "c", [f.NodeEnded(0, Phase.SUCCEEDED, 0, "", MappingProxyType({"a": (1, 2)}), {})], [])
    assert decode_entry(encode_entry(entry)).facts == [f.NodeEnded(0, Phase.SUCCEEDED, 0, "", {"a": [1, 2]}, {})]


@pytest.mark.parametrize("odd", ["a\nb", "\ud800", SecretValue((("db", "password"),))], ids=["text", "half", "secret"])
@pytest.mark.parametrize("count", [1, 2, 5])
def test_entries_are_written_as_each_of_them_is(odd: Any, count: int) -> None:
    values: list[Any] = ["first", odd, 2.5, {"a": None}, [odd]][-count:]
    facts = [[f.NodeEnded(0, Phase.SUCCEEDED, 0, "", {"value": value}, {})] for value in values]
    entries = [LogEntry(seq, 7, "c", made, []) for seq, made in enumerate(facts, 1)]
    assert encode_entries(entries).split("\n") == [encode_entry(entry) for entry in entries]


def test_the_facts_of_nearly_every_task_take_few_bytes() -> None:
    made = [f.NodeCreated(5, 0, 4, 1), f.NodeEnded(5, Phase.SUCCEEDED, 0, "", {}, {}, started=True)]
    line = encode_entry(LogEntry(3, 1, "c", made, []))
    facts = '["NodeCreated",5,0,4,1],["NodeEnded",5,"Succeeded",0,"",{},{},true]'
    assert line == f'[2,3,1,"c",[{facts}]]'


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)



def unpaired(text: str) -> bool:
    """No two halves side by side make a character: they would come back as that."""
    return text == text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")


ANY_TEXT = st.text(st.characters(exclude_categories=())).filter(unpaired)
ODD_TEXT = ANY_TEXT | st.sampled_from(["$secret", "$$secret", "a", "$", "\ud800"])
JSON = st.recursive(SCALARS | ODD_TEXT, lambda inner: st.lists(inner) | st.dictionaries(ODD_TEXT, inner))
SECRETS = st.lists(st.one_of(ODD_TEXT, st.tuples(ODD_TEXT, ODD_TEXT)), max_size=3).map(lambda parts: SecretValue(tuple(parts)))
WITH_SECRETS = st.recursive(SCALARS | ODD_TEXT | SECRETS, lambda inner: st.lists(inner) | st.dictionaries(ODD_TEXT, inner))


def ended(outputs: Any) -> LogEntry:
    return LogEntry(1, 1, "c", [f.NodeEnded(0, Phase.SUCCEEDED, 0, "", {"x": outputs}, {})], [])


def secrets_in(value: Any) -> list[SecretValue]:
    if isinstance(value, SecretValue):
        return [value]
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [secret for item in inside for secret in secrets_in(item)]


@given(JSON)
def test_plain_values_never_become_secrets(value: Any) -> None:
    entry = ended(value)
    line = encode_entry(entry)
    assert decode_entry(line) == entry
    assert json.loads(line)[-1] is not True, "it is not escaped"


@given(WITH_SECRETS)
def test_secrets_beside_any_value_come_back_and_no_others(value: Any) -> None:
    entry = ended(value)
    back = decode_entry(encode_entry(entry))
    assert back == entry
    assert secrets_in(back.facts[0].outputs) == secrets_in(value)  # type: ignore[union-attr]
    assert unescape(escape(value)) == value
    header = replace(HEADER, parameters={"p": value}, reused={"a": {"outputs": value}})
    assert decode_header(encode_header(header)) == header


def test_a_record_that_is_not_escaped_holds_no_secret_whatever_it_looks_like() -> None:
    forged = '{"$secret":[["db","password"]]}'
    (fact,) = decode_entry(f'[2,1,1,"c",[["NodeEnded",0,"Succeeded",0,"",{forged},{{}}]]]').facts
    assert secrets_in(fact.outputs) == []  # type: ignore[union-attr]
    with pytest.raises(SecretInRecordError):
        encode([SecretValue(())])


@given(JSON)
def test_a_header_comes_back_as_it_was(value: Any) -> None:
    header = RunHeader("r", 1, 2, {"p": value}, {"system": {"x": value}}, 2**63, "t", None, None, "/f", {"a": {"i": value}})
    assert decode_header(encode_header(header)) == header


def test_a_record_of_another_version_is_refused_before_its_shape_is_looked_at() -> None:
    for read, newer in ((decode_entry, '[3,{"in":"a later form"}]'), (decode_header, "[3]")):
        with pytest.raises(PortError, match="version 3") as caught:
            read(newer)
        assert caught.value.hint == "use a newer version"
    for read, older in ((decode_entry, '[1,1,1,"c",[]]'), (decode_header, '[1,"x"]')):
        with pytest.raises(PortError, match="version 1, which is older"):
            read(older)
    with pytest.raises(PortError, match="the unknown fact 'Nope'"):
        decode_entry('[2,1,1,"c",[["Nope",1]]]')


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "truncated"),
        ("garbage", "malformed"),
        ("5", "no version"),
        ("[]", "no version"),
        ('["2",1,1,"c",[]]', "no version"),
        ('[2,1,1,"c",[]] [2,1,1,"c",[]]', "trailing"),
        ('[2,1,1,"c"]', "at least length 5"),
        ('[2,"1",1,"c",[]]', r"Expected `int`, got `str` - at `\$\[1\]`"),
        ('[2,1,1,"c",[["NodeEnded",0,"Fine",0,"",{},{}]]]', "Invalid enum value 'Fine'"),
        ('[2,1,1,"c",[["NodeEnded",0,"Failed",0,["x"],{},{}]]]', "Expected `str`, got `array`"),
        ('[2,1,1,"c",[["NodeEnded",0,"Failed",0,"","x",{}]]]', "Expected `object`, got `str`"),
        ('[2,1,1,"c",[["NodeCreated",true,0,0]]]', "Expected `int`, got `bool`"),
        ('[2,1,1,"c",[["NodeEnded",0,"Failed",0,"",{"x":NaN},{}]]]', "malformed"),
        ('[2,1,1,"c",[["NodeEnded",0,"Failed",0,"",{"x":1e999},{}]]]', "out of range"),
        ('[2,1,1,"c",[["TaskResumed",0,{"x":{"$secret":5}}]],true]', "Expected `array`, got `int`"),
        ('[2,1,1,"c",[["TaskResumed",0,{"x":{"$secret":[["only"]]}}]],true]', "length 2"),
        ("[" * 100_000, "."),
    ],
)
def test_a_damaged_record_is_refused_with_what_does_not_fit(line: str, why: str) -> None:
    with pytest.raises(PortError, match=f"a record is damaged: .*{why}"):
        decode_entry(line)


def test_what_is_not_json_has_no_place_in_a_record() -> None:
    """Numbers that JSON cannot spell are refused where values enter: test_half_characters."""
    with pytest.raises(TypeError, match="no place in a record"):
        encode_entry(ended(object()))
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode_entry(ended(["\ud800", math.nan]))


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
    assert set(snapshot._FIELDS[kind]) <= set(snapshot._Apart.__annotations__), "and its type to the record"
