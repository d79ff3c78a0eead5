"""Executor types, configs and artifact sources against what they declare (SPEC-15; AE4xx)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aether_protocol.assembly.executors import executor_types, missing_modules
from aether_protocol.compiler.compile import Compiled, CompileOptions
from aether_protocol.expressions.sizes import parse_size
from aether_protocol.expressions.values import Json, SecretValue, has_secret
from aether_protocol.plan.config import check_config
from aether_protocol.plan.config_fields import ConfigField, with_nested
from aether_protocol.plan.config_schema import EXECUTOR, config_schema, with_configs
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import TaskDef

Compile = Callable[..., Compiled]

FIELDS = (
    ConfigField("source", "string", "The text.", required=True),
    ConfigField("count", "integer", "How many.", minimum=1, maximum=9),
    ConfigField("mode", "string", "How.", enum=("fast", "safe")),
    ConfigField("wait", "duration", "How long."),
    ConfigField("list", "array", "What.", items="string"),
)
CLOSED = ExecutorType("closed", "For tests.", config=FIELDS)
OPEN = ExecutorType("open", "For tests.", config=FIELDS, open_config=True)

CONFIGS: list[tuple[Json, list[tuple[tuple[str | int, ...], str]]]] = [
    ({"source": "x"}, []),
    ({}, [((), "executor 'closed' needs the config field 'source'")]),
    (None, [((), "executor 'closed' needs the config field 'source'")]),
    ({"source": None}, [((), "executor 'closed' needs the config field 'source'")]),
    ([], [((), "the config of executor 'closed' must be an object, not array")]),
    ({"source": 5}, [(("source",), "'source' must be string, not integer")]),
    ({"source": SecretValue((("a", "b"),))}, []),
    ({"source": "x", "count": 0}, [(("count",), "'count' must be 1 or more, not 0")]),
    ({"source": "x", "count": 10}, [(("count",), "'count' must be 9 or less, not 10")]),
    ({"source": "x", "count": True}, [(("count",), "'count' must be integer, not boolean")]),
    ({"source": "x", "mode": "slow"}, [(("mode",), "'mode' must be one of fast, safe, not slow")]),
    ({"source": "x", "wait": "5"}, [(("wait",), "'wait' must be a duration such as '30s', not '5'")]),
    ({"source": "x", "wait": 5}, [(("wait",), "'wait' must be a duration such as '30s', not integer")]),
    ({"source": "x", "list": ["a", 1]}, [(("list", 1), "list[1] must be string, not integer")]),
    ({"source": "x", "cuont": 1}, [(("cuont",), "executor 'closed' has no config field 'cuont'")]),
    ({"sourse": "x"}, [(("sourse",), "executor 'closed' has no config field 'sourse'")]),  # and not missing, too
    ({"source": "x", "count": "{{inputs.parameters.n}}"}, []),
    ({"source": "x", "list": ["{{inputs.parameters.n}}", "b"]}, []),
]


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize(("config", "expected"), CONFIGS)
def test_configs(config: Json, expected: list[tuple[tuple[str | int, ...], str]]) -> None:
    assert [(fault.path, fault.message) for fault in check_config(CLOSED, config, placeholders=True)] == expected


@pytest.mark.rule("SPEC-15")
def test_at_dispatch_braces_are_just_text() -> None:
    [fault] = check_config(CLOSED, {"source": "{{x}}", "count": "{{x}}"}, placeholders=False)
    assert fault.path == ("count",)


def test_an_open_config_takes_other_fields() -> None:
    assert check_config(OPEN, {"source": "x", "other": 1}, placeholders=False) == []


def test_a_near_field_is_suggested() -> None:
    [fault] = check_config(CLOSED, {"source": "x", "cuont": 1}, placeholders=False)
    assert fault.hint == "did you mean 'count'?"


SPEC = """
- task: {name: main, executor: {type: closd}, inputs: {artifacts: [{name: f, source: {type: htpp, config: {}}}]}}
"""


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize("strict", [False, True])
def test_misspelt_types(strict: bool, compiled: Compile) -> None:
    options = CompileOptions(
        {"closed": CLOSED}, {"http": (ConfigField("url", "string", "Where.", required=True),)}, strict=strict
    )
    result = compiled(SPEC, options)
    assert [(d.code, d.severity, d.hint) for d in result.diagnostics] == [
        ("AE401", "error", "did you mean 'closed'?"),
        ("AE403", "error", "did you mean 'http'?"),
    ]


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize(("strict", "severity"), [(False, "warning"), (True, "error")])
def test_unknown_types(strict: bool, severity: str, compiled: Compile) -> None:
    fetchers = {"http": (ConfigField("url", "string", "Where.", required=True),)}
    options = CompileOptions({"closed": CLOSED}, fetchers, strict=strict)
    result = compiled(SPEC.replace("closd", "quantum").replace("htpp", "vault"), options)
    assert [(d.code, d.severity) for d in result.diagnostics] == [("AE401", severity), ("AE403", severity)]
    assert (result.plan is None) == strict


def test_nothing_is_said_where_the_types_are_not_known(compiled: Compile) -> None:
    assert compiled(SPEC, CompileOptions(strict=True)).diagnostics == ()


def test_faulty_configs_are_found_where_they_stand(compiled: Compile) -> None:
    options = CompileOptions({"closed": CLOSED}, {"http": (ConfigField("url", "string", "Where.", required=True),)})
    result = compiled(SPEC.replace("closd", "closed, config: {source: [1]}").replace("htpp", "http"), options)
    assert [f"{d.code} {d.severity} {d.path}" for d in result.diagnostics] == [
        "AE402 error spec.templates[0].task.executor.config.source",
        "AE404 error spec.templates[0].task.inputs.artifacts[0].source.config",
    ]


NESTED = ExecutorType(
    "nested",
    "For tests.",
    config=(
        ConfigField(
            "out",
            "object",
            "Where to.",
            fields=(
                ConfigField("artifact", "string", "Which.", required=True, artifact=True),
                ConfigField("limits", "object", "How much.", fields=(ConfigField("memory", "size", "Bytes."),)),
            ),
        ),
        ConfigField("names", "array", "Which.", items="string", words=("all", "none")),
    ),
)


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"out": {"artifact": "log", "limits": {"memory": "64Mi"}}, "names": "none"}, []),
        ({"out": {"artifact": "{{x}}", "limits": "{{y}}"}, "names": "{{z}}"}, []),
        ({"out": {"artifact": None}}, [(("out",), "'out' needs the config field 'artifact'", "Which.")]),
        (
            {"out": {"artefact": "x"}},
            [(("out", "artefact"), "'out' has no config field 'artefact'", "did you mean 'artifact'?")],
        ),
        ({"out": "log"}, [(("out",), "'out' must be object, not string", "Where to.")]),
        (
            {"out": {"artifact": "x", "limits": {"memroy": 1, "memory": "1 GB"}}},
            [
                (("out", "limits", "memroy"), "'limits' has no config field 'memroy'", "did you mean 'memory'?"),
                (("out", "limits", "memory"), "'memory' must be a size such as '512Mi', not 1 GB", "Bytes."),
            ],
        ),
        ({"names": "some"}, [(("names",), "'names' must be 'all' or 'none' or array, not string", "Which.")]),
    ],
)
def test_nested_fields(config: Json, expected: list[tuple[tuple[str, ...], str, str]]) -> None:
    found = [(fault.path, fault.message, fault.hint) for fault in check_config(NESTED, config, placeholders=True)]
    assert found == expected


def test_all_names_of_nested_fields() -> None:
    names = [name for name, _ in with_nested(NESTED.config)]
    assert names == ["out", "out.artifact", "out.limits", "out.limits.memory", "names"]


WRITES = """
- task:
    name: main
    executor: {type: nested, config: {out: {artifact: log}}}
    outputs: {artifacts: [{name: log}, {name: other}]}
