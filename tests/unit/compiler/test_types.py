"""Types that are known before a run (SPEC-13, DATA-3, DATA-8, LOOP-2, LOOP-6; AE217, AE218, AE219, AE916)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Found = Callable[..., list[str]]

SPEC = """
arguments: {parameters: [{name: text, type: string, value: a}, {name: whole, type: integer, value: 1}, {name: loose, value: 1}]}
entrypoint: main
templates:
- dag:
    name: main
    inputs: {parameters: [{name: n, type: integer, value: 1}, {name: any, value: 1}]}
    tasks:
    - {name: src, template: give}
    - {name: open, executor: {type: noop}}
    - {name: tolerated, template: give, continueOn: {failed: true}}
    - {name: all, template: all}
    - {name: last, template: last}
    - {name: below, template: below}
    - {name: between, executor: {type: noop}, dependencies: [src]}
    - {name: use, template: TYPE, dependencies: [between, open, tolerated, all, last, below], arguments: ARGUMENTS}
- task:
    name: give
    executor: {type: noop}
    outputs: {parameters: [{name: s, type: string}, {name: i, type: int}, {name: a, type: array}, {name: any}]}
- loop: {name: all, items: [1, 2], body: give, aggregate: {strategy: list, parameters: [i]}}
- loop: {name: last, items: [1, 2], body: give}
- dag:
    name: below
    tasks: [{name: a, template: give}]
    outputs:
      parameters:
      - {name: s, valueFrom: {parameter: tasks.a.outputs.parameters.s}}
      - {name: n, type: number, valueFrom: {parameter: tasks.a.outputs.parameters.i}}
