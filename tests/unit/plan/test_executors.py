"""Executor types, configs and artifact sources against what they declare (SPEC-15; AE4xx)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.plan.compile import Compiled, CompileOptions
from aether_protocol.plan.config import check_config
from aether_protocol.plan.executors import ConfigField, ExecutorType

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
@pytest.mark.parametrize(("strict", "severity"), [(False, "warning"), (True, "error")])
def test_unknown_types(strict: bool, severity: str, compiled: Compile) -> None:
    options = CompileOptions(
        {"closed": CLOSED}, {"http": (ConfigField("url", "string", "Where.", required=True),)}, strict=strict
    )
    result = compiled(SPEC, options)
    assert [(d.code, d.severity, d.hint) for d in result.diagnostics] == [
        ("AE401", severity, "did you mean 'closed'?"),
        ("AE403", severity, "did you mean 'http'?"),
    ]
    assert (result.plan is None) == strict


def test_nothing_is_said_where_the_types_are_not_known(compiled: Compile) -> None:
    assert compiled(SPEC, CompileOptions(strict=True)).diagnostics == ()


def test_faulty_configs_are_found_where_they_stand(compiled: Compile) -> None:
    options = CompileOptions({"closed": CLOSED}, {"http": (ConfigField("url", "string", "Where.", required=True),)})
    result = compiled(SPEC.replace("closd", "closed, config: {source: 1}").replace("htpp", "http"), options)
    assert [f"{d.code} {d.severity} {d.path}" for d in result.diagnostics] == [
        "AE402 error spec.templates[0].task.executor.config.source",
        "AE404 error spec.templates[0].task.inputs.artifacts[0].source.config",
    ]