"""


@pytest.mark.rule("ART-1", "EXEC-3")
@pytest.mark.parametrize("types", [{"nested": NESTED}, None])
def test_an_artifact_that_the_executor_writes_needs_no_path(types: dict[str, ExecutorType] | None, compiled: Compile) -> None:
    text = WRITES if types else WRITES.replace("nested", "script").replace("out: {", "stdout: {")
    result = compiled(text, CompileOptions(types))
    assert [f"{d.code} {d.path}" for d in result.diagnostics] == ["AE913 spec.templates[0].task.outputs.artifacts[1]"]
    assert result.plan is not None
    target = result.plan.root.target
    assert isinstance(target, TaskDef)
    assert [(one.name, one.path) for one in target.artifacts] == [("log", ".aether-log"), ("other", None)]


def test_one_with_a_path_keeps_it_and_one_that_is_not_declared_is_an_error(compiled: Compile) -> None:
    text = WRITES.replace("{name: log}, {name: other}", "{name: logs, path: x}")
    [fault] = compiled(text, CompileOptions({"nested": NESTED})).diagnostics
    assert (fault.code, fault.path, fault.hint) == (
        "AE402",
        "spec.templates[0].task.executor.config.out.artifact",
        "did you mean 'logs'?",
    )


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        (4096, 4096),
        (1e9, 10**9),
        ("512Mi", 512 << 20),
        ("1.5G", 1_500_000_000),
        ("2k", 2000),
        ("1KiB", 1024),
        ("0.5Ki", 512),
    ],
)
def test_sizes(text: object, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "0", "-1", "1 Mi", "Mi", "1mi", "1e3", True, None, 1.5, "0.1", "٣", "1" * 30])
def test_what_is_no_size(text: object) -> None:
    with pytest.raises(ValueError, match=r"size|byte"):
        parse_size(text)


def fits(type_: ExecutorType, config: Json) -> bool:
    schema = {"$ref": f"#/$defs/{EXECUTOR}", "$defs": {EXECUTOR: {}}}
    whole = with_configs(schema, {type_.name: type_})
    validator: Any = Draft202012Validator(whole)
    return bool(validator.is_valid({"type": type_.name, "config": config}))


class TestSchema:
    """Editors report the same as `aether validate` (SPEC-15)."""

    @pytest.mark.parametrize("config", [config for config, faults in CONFIGS if not faults and not has_secret(config)])
    def test_is_never_stricter(self, config: Json) -> None:
        assert fits(CLOSED, config)

    @pytest.mark.parametrize(
        "change",
        [
            {"source": []},
            {"count": 0},
            {"count": 10},
            {"count": "3"},
            {"mode": "slow"},
            {"wait": "5"},
            {"list": ["a", {}]},
            {"list": "a"},
            {"cuont": 1},
        ],
    )
    def test_finds_what_the_check_finds(self, change: dict[str, Json]) -> None:
        config = {"source": "x", **change}
        assert (fits(CLOSED, config), check_config(CLOSED, config, placeholders=True) == []) == (False, False)
        assert fits(OPEN, config) == ("cuont" in change)

    @pytest.mark.parametrize(
        ("config", "good"),
        [
            ({"out": {"artifact": "x", "limits": {"memory": "64Mi"}}, "names": "none"}, True),
            ({"out": {"artifact": "{{x}}", "limits": "{{y}}"}, "names": ["a", "{{z}}"]}, True),
            ({"out": {}}, False),
            ({"out": {"artifact": "x", "limits": {"memroy": 1}}}, False),
            ({"out": {"artifact": "x", "limits": {"memory": []}}}, False),
            ({"names": "some"}, False),
            ({"names": [[]]}, False),
        ],
    )
    def test_of_nested_ones(self, config: Json, good: bool) -> None:
        assert fits(NESTED, config) == good
        assert (check_config(NESTED, config, placeholders=True) == []) == good

    def test_is_a_schema(self) -> None:
        for type_ in executor_types().values():
            Draft202012Validator.check_schema(config_schema(type_))


LACKING = ExecutorType("closed", "For tests.", FIELDS, modules=("json", "no_such_package"), install="pip install 'some[thing]'")


@pytest.mark.rule("SPEC-15")
@pytest.mark.parametrize(("strict", "severity"), [(False, "warning"), (True, "error")])
def test_an_executor_whose_package_is_missing_says_what_to_install(strict: bool, severity: str, compiled: Compile) -> None:
    spec = "- task: {name: main, executor: {type: closed, config: {source: x}}}"
    options = CompileOptions({"closed": LACKING}, strict=strict, missing_modules=missing_modules)
    result = compiled(spec, options)
    assert [(d.code, d.severity, d.path, d.message, d.hint) for d in result.diagnostics] == [
        (
            "AE405",
            severity,
            "spec.templates[0].task.executor.type",
            "executor 'closed' needs no_such_package, which is not installed",
            "pip install 'some[thing]'",
        )
    ]
    assert (result.plan is None) == strict
    assert compiled(spec, CompileOptions({"closed": LACKING}, strict=strict)).diagnostics == ()


def test_what_is_missing_is_found_without_an_import() -> None:
    type_ = ExecutorType("x", "X.", modules=("json", "no_such_package", "no.such.package", "importlib.metadata"))
    assert missing_modules(type_) == ["no_such_package", "no.such.package"]


@pytest.mark.rule("RT-115")
@pytest.mark.parametrize("strict", [False, True])
def test_an_executor_that_is_turned_off_is_an_error_and_its_config_is_not_looked_at(strict: bool, compiled: Compile) -> None:
    spec = "- task: {name: main, executor: {type: closed, config: {nonsense: x}}}"
    off = ExecutorType("closed", "For tests.", FIELDS, disabled="by line 3", modules=("no_such_package",))
    result = compiled(spec, CompileOptions({"closed": off}, strict=strict, missing_modules=missing_modules))
    assert [(d.code, d.severity, d.path, d.message, d.hint) for d in result.diagnostics] == [
        ("AE406", "error", "spec.templates[0].task.executor.type", "executor 'closed' is turned off", "by line 3")
    ]


@pytest.mark.rule("RT-131")
@pytest.mark.parametrize("elsewhere", [False, True])
def test_files_of_one_machine_are_refused_where_others_carry_the_document_out(elsewhere: bool, compiled: Compile) -> None:
    """Also where the types are not known; the working directory of another kind of executor is its own affair."""
    spec = """
- task: {name: main, executor: {type: %s, config: {workingDir: document, source: 'cat $AETHER_DOCUMENT_DIR/x'}}}
"""
    options = CompileOptions(elsewhere=elsewhere)
    found = [(d.code, d.path) for d in compiled(spec % "script", options).diagnostics]
    at = "spec.templates[0].task.executor.config"
    assert found == ([("AE407", f"{at}.workingDir"), ("AE407", f"{at}.source")] if elsewhere else [])
    assert compiled(spec % "other", options).diagnostics == ()