- task: {name: string, executor: {type: noop}, inputs: {parameters: [{name: x, type: string}]}}
- task: {name: integer, executor: {type: noop}, inputs: {parameters: [{name: x, type: integer}]}}
- task: {name: boolean, executor: {type: noop}, inputs: {parameters: [{name: x, type: boolean}]}}
- task: {name: filled, executor: {type: noop}, inputs: {parameters: [{name: x, type: integer, default: 1}]}}
"""


def _of(name: str) -> str:
    return f"valueFrom: {{parameter: {name}}}"


def _expression(text: str) -> str:
    return f'valueFrom: {{expression: "{text}"}}'


# type of the input, what it is given, whether that is refused
ROWS: dict[str, tuple[str, str, bool]] = {
    "a list of a loop": ("string", _of("tasks.all.outputs.parameters.i"), True),
    "a list, as a placeholder": ("integer", 'value: "{{tasks.all.outputs.parameters.i}}"', True),
    "an element of it": ("integer", _of("'tasks.all.outputs.parameters.i[0]'"), False),
    "the last of a loop": ("string", _of("tasks.last.outputs.parameters.i"), True),
    "the last of a loop, of that type": ("integer", _of("tasks.last.outputs.parameters.i"), False),
    "an output, not directly depended on": ("integer", _of("tasks.src.outputs.parameters.s"), True),
    "an output of any type": ("integer", _of("tasks.src.outputs.parameters.any"), False),
    "an output without declaration": ("integer", _of("tasks.open.outputs.parameters.x"), False),
    "an output of a task that may have failed": ("integer", _of("tasks.tolerated.outputs.parameters.s"), False),
    "an output of a dag": ("boolean", _of("tasks.below.outputs.parameters.s"), True),
    "a number may be whole": ("integer", _of("tasks.below.outputs.parameters.n"), False),
    "a number is no boolean": ("boolean", _of("tasks.below.outputs.parameters.n"), True),
    "phase": ("integer", _of("tasks.src.phase"), True),
    "code": ("integer", _of("tasks.src.code"), False),
    "an input of the dag": ("string", _of("inputs.parameters.n"), True),
    "an input of any type": ("string", _of("inputs.parameters.any"), False),
    "a workflow parameter": ("integer", _of("workflow.parameters.text"), True),
    "its alias": ("integer", _of("workflow.arguments.parameters.text"), True),
    "a workflow parameter of any type": ("string", _of("workflow.parameters.loose"), False),
    "all workflow parameters": ("string", _of("workflow.parameters"), True),
    "the name of the workflow": ("boolean", _of("workflow.name"), True),
    "text with a placeholder": ("integer", 'value: "{{workflow.parameters.whole}}0"', True),
    "a list with a placeholder": ("string", 'value: ["{{workflow.parameters.whole}}"]', True),
    "a comparison": ("string", _expression("1 < 2"), True),
    "len": ("string", _expression("len(tasks.all.outputs.parameters.i)"), True),
    "len of a text": ("integer", _expression("len(workflow.name)"), False),
    "a branch that fits": ("string", _expression("1 if inputs.parameters.any else 'a'"), False),
    "no branch that fits": ("string", _expression("1 if inputs.parameters.any else [1]"), True),
    "default": ("integer", _expression("default(inputs.parameters.n, 1)"), False),
    "a sum of any": ("boolean", _expression("inputs.parameters.any + 1"), True),
    "a secret": ("integer", "valueFrom: {secretKeyRef: {name: a, key: b}}", True),
    "a secret is text": ("string", "valueFrom: {secretKeyRef: {name: a, key: b}}", False),
    "another source, where it is absent": ("filled", _of("tasks.all.outputs.parameters.i"), False),
    "no other source, as it is never absent": ("filled", _expression("1 < 2"), True),
}


@pytest.mark.rule("SPEC-13", "DATA-3")
@pytest.mark.parametrize("row", ROWS)
def test_arguments_of_a_known_type(row: str, found: Found) -> None:
    type_, given, refused = ROWS[row]
    spec = SPEC.replace("TYPE", type_).replace("ARGUMENTS", f"{{parameters: [{{name: x, {given}}}]}}")
    told = [one.partition(".arguments")[0] for one in found(spec)]
    assert [one for one in told if one.startswith("AE2")] == ["AE218 spec.templates[0].dag.tasks[7]"] * refused


@pytest.mark.rule("SPEC-13", "LOOP-7", "LOOP-5")
@pytest.mark.parametrize(
    ("loop", "refused"),
    [
        ("items: [1, a], arguments: {parameters: [{name: x, value: '{{iterator.item}}'}]}", True),
        ("items: [1, 2.0], arguments: {parameters: [{name: x, value: '{{iterator.item}}'}]}", False),
        ("items: [1, '{{workflow.name}}'], arguments: {parameters: [{name: x, value: '{{iterator.item}}'}]}", False),
        ("items: [{k: 1}, {k: a}], arguments: {parameters: [{name: x, value: '{{iterator.item.k}}'}]}", True),
        ("items: [{k: 1}, {k: a}], arguments: {parameters: [{name: x, value: '{{loop_iter.k}}'}]}", True),
        ("items: [{k: 1}, {}], arguments: {parameters: [{name: x, value: '{{iterator.item.k}}'}]}", False),
        ("items: [a], arguments: {parameters: [{name: x, value: '{{iterator.index}}'}]}", False),
        ("items: [a], arguments: {parameters: [{name: x, value: 'n{{iterator.index}}'}]}", True),
        ("items: [], arguments: {parameters: [{name: x, value: 'n{{iterator.index}}'}]}", False),
        ("itemsFrom: '[1]', arguments: {parameters: [{name: x, value: '{{iterator.item}}'}]}", False),
    ],
)
def test_items_of_a_known_type(loop: str, refused: bool, found: Found) -> None:
    spec = f"""
    - loop: {{name: main, body: one, {loop}}}
    - task: {{name: one, executor: {{type: noop}}, inputs: {{parameters: [{{name: x, type: integer}}]}}}}
    """
    assert found(spec) == ["AE218 spec.templates[0].loop.arguments.parameters[0].value"] * refused


@pytest.mark.rule("LOOP-2")
@pytest.mark.parametrize(
    ("field", "refused"),
    [
        ("itemsFrom: 1 + 2", True),
        ("itemsFrom: len(inputs.parameters.a)", True),
        ("itemsFrom: inputs.parameters.a", False),
        ("itemsFrom: inputs.parameters.n", False),
        ("itemsFrom: '{{inputs.parameters.n}}'", True),
        ("items: '{{inputs.parameters.n}}'", True),
        ("itemsFrom: \"'[1]'\"", False),
        ("itemsFrom: 'null'", False),
    ],
)
def test_what_a_loop_runs_over(field: str, refused: bool, found: Found) -> None:
    spec = f"""
    - loop:
        name: main
        body: one
        inputs: {{parameters: [{{name: a, type: array, value: []}}, {{name: n, type: number, value: 1}}]}}
        {field}
    - task: {{name: one, executor: {{type: noop}}}}
    """
    assert found(spec) == [f"AE218 spec.templates[0].loop.{field.partition(':')[0]}"] * refused


@pytest.mark.rule("DATA-8")
@pytest.mark.parametrize(
    ("text", "refused"),
    [
        ("1", True),
        ("null", True),
        ("len(inputs.parameters.a)", True),
        ("inputs.parameters.n", True),
        ("inputs.parameters.a", True),
        ("len(inputs.parameters.a) > 0", False),
        ("inputs.parameters.any", False),
        ("inputs.parameters.s", False),
        ("inputs.parameters.any and 1", False),
        ("true", False),
    ],
)
def test_conditions_of_a_known_type(text: str, refused: bool, found: Found) -> None:
    declared = "[{name: a, type: array, value: []}, {name: n, type: number, value: 1}, {name: s, type: string, value: a}, ANY]"
    declared = declared.replace("ANY", "{name: any, value: 1}")
    spec = f"""
    - dag:
        name: main
        inputs: {{parameters: {declared}}}
        tasks:
        - {{name: a, when: "{text}", template: step}}
        - {{name: b, template: rounds}}
    - loop: {{name: rounds, body: step, repeatCondition: "{text}", maxIterations: 2, inputs: {{parameters: {declared}}}}}
    - task:
        name: step
        executor: {{type: noop}}
        retry: {{limit: 1, expression: "{text}"}}
        inputs: {{parameters: {declared}}}
    """
    told = [
        "spec.templates[0].dag.tasks[0].when",
        "spec.templates[1].loop.repeatCondition",
        "spec.templates[2].task.retry.expression",
    ]
    assert found(spec) == [f"AE219 {path}" for path in told if refused]


@pytest.mark.rule("DATA-10", "LOOP-6")
def test_outputs_of_containers_that_never_fit(found: Found) -> None:
    spec = """
    - dag:
        name: main
        tasks: [{name: all, template: all}]
        outputs:
          parameters:
          - {name: a, type: string, valueFrom: {parameter: tasks.all.outputs.parameters.t}}
          - {name: b, type: array, valueFrom: {parameter: tasks.all.outputs.parameters.t}}
          - {name: c, type: string, valueFrom: {expression: "1 == 1"}}
    - loop:
        name: all
        items: [1]
        body: one
        aggregate: {strategy: list}
        outputs:
          parameters:
          - {name: t, type: array}
          - {name: u, type: string, valueFrom: {parameter: t}}
          - {name: v, type: boolean, valueFrom: {expression: loop.total}}
          - {name: w, type: integer, valueFrom: {expression: loop.total}}
    - task: {name: one, executor: {type: noop}, outputs: {parameters: [{name: t}]}}
    """
    assert found(spec) == [
        "AE916 spec.templates[0].dag.outputs.parameters[0]",
        "AE916 spec.templates[0].dag.outputs.parameters[2]",
        "AE916 spec.templates[1].loop.outputs.parameters[1]",
        "AE916 spec.templates[1].loop.outputs.parameters[2]",
    ]


@pytest.mark.rule("DATA-14")
def test_inputs_of_the_entrypoint(found: Found) -> None:
    spec = """
    entrypoint: main
    arguments: {parameters: [{name: a, type: string, value: x}, {name: b, type: integer, value: 1}, {name: c, value: 1}]}
    templates:
    - task:
        name: main
        executor: {type: noop}
        inputs: {parameters: [{name: a, type: integer}, {name: b, type: number}, {name: c, type: string}]}
    """
    assert found(spec) == ["AE218 spec.templates[0].task.inputs.parameters[0]"]


@pytest.mark.rule("DOC-4")
def test_inputs_that_become_one_variable(found: Found) -> None:
    spec = """
    - dag: {name: main, tasks: [{name: a, template: step, arguments: {parameters: [{name: MAX_n, value: 1}, {name: o}]}}]}
    - task: {name: step, executor: {type: noop}, inputs: {parameters: [{name: max-n, value: 1}, {name: max_x, value: 1}]}}
    """
    assert found(spec) == ["AE217 spec.templates[0].dag.tasks[0].arguments.parameters[0].name"]
