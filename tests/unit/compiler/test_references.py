"""References and structure: what is named exists, graphs end, nesting is bounded (SPEC-10..12, AE2xx)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from aether_protocol.compiler.compile import Compiled

Found = Callable[..., list[str]]
Compile = Callable[..., Compiled]

STEP = "- task: {name: step, executor: {type: noop}}\n"
ROWS: dict[str, tuple[str, list[str]]] = {
    "entrypoint": ("entrypoint: mian\ntemplates:\n- task: {name: main, executor: {type: noop}}", ["AE201 spec.entrypoint"]),
    "template": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: stepp}, {name: b, template: step}]}",
        ["AE204 spec.templates[1].dag.tasks[0].template"],
    ),
    "body": (
        "- loop: {name: main, body: nothing, items: [1]}",
        ["AE204 spec.templates[0].loop.body"],
    ),
    "hook of the workflow": (
        "entrypoint: step\nhooks: {onExit: {template: bye}}\ntemplates:\n" + STEP,
        ["AE204 spec.hooks.onExit.template"],
    ),
    "hook of a task": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: step, hooks: {onStart: {template: bye}}}]}",
        ["AE204 spec.templates[1].dag.tasks[0].hooks.onStart.template"],
    ),
    "hook that is a dag": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: step, hooks: {onExit: {template: other}}}]}\n"
        "- dag: {name: other, tasks: [{name: a, template: step}]}",
        ["AE211 spec.templates[1].dag.tasks[0].hooks.onExit.template", "AE901 spec.templates[2].dag.name"],
    ),
    "dependency": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: step, dependencies: [b]}]}",
        ["AE205 spec.templates[1].dag.tasks[0].dependencies[0]"],
    ),
    "entrypoints of a dag": (
        STEP + "- dag: {name: main, entrypoints: [a, c], tasks: [{name: a, template: step}]}",
        ["AE207 spec.templates[1].dag.entrypoints[1]"],
    ),
    "one entrypoint of a dag": (
        STEP + "- dag: {name: main, entrypoints: c, tasks: [{name: a, template: step}]}",
        ["AE207 spec.templates[1].dag.entrypoints"],
    ),
    "unreachable templates too": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: step}]}\n- dag: {name: far, tasks: [{name: a, template: x}]}",
        ["AE204 spec.templates[2].dag.tasks[0].template"],
    ),
    "self-dependency": (
        STEP + "- dag: {name: main, tasks: [{name: a, template: step, dependencies: [a]}]}",
        ["AE206 spec.templates[1].dag.tasks[0].dependencies"],
    ),
    "a template that runs itself": (
        "- dag: {name: main, tasks: [{name: a, template: main}]}",
        ["AE209 spec.templates[0].dag.tasks[0].template"],
    ),
    "library that is not there": (
        "- dag: {name: main, tasks: [{name: a, templateRef: {name: lib, template: x}}]}",
        ["AE203 spec.templates[0].dag.tasks[0].templateRef.name"],
    ),
    "aggregate": (
        "- loop: {name: main, body: b, items: [1], aggregate: {parameters: [y, z]}, "
        "outputs: {parameters: [{name: w}, {name: y}, {name: v, valueFrom: {parameter: q}}]}}\n"
        "- task: {name: b, executor: {type: noop}, outputs: {parameters: [{name: y}]}}",
        [
            "AE216 spec.templates[0].loop.aggregate.parameters[1]",
            "AE216 spec.templates[0].loop.outputs.parameters[0]",
            "AE216 spec.templates[0].loop.outputs.parameters[2].valueFrom.parameter",
        ],
    ),
}


@pytest.mark.rule("SPEC-10", "SPEC-15")
@pytest.mark.parametrize("row", ROWS)
def test_references(row: str, found: Found) -> None:
    spec, expected = ROWS[row]
    assert found(spec) == expected


@pytest.mark.rule("SPEC-11")
def test_a_cycle_is_told_as_the_work_would_flow(compiled: Compile) -> None:
    result = compiled("""
        - task: {name: step, executor: {type: noop}}
        - dag:
            name: main
            tasks:
            - {name: start, template: step}
            - {name: c, template: step, dependencies: [b, start]}
            - {name: a, template: step, dependencies: [c]}
            - {name: b, template: step, dependencies: [a]}
            - {name: below, template: step, dependencies: [b]}
            - {name: x, template: step, dependencies: [y]}
            - {name: y, template: step, dependencies: [x]}
    """)
    messages = [d.message for d in result.diagnostics]
    assert messages == ["tasks wait for each other: c -> a -> b -> c", "tasks wait for each other: x -> y -> x"]
    assert [d.line for d in result.diagnostics] == [12, 16]


@pytest.mark.rule("SPEC-12")
def test_nesting_counts_dags_and_loops_from_the_entrypoint(found: Found, compiled: Compile) -> None:
    spec = """
        maxNestedDepth: {limit}
        entrypoint: one
        templates:
        - dag: {{name: one, tasks: [{{name: a, template: two}}, {{name: b, template: three}}]}}
        - loop: {{name: two, body: three, items: [1]}}
        - dag: {{name: three, tasks: [{{name: a, template: step}}]}}
        - task: {{name: step, executor: {{type: noop}}}}
    """
    assert found(spec.format(limit=3)) == []
    assert found(spec.format(limit=2)) == ["AE208 spec.templates[1].loop.body"]
    [fault] = compiled(spec.format(limit=2)).diagnostics
    assert fault.message == "3 dags and loops stand inside each other: one -> two -> three; maxNestedDepth is 2"


@pytest.mark.rule("SPEC-12")
def test_recursion_is_named(compiled: Compile) -> None:
    result = compiled("""
        - dag: {name: main, tasks: [{name: a, template: inner}]}
        - loop: {name: inner, body: main, items: [1]}
    """)
    assert [d.message for d in result.diagnostics] == ["templates run each other without end: main -> inner -> main"]


def test_the_nearest_name_is_suggested(compiled: Compile) -> None:
    result = compiled("""
        - dag: {name: main, tasks: [{name: a, template: stpe}]}
        - task: {name: step, executor: {type: noop}}
    """)
    [fault] = result.diagnostics
    assert (fault.code, fault.line, fault.column, fault.hint) == ("AE204", 7, 51, "did you mean 'step'?")


def test_faults_of_the_reader_do_not_cascade(compiled: Compile) -> None:
    result = compiled(
        """
        - dag:
            name: main
            tasks:
            - {name: a, template: [step]}
            - {name: b, template: other, dependencies: [c]}
            - [c]
        - task: {name: step, executor: {type: noop}}
        - tsak: {name: other, executor: {type: noop}}
        - 5
        """,
        faulty=True,
    )
    assert result.plan is None
    assert [d.code for d in result.diagnostics if d.severity == "error"] == []
