"""WIRE-1, WIRE-2: every message goes there and back, fits its published schema, and what does not fit is a clear error."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from aether_protocol.errors import UsageError
from aether_protocol.expressions import parse_template
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.plan.model import ArtifactOutput, Call, Kind, OutputBinding, Resources, TaskDef
from aether_protocol.plan.placement import Placement
from aether_protocol.ports import wire_json as codec
from aether_protocol.ports.wire import (
    AttemptRef,
    HeartbeatMessage,
    LogMessage,
    LostMessage,
    StartedMessage,
    StopMessage,
    TaskAssignment,
    TaskResult,
)
from aether_protocol.ports.wire_json import WireError

pytestmark = pytest.mark.rule("WIRE-1", "WIRE-2")

SCHEMAS = Path(__file__).resolve().parents[3] / "schemas"

texts = st.text(max_size=8)
names = st.from_regex(r"[a-z][a-z0-9-]{0,6}", fullmatch=True)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), texts),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(texts, below, max_size=3)),
    max_leaves=6,
)
secrets = st.lists(st.one_of(texts, st.tuples(names, names)), min_size=1, max_size=3).map(
    lambda parts: SecretValue((*parts, ("db", "password")))
)
with_secrets = st.recursive(
    st.one_of(values, secrets),
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(texts, below, max_size=3)),
    max_leaves=6,
)
objects = st.dictionaries(texts, with_secrets, max_size=3)
paths = st.sampled_from(["main", "main.a[3].b", "main.a/b", "!onExit#1", "main.x!onStart#2"])
refs = st.builds(AttemptRef, names, paths, st.integers(1, 9), st.integers(0, 3))
artifacts = st.dictionaries(
    names, st.fixed_dictionaries({"digest": st.just("sha256:0"), "size": st.integers(0, 9)}), max_size=2
)

labels = st.sampled_from(["", "gpu=a100", "region in (eu, us), !spot"])
waits = st.none() | st.integers(1, 10**6).map(lambda n: n * 1000)
placements = st.none() | st.builds(Placement, names, labels, labels, st.booleans(), waits, st.booleans())


@st.composite
def assignments(draw: st.DrawFn) -> TaskAssignment:
    outputs = tuple(
        OutputBinding(name, "any", (), draw(st.none() | st.just((1, "a"))), draw(st.none() | texts))
        for name in draw(st.lists(names, max_size=2))
    )
    kept = tuple(ArtifactOutput(name, draw(st.none() | texts), None, None) for name in draw(st.lists(names, max_size=2)))
    resources = draw(st.none() | st.builds(Resources, st.none() | texts))
    target = TaskDef(draw(names), draw(names), parse_template({}, frozenset()), False, outputs, kept, resources, None)
    call = Call(draw(names), 0, Kind.TASK, target, timeout_us=draw(st.none() | st.integers(1, 10**9).map(lambda n: n * 1000)))
    config, inputs, payload = draw(with_secrets), draw(objects), draw(objects)
    source = {"name": "f", "source": {"type": "http", "config": draw(objects)}}
    return TaskAssignment(
        draw(refs),
        (),
        call,
        target,
        draw(st.integers(0, 9)),
        config if config is not None else {},
        inputs,
        draw(st.sampled_from([{}, {"f": source}])),
        draw(st.sampled_from([(), (payload,)])),
        draw(st.integers(0, 1000)),
        draw(st.none() | st.integers(0, 10**16)),
        True,
        draw(st.none() | st.just("onExit")),
        trace_context=draw(st.none() | texts),
        secrets=tuple(draw(st.lists(st.tuples(names, names), max_size=2))),
        elapsed_us=draw(st.integers(0, 10**6)) * 1000,
        placement=draw(placements),
    )


outputs_given = st.dictionaries(texts, values, max_size=3)
warnings = st.lists(texts).map(tuple)
results = st.builds(TaskResult, refs, st.integers(0, 9), texts, outputs_given, artifacts, warnings, artifacts)
KINDS: dict[str, tuple[st.SearchStrategy[Any], Callable[[Any], Json], Callable[[Json], Any]]] = {
    "assignment": (assignments(), codec.encode_assignment, codec.decode_assignment),
    "result": (results, codec.encode_result, codec.decode_result),
    "started": (st.builds(StartedMessage, refs), codec.encode_started, codec.decode_started),
    "log": (
        st.builds(LogMessage, refs, st.sampled_from(["stdout", "stderr"]), st.none() | st.integers(0, 9), texts),
        codec.encode_log,
        codec.decode_log,
    ),
    "heartbeat": (
        st.builds(HeartbeatMessage, refs, values),
        codec.encode_heartbeat,
        codec.decode_heartbeat,
    ),
    "lost": (st.builds(LostMessage, refs, texts, st.booleans()), codec.encode_lost, codec.decode_lost),
    "stop": (st.builds(StopMessage, refs), codec.encode_stop, codec.decode_stop),
}


def validator(kind: str) -> Draft202012Validator:
    schema = json.loads((SCHEMAS / f"task-{kind}.schema.json").read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    return Draft202012Validator(schema)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(data=st.data())
def test_there_and_back(kind: str, data: st.DataObject) -> None:
    strategy, encode, decode = KINDS[kind]
    value = data.draw(strategy)
    message = json.loads(json.dumps(encode(value)))
    validator(kind).validate(message)
    schema = validator(kind).schema
    assert isinstance(schema, dict)
    left_out = set(schema["properties"]) - set(message)
    assert left_out <= ({"message", "parameters", "artifacts", "warnings", "fetched"} if kind == "result" else set())
    found = decode(copy.deepcopy(message))
    assert json.loads(json.dumps(encode(found))) == message
    if kind == "assignment":
        for name in ("ref", "config", "inputs", "artifacts", "retry_count", "priority", "deadline_us", "hook", "secrets"):
            assert getattr(found, name) == getattr(value, name), name
        assert list(found.payloads) == list(value.payloads)
        assert (found.timeout_us, found.elapsed_us, found.resources) == (value.timeout_us, value.elapsed_us, value.resources)
        assert found.placement == value.placement
    else:
        assert found == value


ODD: list[Json] = [None, True, -1, 1.5, "", "x", [], {}, ["x"], {"x": 1}, {"/inputs": [5]}, {"/nowhere": ["x"]}]


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150)
@given(data=st.data())
def test_what_the_schema_refuses_is_refused_here_and_the_error_names_the_message(kind: str, data: st.DataObject) -> None:
    strategy, encode, decode = KINDS[kind]
    message = json.loads(json.dumps(encode(data.draw(strategy))))
    before = dict(message)
    field = data.draw(st.sampled_from([*message, "surplus"]))
    if data.draw(st.booleans()):
        message.pop(field, None)
    else:
        message[field] = data.draw(st.sampled_from(ODD))
    if validator(kind).is_valid(message) and message.get("taskRunId") == before.get("taskRunId"):
        return  # whether what is left fits in meaning, too, the tests below say
    with pytest.raises(WireError, match="does not fit: "):
        decode(copy.deepcopy(message))


REF = {"taskRunId": "r/main", "workflowRunId": "r", "attempt": 1}


@pytest.mark.parametrize(
    ("places", "told"),
    [
        ({"/inputs/p": ["x"]}, "there is nothing at '/inputs/p'"),
        ({"/inputs/set": ["x"]}, "'/inputs/set' is not null"),
        ({"/priority": ["x"]}, "does not lead into config, inputs, artifacts, payloads"),
        ({"inputs": ["x"]}, "does not lead into"),
        ({"/inputs/list/01x": ["x"]}, "there is nothing at"),
        ({"/inputs/list/7": ["x"]}, "there is nothing at"),
        ({"/inputs/null": [["db", "password"]]}, "secretPlaces"),
    ],
)
def test_places_of_secrets_that_are_not_there_are_refused(places: Json, told: str) -> None:
    target = TaskDef("t", "x", parse_template({}, frozenset()), False, (), (), None, None)
    inputs = {"set": 1, "list": [None], "null": None}
    one = TaskAssignment(
        AttemptRef("r", "main", 1), (), Call("t", 0, Kind.TASK, target), target, 0, {}, inputs, {}, (), 0, None, False, None
    )
    message = {**codec.encode_assignment(one), "secretPlaces": places}
    with pytest.raises(WireError, match=told):
        codec.decode_assignment(message)


@pytest.mark.parametrize("decode", [one[2] for one in KINDS.values()])
@pytest.mark.parametrize("message", [None, [], "x", {}, {"taskRunId": "r/main"}, {**REF, "attempt": "1"}])
def test_what_is_no_message_is_refused(decode: Callable[[Json], Any], message: Json) -> None:
    with pytest.raises(WireError, match="does not fit"):
        decode(message)


def test_an_assignment_with_secrets_filled_in_is_not_sent() -> None:
    """They were filled in where it is carried out, and never leave that place again."""
    from aether_protocol.adapters.secrets.mapping import MappingSecrets
    from aether_protocol.execution.secrets import SecretBook
    from aether_protocol.expressions.values import SecretValue
    from aether_protocol.testing.contracts.executor import Sample, assignment

    given = assignment("any", Sample(inputs={"word": SecretValue((("db", "pw"),))}))
    given.secret, given.secrets = True, (("db", "pw"),)
    assert codec.encode_assignment(given)["inputs"] == {"word": None}
    filled = SecretBook([MappingSecrets({"db": {"pw": "hunter22"}})]).fill_at_once(given)
    assert filled.inputs == {"word": "hunter22"}
    with pytest.raises(UsageError, match="are filled in: it is not sent any more"):
        codec.encode_assignment(filled)
