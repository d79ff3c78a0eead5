"""Configs that are declared by a JSON Schema or a model: verdicts, messages, paths, placeholders (SPEC-15, DOC-10)."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ConfigDict, Field

from aether_protocol.compiler.compile import Compiled, CompileOptions
from aether_protocol.documents.schema import published
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.plan import schema_check
from aether_protocol.plan.config import check_config
from aether_protocol.plan.config_fields import ConfigField, with_nested
from aether_protocol.plan.config_schema import EXECUTOR, config_schema, with_configs
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import TaskDef
from aether_protocol.plan.schema_check import check_schema, opened

pytestmark = pytest.mark.rule("SPEC-15")

Compile = Callable[..., Compiled]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Csv(Closed):
    format: Literal["csv"]
    separator: str = Field(",", max_length=1, description="What stands between two columns.")


class Parquet(Closed):
    format: Literal["parquet"]
    level: int = Field(3, ge=1, le=22)


class Column(Closed):
    name: str = Field(pattern="^[a-z_]+$")
    type: Literal["text", "int"] = "text"


class Load(Closed):
    """A config of some depth."""

    table: str = Field(description="The table to load into.")
    columns: list[Column] = Field(default_factory=list, max_length=3)
    file: Annotated[Csv | Parquet, Field(discriminator="format")]
    limit: int | None = Field(None, ge=1, description="How many rows.")
    tags: dict[str, str] = {}
    wait: str = Field("5s", json_schema_extra={"format": "aether-duration"})


LOAD = ExecutorType.of_model("load", "Loads rows.", Load)
CSV = {"format": "csv"}

FAULTS: list[tuple[Json, list[tuple[tuple[str | int, ...], str]]]] = [
    ({"table": "t", "file": CSV}, []),
    ({"table": "t", "file": {"format": "parquet", "level": 5}, "columns": [{"name": "a"}], "limit": 4}, []),
    ({"file": CSV}, [((), "executor 'load' needs the config field 'table'")]),
    (None, [((), "executor 'load' needs the config field 'table'"), ((), "executor 'load' needs the config field 'file'")]),
    ([], [((), "the config of executor 'load' must be object, not array")]),
    ({"tabel": "t", "file": CSV}, [(("tabel",), "executor 'load' has no config field 'tabel'")]),
    ({"table": 5, "file": CSV}, [(("table",), "'table' must be string, not integer")]),
    ({"table": SecretValue((("a", "b"),)), "file": CSV}, []),
    ({"table": "t", "file": {"format": "csv", "level": 3}}, [(("file", "level"), "'file' has no config field 'level'")]),
    ({"table": "t", "file": {"format": "parquet", "level": 99}}, [(("file", "level"), "'level' must be 22 or less, not 99")]),
    ({"table": "t", "file": "csv"}, [(("file",), "'file' must be object, not string")]),
    ({"table": "t", "file": CSV, "limit": 0}, [(("limit",), "'limit' must be 1 or more, not 0")]),
    ({"table": "t", "file": CSV, "limit": "all"}, [(("limit",), "'limit' must be integer or null, not string")]),
    ({"table": "t", "file": CSV, "columns": [{}]}, [(("columns", 0), "columns[0] needs the config field 'name'")]),
    (
        {"table": "t", "file": CSV, "columns": [{"name": "A"}]},
        [(("columns", 0, "name"), "'name' must match ^[a-z_]+$, not be 'A'")],
    ),
    ({"table": "t", "file": CSV, "columns": ["a"]}, [(("columns", 0), "columns[0] must be object, not string")]),
    (
        {"table": "t", "file": CSV, "columns": [{"name": "a", "type": "float"}]},
        [(("columns", 0, "type"), "'type' must be one of text, int, not float")],
    ),
    (
        {"table": "t", "file": CSV, "columns": [{"name": "a"}] * 4},
        [(("columns",), "'columns' must have 3 or fewer entries, not 4")],
    ),
    ({"table": "t", "file": CSV, "tags": {"a": 1}}, [(("tags", "a"), "'a' must be string, not integer")]),
    ({"table": "t", "file": CSV, "wait": "5"}, [(("wait",), "'wait' must be a duration such as '30s', not '5'")]),
]


@pytest.mark.parametrize("placeholders", [False, True])
@pytest.mark.parametrize(("config", "expected"), FAULTS)
def test_faults_of_a_nested_config(config: Json, expected: list[Any], placeholders: bool) -> None:
    assert [(fault.path, fault.message) for fault in check_config(LOAD, config, placeholders=placeholders)] == expected


def test_hints_name_the_nearest_field_and_say_what_a_missing_one_is() -> None:
    [missing] = check_config(LOAD, {"file": CSV}, placeholders=True)
    assert missing.hint == "The table to load into."
    [unknown] = check_config(LOAD, {"table": "t", "file": CSV, "colums": []}, placeholders=True)
    assert unknown.hint == "did you mean 'columns'?"


@pytest.mark.parametrize(
    "config",
    [
        "{{inputs.parameters.all}}",
        {"table": "{{a}}", "file": "{{b}}"},
        {"table": "t", "file": {"format": "{{f}}", "level": 9}},
        {"table": "t", "file": CSV, "limit": "{{n}}", "columns": ["{{c}}", {"name": "{{n}}", "type": "{{t}}"}]},
        {"table": "t", "file": CSV, "tags": "{{tags}}", "wait": "{{w}}"},
    ],
)
def test_what_is_not_known_yet_fits_and_is_checked_at_dispatch(config: Json) -> None:
    assert check_config(LOAD, config, placeholders=True) == []
    assert check_config(LOAD, config, placeholders=False) != []


def test_what_is_known_is_checked_beside_what_is_not() -> None:
    config = {"table": "{{t}}", "file": {"format": "csv", "separator": ";;"}, "columns": ["{{c}}", {"name": 1}]}
    faults = [(fault.path, fault.message) for fault in check_config(LOAD, config, placeholders=True)]
    assert faults == [
        (("columns", 1, "name"), "'name' must be string, not integer"),
        (("file", "separator"), "'separator' must have 1 or fewer characters, not 2"),
    ]


SPEC = """
- task: {name: main, executor: {type: load, config: {table: 0123, file: {format: csv}, tags: {rev: 1.10}, columns: [{nam: a}]}}}
"""


@pytest.mark.rule("DOC-10")
def test_in_a_document_faults_have_their_place_and_scalars_their_spelling(compiled: Compile) -> None:
    result = compiled(SPEC, CompileOptions({"load": LOAD}, strict=True))
    assert [f"{d.code} {d.path} {d.message}" for d in result.diagnostics] == [
        "AE402 spec.templates[0].task.executor.config.columns[0].nam columns[0] has no config field 'nam'",
    ]
    good = compiled(SPEC.replace("nam:", "name:"), CompileOptions({"load": LOAD}, strict=True))
    assert good.plan is not None
    assert isinstance(good.plan.root.target, TaskDef)
    config = good.plan.root.target.config.raw
    assert (config["table"], config["tags"]) == ("0123", {"rev": "1.10"})


def test_the_table_is_made_of_the_schema() -> None:
    shown = {name: (field.type, field.required, field.default) for name, field in with_nested(LOAD.config)}
    assert shown["table"] == ("string", True, None)
    assert shown["limit"] == ("integer", False, None)
    assert shown["wait"] == ("duration", False, "5s")
    assert shown["file.separator"] == ("string", False, ",")
    assert {field.name: field.items for field in LOAD.config}["columns"] == "object"


@pytest.mark.parametrize(
    ("schema", "told"),
    [
        ({"type": "nonsense"}, "cannot be used"),
        ({"$ref": "https://example.com/other.json"}, "cannot be used"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "cannot be used"),
    ],
)
def test_a_schema_that_cannot_be_used_is_a_fault_of_the_executor(schema: dict[str, Any], told: str) -> None:
    [fault] = check_schema("executor 'x'", schema, {"a": 1}, placeholders=False)
    assert told in fault.message


def test_a_schema_may_refer_to_itself() -> None:
    tree = {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}},
        "$defs": {"Node": {"type": "object", "required": ["name"], "properties": {"below": {"$ref": "#/$defs/Node"}}}},
    }
    type_ = ExecutorType.of_schema("tree", "Trees.", tree)
    [fault] = check_config(type_, {"root": {"name": "a", "below": {"name": "b", "below": {}}}}, placeholders=True)
    assert (fault.path, fault.message) == (("root", "below", "below"), "'below' needs the config field 'name'")
    assert type_.config[0].fields[0].name == "below"


def test_editors_get_the_schema_with_its_references() -> None:
    document = with_configs({"$defs": {EXECUTOR: {"type": "object"}}, "$ref": f"#/$defs/{EXECUTOR}"}, {"load": LOAD})
    judge = Draft202012Validator(document)
    assert judge.is_valid({"type": "load", "config": {"table": "{{t}}", "file": CSV}})
    assert not judge.is_valid({"type": "load", "config": {"table": "t", "file": {"format": "csv", "level": 1}}})


PIECES = st.recursive(
    st.sampled_from(
        [
            ({"type": "string"}, "text"),
            ({"type": "integer", "minimum": 1}, 5),
            ({"enum": ["a", 3]}, 3),
            ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, None),
            ({"oneOf": [{"type": "string", "minLength": 3}, {"type": "boolean"}]}, "abc"),
        ]
    ),
    lambda below: st.one_of(
        st.dictionaries(st.sampled_from("abc"), below, max_size=3).map(
            lambda parts: (
                {
                    "type": "object",
                    "properties": {name: part[0] for name, part in parts.items()},
                    "required": sorted(parts),
                    "additionalProperties": False,
                },
                {name: part[1] for name, part in parts.items()},
            )
        ),
        below.map(lambda part: ({"type": "array", "items": part[0], "uniqueItems": True}, [part[1]])),
        below.map(lambda part: ({"type": "object", "additionalProperties": part[0]}, {"x": part[1], "y": part[1]})),
    ),
    max_leaves=8,
)


def places(value: Json, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    below = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in below for place in places(item, (*path, key)))]


@settings(max_examples=200)
@given(PIECES, st.data())
def test_a_placeholder_fits_wherever_it_stands(piece: tuple[dict[str, Any], Json], data: st.DataObject) -> None:
    """Both judges agree, and putting placeholders into a valid config makes no fault of it."""
    schema = {"type": "object", "properties": {"top": piece[0]}, "additionalProperties": False}
    config = json.loads(json.dumps({"top": piece[1]}))
    assert check_schema("it", schema, config, placeholders=False) == []
    for path in data.draw(st.lists(st.sampled_from(places(config)[1:]), max_size=3)):
        holder = config
        for step in path[:-1]:
            holder = holder[step] if isinstance(holder, dict | list) else None
        if isinstance(holder, dict | list):
            holder[path[-1]] = "{{x}}"
    assert check_schema("it", schema, config, placeholders=True) == []
    assert Draft202012Validator(opened(schema)).is_valid(config)
    assert Draft202012Validator(config_schema(ExecutorType.of_schema("it", "It.", schema))).is_valid(config)


SLOW = "^(a+)+$"  # doubles its time with each character where it is tried by backtracking
NEARLY = "a" * 40 + "!"
SLOW_PAIRS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "pattern": ({"properties": {"a": {"pattern": SLOW}}}, {"a": NEARLY}, f"'a' must match {SLOW}"),
    "pattern of names": ({"propertyNames": {"pattern": SLOW}}, {NEARLY: 1}, f"must match {SLOW}"),
    "patterned fields": (
        {"properties": {"b": {}}, "patternProperties": {SLOW: {}}, "additionalProperties": False},
        {NEARLY: 1},
        f"it has no config field '{NEARLY}'",
    ),
    "patterned fields below": (
        {"properties": {"b": {"const": 1}}, "patternProperties": {SLOW: {}}},
        {NEARLY: 1, "b": 2},
        "'b' must be 1",
    ),
    "fields that nothing speaks of": (
        {"patternProperties": {SLOW: {}}, "unevaluatedProperties": False},
        {NEARLY: 1},
        "does not fit: Unevaluated properties are not allowed",
    ),
    "entries of mixed kinds": (
        {"properties": {"a": {"uniqueItems": True}}},
        {"a": [*({"x": n} if n % 2 else n for n in range(50_000)), 2]},
        "'a' must have no entry twice",
    ),
    "references that double": (
        {
            "$defs": {f"d{n}": {"allOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(60)} | {"d60": {"type": "object"}},
            "$ref": "#/$defs/d0",
        },
        {},
        "it unfolds to more than 100000 parts",
    ),
    "a choice of many": ({"properties": {"a": {"enum": list(range(300_000))}}}, {"a": "b"}, "49, ... (300000 in all), not b"),
    "anchors that double": (
        {"$defs": {f"d{n}": {"$anchor": f"a{n}", "allOf": [{"$ref": f"#a{n + 1}"}] * 2} for n in range(60)}, "$ref": "#a0"},
        {},
        "it unfolds to more than 100000 parts",
    ),
}


@pytest.mark.timeout(60)
@pytest.mark.parametrize("name", SLOW_PAIRS)
def test_no_schema_of_a_worker_takes_a_server_for_long(name: str) -> None:
    schema, config, said = SLOW_PAIRS[name]
    began = time.process_time()
    [fault] = check_schema("it", schema, config, placeholders=False)
    check_schema("it", schema, config, placeholders=True)
    assert said in fault.message
    assert time.process_time() - began < 10


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"allOf": [{"$ref": "#"}, {"$ref": "#"}]},
        {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
        {"$defs": {"a~/b": {"anyOf": [{}, {"type": "object"}]}}, "$ref": "#/$defs/a~0~1b/anyOf/1"},
    ],
    ids=["itself", "itself twice", "in turn", "by an escaped name"],
)
def test_references_that_come_back_are_counted_once(schema: dict[str, Any]) -> None:
    assert check_schema("it", schema, {"n": 1}, placeholders=False) == []


def test_a_hint_names_some_of_many_fields() -> None:
    schema = {"properties": {f"n{n:05}": {} for n in range(10_000)}, "additionalProperties": False}
    faults = check_schema("it", schema, {f"far-from-all-of-them-{n}": 1 for n in range(100)}, placeholders=False)
    assert len(faults) == 100
    assert str(faults[0].hint).endswith("n00049, ... (10000 in all)")


def test_schemas_that_workers_declare_anew_do_not_pile_up() -> None:
    for n in range(600):
        assert check_schema("it", {"properties": {"n": {"const": n}}}, {"n": n}, placeholders=False) == []
    assert len(schema_check._known) <= 256


def test_a_table_and_a_schema_say_the_same() -> None:
    table = ExecutorType("x", "X.", (ConfigField("n", "integer", "How many.", required=True, minimum=1),))
    schema = ExecutorType.of_schema(
        "x",
        "X.",
        {
            "type": "object",
            "properties": {"n": {"type": "integer", "minimum": 1, "description": "How many."}},
            "required": ["n"],
            "additionalProperties": False,
        },
    )
    assert schema.config == table.config
    for config in ({}, {"n": 0}, {"n": "a"}, {}, {"n": 1, "other": 2}, {"n": 2}):
        first, second = (check_config(one, config, placeholders=False) for one in (table, schema))
        assert [(fault.path, fault.message) for fault in first] == [(fault.path, fault.message) for fault in second]


def test_the_published_schema_takes_the_configs() -> None:
    schema = with_configs(published(), {"load": LOAD})
    assert [branch["if"]["properties"]["type"] for branch in schema["$defs"][EXECUTOR]["allOf"]] == [{"const": "load"}]
