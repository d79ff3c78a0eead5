"""Types that are known before a run against the values of runs: nothing is refused that could go well (SPEC-13, DATA-3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from aether_protocol import run
from aether_protocol.assembly.executors import executor_types
from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.load import load_value
from aether_protocol.expressions import ExpressionError, Name, parse_expression
from aether_protocol.expressions.kinds import Kinds, fits, kind_of, kinds_of
from aether_protocol.expressions.values import ABSENT, fit

TYPES = ("string", "number", "integer", "boolean", "object", "array")
SAMPLES: dict[str, Any] = {
    "string": "12", "number": 2.5, "integer": 3, "boolean": True, "object": {"k": 1}, "array": [1, "a"], "null": None,
}  # fmt: skip
LITERALS = ("1", "2.5", "0", "'a'", "'7'", "true", "null", "[1, 2]", "[]", "{'k': 'v'}", "'n={{inputs.parameters.p0}}'")
NAMES = tuple(f"inputs.parameters.p{index}" for index in range(5))
BINARY = ("+", "-", "*", "/", "//", "%", "**", "==", "<", "in", "and", "or")
CALLS = (
    *("len", "sum", "abs", "round", "int", "float", "str", "bool", "lower", "upper", "strip", "split", "keys", "values"),
    *("tojson", "fromjson", "min", "max", "join"),
)

EXPRESSIONS = st.recursive(
    st.sampled_from([*LITERALS, *NAMES, *NAMES]),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, st.sampled_from(BINARY), inner),
        st.builds("({} if {} else {})".format, inner, inner, inner),
        st.builds("(not {})".format, inner),
        st.builds("(-{})".format, inner),
        st.builds("{}({})".format, st.sampled_from(CALLS), inner),
        st.builds("{}({}, {})".format, st.sampled_from(("default", "min", "max", "round", "contains", "join")), inner, inner),
        st.builds("{}[{}]".format, inner, st.sampled_from(("0", "'k'"))),
        st.builds("[{}, {}]".format, inner, inner),
    ),
    max_leaves=8,
)


@pytest.mark.rule("SPEC-13", "DATA-3")
@settings(max_examples=1500)
@given(
    text=EXPRESSIONS,
    values=st.lists(st.sampled_from([*SAMPLES.values(), ABSENT, 4.0]), min_size=5, max_size=5),
    known=st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_the_types_of_an_expression_hold_its_value(text: str, values: list[Any], known: list[bool]) -> None:
    expression = parse_expression(text)

    def look_up(name: Name) -> Any:
        return values[int(str(name.segments[2])[1:])]

    def kinds_of_name(name: Name) -> Kinds:
        index = int(str(name.segments[2])[1:])
        return kind_of(values[index]) if known[index] and values[index] is not ABSENT else None

    kinds = kinds_of(expression, kinds_of_name)
    try:
        value = expression.evaluate(look_up)
    except ExpressionError:
        event("fails")
        return
    event("known" if kinds is not None else "any")
    for type_ in TYPES:
        if fit(value, type_) is not ABSENT:
            assert fits(kinds, type_), (text, value, kinds)
    if value is None:
        assert kinds is None or "null" in kinds


# What an argument may be read from in the workflow below.
REFERENCES = (
    *(f"tasks.src.outputs.parameters.{type_}" for type_ in TYPES),
    *("tasks.src.outputs.parameters.loose", "tasks.src.phase", "tasks.src.code", "tasks.src.msg"),
    *("tasks.all.outputs.parameters.integer", "tasks.last.outputs.parameters.integer", "tasks.all.outputs.parameters.string"),
    *("tasks.turned.outputs.parameters.first", "tasks.turned.outputs.parameters.count", "tasks.turned.outputs.parameters.bool"),
    *("tasks.below.outputs.parameters.typed", "tasks.below.outputs.parameters.plain", "tasks.below.outputs.parameters.some"),
    *("tasks.failed.outputs.parameters.integer", "tasks.skipped.outputs.parameters.integer"),
    *(f"workflow.parameters.{type_}" for type_ in TYPES),
    *("workflow.parameters.loose", "workflow.parameters", "workflow.name", "workflow.scheduledTime", "inputs.parameters.n"),
    *("inputs.parameters", "tasks.all.outputs.parameters.integer[0]", "workflow.parameters.object.k"),
)
OUTPUTS = [{"name": type_, "type": type_} for type_ in TYPES]


def _give(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "echo", "config": {"outputs": [{"name": name, "value": value} for name, value in values.items()]}}


def _document(entry: dict[str, Any], type_: str, default: dict[str, Any]) -> dict[str, Any]:
    task: dict[str, Any] = {
        "executor": _give({**SAMPLES, "loose": 5}),
        "outputs": {"parameters": [*OUTPUTS, {"name": "loose"}]},
    }
    names = ["src", "all", "last", "turned", "below", "failed", "skipped"]
    calls: list[dict[str, Any]] = [{"name": name, "template": name} for name in names]
    calls[5] |= {"continueOn": {"failed": True, "error": True}}
    calls[6] |= {"when": "false"}
    use = {"name": "use", "template": "use", "dependencies": names, "arguments": {"parameters": [{"name": "x", **entry}]}}
    listed = {"strategy": "list", "parameters": ["integer", "string"]}
    parameters = [{"name": t, "type": t, "value": SAMPLES[t]} for t in TYPES]
    wrong = {**task, "executor": _give({"integer": "no integer"}), "phaseConditions": {"failed": "true"}}
    turned = [
        {"name": "first", "valueFrom": {"parameter": "integer"}},
        {"name": "count", "valueFrom": {"expression": "loop.total"}},
        {"name": "bool", "valueFrom": {"expression": "loop.failed == 0"}},
    ]
    below = [
        {"name": "typed", "type": "number", "valueFrom": {"parameter": "tasks.a.outputs.parameters.integer"}},
        {"name": "plain", "valueFrom": {"parameter": "tasks.a.outputs.parameters.integer"}},
        {"name": "some", "valueFrom": {"expression": "len(tasks.a.outputs.parameters.array)"}},
    ]
    templates = [
        {
            "dag": {
                "name": "main",
                "inputs": {"parameters": [{"name": "n", "type": "integer", "value": 1}]},
                "tasks": [*calls, use],
            }
        },
        *({"task": {"name": name, **task}} for name in ("src", "skipped", "one")),
        {"task": {"name": "failed", **wrong}},
        {"loop": {"name": "all", "items": [1, 2], "body": "one", "aggregate": listed}},
        {"loop": {"name": "last", "items": [1, 2], "body": "one"}},
        {"loop": {"name": "turned", "items": [1], "body": "one", "aggregate": listed, "outputs": {"parameters": turned}}},
        {"dag": {"name": "below", "tasks": [{"name": "a", "template": "one"}], "outputs": {"parameters": below}}},
        {
            "task": {
                "name": "use",
                "executor": {"type": "echo"},
                "inputs": {"parameters": [{"name": "x", "type": type_, **default}]},
            }
        },
    ]
    arguments = {"parameters": [*parameters, {"name": "loose", "value": 5}]}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "types"},
        "spec": {"entrypoint": "main", "arguments": arguments, "templates": templates},
    }


ENTRIES = st.one_of(
    st.sampled_from(REFERENCES).map(lambda name: {"valueFrom": {"parameter": name}}),
    st.sampled_from(REFERENCES).map(lambda name: {"value": f"{{{{{name}}}}}"}),
    st.sampled_from(REFERENCES).map(lambda name: {"value": f"x {{{{{name}}}}}"}),
    st.sampled_from(REFERENCES).map(lambda name: {"value": {"k": [f"{{{{{name}}}}}"]}}),
    st.builds(
        lambda name, form: {"valueFrom": {"expression": form.format(name)}},
        st.sampled_from(REFERENCES),
        st.sampled_from(["{}", "[{}]", "{} == 1", "default({}, 1)", "str({})", "{} or 'x'", "1 if {} else 'a'", "not {}"]),
    ),
)


@pytest.mark.rule("SPEC-13", "DATA-3")
@settings(max_examples=120)
@given(entry=ENTRIES, type_=st.sampled_from(TYPES), default=st.sampled_from([{}, {}, {"default": None}]))
def test_what_is_refused_fails_on_the_value_that_comes(entry: dict[str, Any], type_: str, default: dict[str, Any]) -> None:
    default = {"default": SAMPLES[type_]} if default else {}
    options = CompileOptions(executor_types(), strict=True)
    found = compile_document(load_value(_document(entry, type_, default)).documents[0], None, options).diagnostics
    errors = [one for one in found if one.severity == "error"]
    assert {one.code for one in errors} <= {"AE218"}
    event("refused" if errors else "accepted")
    # the same with an input of any type runs, and shows the value
    loose = {"default": "\0none"} if default else {}
    report = run(_document(entry, "any", loose))
    use = next(task for task in report.tasks if task.path == "main.use")
    value = use.inputs.get("x", ABSENT)
    fails = use.phase == "Error" or value is ABSENT or (value != "\0none" and fit(value, type_) is ABSENT)
    if errors:
        assert fails, (entry, type_, default, value, [one.message for one in errors])


@pytest.mark.rule("SPEC-13", "LOOP-7")
@settings(max_examples=200)
@given(
    items=st.lists(st.sampled_from([*SAMPLES.values(), 4.0, "{{workflow.name}}", {"k": "a"}, {"k": 2}, {}]), max_size=4),
    name=st.sampled_from(["iterator.item", "iterator.item.k", "loop_iter.item", "loop_iter.k", "iterator.index"]),
    type_=st.sampled_from(TYPES),
)
def test_items_are_refused_only_if_one_of_them_fails(items: list[Any], name: str, type_: str) -> None:
    def document(declared: str) -> dict[str, Any]:
        argument = {"name": "x", "value": f"{{{{{name}}}}}"}
        loop = {"name": "main", "items": items, "body": "one", "arguments": {"parameters": [argument]}}
        one = {"name": "one", "executor": {"type": "echo"}, "inputs": {"parameters": [{"name": "x", "type": declared}]}}
        spec = {"entrypoint": "main", "templates": [{"loop": loop}, {"task": one}]}
        return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "items"}, "spec": spec}

    found = compile_document(load_value(document(type_)).documents[0], None, CompileOptions(executor_types(), strict=True))
    refused = [one for one in found.diagnostics if one.severity == "error"]
    bound = [task.inputs.get("x", ABSENT) for task in run(document("any")).tasks if task.depth == 1]
    if refused:
        assert any(value is ABSENT or fit(value, type_) is ABSENT for value in bound), (items, name, type_, bound)
        return
    known = [value for value in bound if value is not ABSENT and type(value) is not float]  # 2.5 is a number, as 2.0 is
    literal = not any(isinstance(item, str) and "{{" in item for item in items)
    assert not literal or all(fit(value, type_) is not ABSENT for value in known), (items, name, type_, bound)
