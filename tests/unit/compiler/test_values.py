"""Literals against declarations, open inputs, and warnings (SPEC-3, SPEC-13, DATA-1..3, LOOP-7; AE212..215, AE9xx)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aether_protocol.compiler.compile import Compiled, CompileOptions

Found = Callable[..., list[str]]
Compile = Callable[..., Compiled]

CALL = """
- dag: {{name: main, tasks: [{{name: a, template: step, arguments: {{parameters: [{argument}]}}}}]}}
- task: {{name: step, executor: {{type: noop}}, inputs: {{parameters: [{declared}]}}}}
"""
ARGUMENT = "spec.templates[0].dag.tasks[0].arguments"
DECLARED = "spec.templates[1].task.inputs.parameters[0]"

ROWS: dict[str, tuple[str, str, list[str]]] = {
    "fits": ("name: x, value: 5", "name: x, type: int", []),
    "whole numbers are integers": ("name: x, value: 5.0", "name: x, type: integer", []),
    "quoted numbers are text": ('name: x, value: "5"', "name: x, type: integer", [f"AE213 {ARGUMENT}.parameters[0].value"]),
    "booleans are no numbers": ("name: x, value: true", "name: x, type: number", [f"AE213 {ARGUMENT}.parameters[0].value"]),
    "placeholders are not known yet": ('name: x, value: "{{system.os}}"', "name: x, type: integer", []),
    "escaped braces are text": ('name: x, value: "{{{{x"', "name: x, type: integer", [f"AE213 {ARGUMENT}.parameters[0].value"]),
    "enum": ("name: x, value: c", "name: x, enum: [a, b]", [f"AE214 {ARGUMENT}.parameters[0].value"]),
    "enum knows booleans from numbers": (
        "name: x, value: 1",
        "name: x, enum: [true]",
        [f"AE214 {ARGUMENT}.parameters[0].value"],
    ),
    "enum members": ("name: x, value: 1", 'name: x, type: integer, enum: [1, "2"]', [f"AE215 {DECLARED}.enum[1]"]),
    "declared value": ("name: x, value: 1", "name: x, type: integer, value: one", [f"AE213 {DECLARED}.value"]),
    "default": ("name: x, value: 1", "name: x, type: integer, default: one", [f"AE213 {DECLARED}.default"]),
    "default null": ("name: x, value: 1", "name: x, type: integer, default: null", [f"AE213 {DECLARED}.default"]),
    "missing": ("name: y, value: 5", "name: x", [f"AE212 {ARGUMENT}"]),
    "null is no value": ("name: x, value: null", "name: x", [f"AE212 {ARGUMENT}"]),
    "null, but a default": ("name: x, value: null", "name: x, default: 1", []),
    "null, but a valueFrom": ("name: x, value: null, valueFrom: {parameter: workflow.name}", "name: x", []),
    "nearly": (
        "name: regoin, value: 1",
        "name: region, default: 1",
        [f"AE905 {ARGUMENT}.parameters[0].name"],
    ),
    "nearly, but that is given": ("name: region, value: 1}, {name: regions, value: 1", "name: region", []),
    "undeclared": ("name: other, value: 1", "name: region, default: 1", []),
    "default of an argument": ("name: x, default: 1, value: 2", "name: x", [f"AE902 {ARGUMENT}.parameters[0].default"]),
    "placeholder in a default": (
        "name: x, value: 2",
        'name: x, default: "{{workflow.name}}"',
        [f"AE911 {DECLARED}.default"],
    ),
}


@pytest.mark.rule("SPEC-13", "DATA-1", "DATA-2", "DATA-3")
@pytest.mark.parametrize("row", ROWS)
def test_arguments(row: str, found: Found) -> None:
    argument, declared, expected = ROWS[row]
    assert found(CALL.format(argument=f"{{{argument}}}", declared=f"{{{declared}}}")) == expected


def test_a_misfit_says_what_to_do(compiled: Compile) -> None:
    [fault] = compiled(CALL.format(argument='{name: x, value: "5"}', declared="{name: x, type: integer}")).diagnostics
    assert fault.message == "'x' must be integer, not string '5'"
    assert fault.hint == "take the quotes away"


@pytest.mark.rule("SPEC-13", "DATA-14")
def test_workflow_parameters_fit_and_fill_the_entrypoint(found: Found) -> None:
    spec = """
        entrypoint: main
        arguments: {parameters: [{name: x, type: integer, value: one}, {name: given}]}
        templates:
        - task: {name: main, executor: {type: noop}, inputs: {parameters: [{name: given}, {name: open}, {name: d, default: 1}]}}
    """
    assert found(spec) == [
        "AE213 spec.arguments.parameters[0].value",
        "AE212 spec.templates[0].task.inputs.parameters[1]",
    ]


LOOP = """
- loop: {{name: main, body: step, {items}, arguments: {{parameters: [{{name: y, value: 1}}]}}}}
- task: {{name: step, executor: {{type: noop}}, inputs: {{parameters: [{{name: x, type: integer}}, {{name: y}}]}}}}
"""


@pytest.mark.rule("LOOP-7", "SPEC-13")
@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ("items: [{x: 1}, {x: 2, z: 3}]", []),
        ("items: []", []),
        ("items: [{x: 1}, {z: 2}]", ["AE212 spec.templates[0].loop.arguments"]),
        ("items: [1, 2]", ["AE212 spec.templates[0].loop.arguments"]),
        ("items: [{x: 1}, {x: two}]", ["AE213 spec.templates[0].loop.items[1].x"]),
        ('items: [{x: "{{workflow.name}}"}]', []),
        ('items: "{{workflow.name}}"', ["AE907 spec.templates[0].loop.body"]),
        ("itemsFrom: workflow.name", ["AE907 spec.templates[0].loop.body"]),
        ("repeatCondition: 'true', maxIterations: 2", ["AE212 spec.templates[0].loop.arguments"]),
    ],
)
def test_fields_of_items_fill_inputs(items: str, expected: list[str], found: Found) -> None:
    assert found(LOOP.format(items=items)) == expected


@pytest.mark.rule("SPEC-13")
def test_a_hook_that_leaves_an_input_open_is_a_warning(found: Found) -> None:
    spec = """
        entrypoint: main
        hooks: {onExit: {template: bye}}
        templates:
        - dag: {name: main, tasks: [{name: a, executor: {type: noop}, hooks: {onStart: {template: bye}}}]}
        - task: {name: bye, executor: {type: noop}, inputs: {parameters: [{name: why}]}}
    """
    assert found(spec) == [
        "AE906 spec.hooks.onExit.template",
        "AE906 spec.templates[0].dag.tasks[0].hooks.onStart.template",
    ]


@pytest.mark.rule("ART-2")
def test_an_input_artifact_comes_from_somewhere(found: Found) -> None:
    spec = """
        - dag:
            name: main
            tasks:
            - {name: a, template: step, arguments: {artifacts: [{name: f, source: {type: local, config: {path: x}}}]}}
            - {name: b, template: step}
        - task: {name: step, executor: {type: noop}, inputs: {artifacts: [{name: f, path: f}]}}
    """
    assert found(spec) == ["AE212 spec.templates[0].dag.tasks[1]"]


TASK = "spec.templates[0].dag.tasks[0]"
SURPRISES: dict[str, tuple[str, list[str]]] = {
    "definition fields on a call": (
        "{name: a, template: step, inputs: {parameters: [{name: x}]}, outputs: {parameters: [{name: x}]}, resources: {cpu: 1}}",
        [f"AE902 {TASK}.inputs", f"AE902 {TASK}.outputs", f"AE902 {TASK}.resources"],
    ),
    "retry on the call of a container": ("{name: a, template: inner, retry: {limit: 2}}", [f"AE902 {TASK}.retry"]),
    "retry of a script": ("{name: a, executor: {type: script}, retry: {limit: 2}}", [f"AE903 {TASK}.retry"]),
    "retry of a script with an expression": (
        "{name: a, executor: {type: script}, retry: {limit: 2, expression: \"phase == 'Failed'\"}}",
        [],
    ),
    "retry of something else": ("{name: a, executor: {type: http}, retry: {limit: 2}}", []),
    "await": ("{name: a, executor: {type: await}}", [f"AE904 {TASK}.executor"]),
    "await for a short time": ("{name: a, executor: {type: await}, timeout: 10m}", []),
    "echo that suspends": ("{name: a, executor: {type: echo, config: {suspend: true}}}", [f"AE904 {TASK}.executor"]),
}


@pytest.mark.rule("SPEC-3")
@pytest.mark.parametrize("row", SURPRISES)
def test_surprises(row: str, found: Found) -> None:
    task, expected = SURPRISES[row]
    spec = f"""
        - dag: {{name: main, tasks: [{task}, {{name: z, template: step}}, {{name: i, template: inner}}]}}
        - task: {{name: step, executor: {{type: noop}}}}
        - dag: {{name: inner, tasks: [{{name: a, template: step}}]}}
    """
    assert found(spec) == expected


@pytest.mark.rule("SPEC-3")
def test_call_fields_on_a_definition(found: Found) -> None:
    spec = """
        - task:
            name: main
            executor: {type: noop}
            dependencies: [x]
            when: "true"
            continueOn: {failed: true}
            arguments: {parameters: [{name: x, value: 1}]}
            hooks: {onExit: {template: main}}
    """
    fields = ("dependencies", "when", "continueOn", "arguments", "hooks")
    assert found(spec) == [f"AE902 spec.templates[0].task.{field}" for field in fields]


def test_outputs_that_come_from_nowhere(found: Found) -> None:
    spec = """
        - dag: {name: main, tasks: [{name: a, template: l}], outputs: {parameters: [{name: x}], artifacts: [{name: f}]}}
        - loop: {name: l, body: s, items: [1], outputs: {parameters: [{name: x, value: 1}], artifacts: [{name: f}]}}
        - task: {name: s, executor: {type: noop}, outputs: {parameters: [{name: x}], artifacts: [{name: f}]}}
    """
    assert found(spec) == [
        "AE910 spec.templates[0].dag.outputs.parameters[0]",
        "AE913 spec.templates[0].dag.outputs.artifacts[0]",
        "AE902 spec.templates[1].loop.outputs.parameters[0].value",
        "AE902 spec.templates[1].loop.outputs.artifacts",
        "AE913 spec.templates[2].task.outputs.artifacts[0]",
    ]


RETRIES: dict[str, tuple[str, str, str, list[str]]] = {
    "of a template": ("", "", "{expression: 'true'}", ["spec.templates[1].task.retry"]),
    "of a call": ("", "{backoff: {duration: 1s}}", "{limit: 1}", ["spec.templates[0].dag.tasks[0].retry"]),
    "of the workflow": ("retry: {}", "", "{limit: 1}", ["spec.retry"]),
    "with limit 0": ("", "", "{limit: 0, expression: 'true'}", ["spec.templates[1].task.retry"]),
    "turned off for nothing": ("", "", "{limit: 0}", ["spec.templates[1].task.retry"]),
    "turned off in the call": ("", "{limit: 0}", "{limit: 2}", []),
    "turned off in the template": ("retry: {limit: 3}", "", "{limit: 0}", []),
    "turned off in the call, of the workflow": ("retry: {limit: 3}", "{limit: 0}", "", []),
    "with a limit": ("retry: {limit: 3}", "{limit: 1}", "{limit: 2}", []),
}


@pytest.mark.rule("SPEC-5")
@pytest.mark.parametrize("row", RETRIES)
def test_a_retry_that_repeats_nothing(row: str, found: Found) -> None:
    default, call, template, expected = RETRIES[row]
    spec = f"""
        {default}
        entrypoint: main
        templates:
        - dag: {{name: main, tasks: [{{name: a, template: step{f", retry: {call}" if call else ""}}}]}}
        - task: {{name: step, executor: {{type: noop}}{f", retry: {template}" if template else ""}}}
    """
    assert found(spec) == [f"AE918 {path}" for path in expected]


@pytest.mark.rule("SPEC-3")
def test_conditions_of_a_call_are_told_where_it_names_a_template(found: Found) -> None:
    spec = """
        - dag:
            name: main
            tasks:
            - {name: a, template: step, phaseConditions: {succeeded: "true"}}
            - {name: b, template: inner, phaseConditions: {succeeded: "true"}}
            - {name: c, executor: {type: noop}, phaseConditions: {succeeded: "true"}}
        - dag: {name: inner, tasks: [{name: x, template: step}], phaseConditions: {succeeded: "true"}}
        - task: {name: step, executor: {type: noop}, phaseConditions: {succeeded: "true"}}
    """
    assert found(spec) == [f"AE917 spec.templates[0].dag.tasks[{index}].phaseConditions" for index in (0, 1)]


@pytest.mark.rule("SPEC-3")
@pytest.mark.parametrize(("pedantic", "severity"), [(False, "warning"), (True, "error")])
def test_a_retry_in_vain_is_an_error_for_the_pedantic(pedantic: bool, severity: str, compiled: Compile) -> None:
    spec = """
        - dag: {name: main, tasks: [{name: a, template: l, retry: {limit: 2}}]}
        - loop: {name: l, items: [1], body: step}
        - task: {name: step, executor: {type: noop}}
    """
    [told] = compiled(spec, CompileOptions(strict=True, pedantic=pedantic)).diagnostics
    assert (told.code, told.severity, told.hint) == ("AE902", severity, "set it on the tasks inside")


@pytest.mark.rule("SPEC-6")
def test_outputs_of_the_engine_have_no_effect(found: Found) -> None:
    own = "phase: Succeeded, code: 0, msg: null, metrics: {a: 1}, progress: 1/1"
    spec = f"""
        - dag: {{name: main, tasks: [{{name: a, template: l}}], outputs: {{phase: x}}}}
        - loop: {{name: l, items: [1], body: step, outputs: {{progress: x}}}}
        - task: {{name: step, executor: {{type: noop}}, outputs: {{{own}, parameters: [{{name: phase}}]}}}}
    """
    assert found(spec) == [
        "AE902 spec.templates[0].dag.outputs.phase",
        "AE902 spec.templates[1].loop.outputs.progress",
        *(f"AE902 spec.templates[2].task.outputs.{field}" for field in ("phase", "code", "msg", "metrics", "progress")),
    ]
