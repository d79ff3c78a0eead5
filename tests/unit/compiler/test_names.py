"""Names at their places: DATA-4 row by row, SPEC-13, SPEC-14 (AE3xx)."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from aether_protocol.compiler.compile import Compiled, CompileOptions
from aether_protocol.diagnostics import Diagnostic

Found = Callable[..., list[str]]
Compile = Callable[..., Compiled]

# `%s` is the place; the dag `main` has input `d`, its loop has input `l`, tasks have input `t`
SPEC = """
entrypoint: main
timeout: 2h
arguments: {parameters: [{name: p, value: 1}, {name: q, value: "%(parameter)s"}]}
retry: {expression: "%(default)s"}
hooks: {onExit: {template: bye}}
templates:
- dag:
    name: main
    inputs: {parameters: [{name: d, value: 1}, {name: dv, value: "%(entry)s"}]}
    outputs: {parameters: [{name: o, value: "%(dag_output)s"}]}
    phaseConditions: {failed: "%(dag_condition)s"}
    tasks:
    - {name: first, template: step, retry: {expression: "%(call_retry)s"}}
    - name: mid
      template: step
      dependencies: [first]
      when: "%(when)s"
      arguments: {parameters: [{name: t, value: "%(argument)s"}]}
    - {name: looped, template: loop, dependencies: [first], arguments: {parameters: [{name: l, value: [1]}]}}
    - {name: again, template: again}
    - name: own
      dependencies: [first]
      inputs: {parameters: [{name: t, value: "%(inline_input)s"}]}
      executor: {type: noop, config: {x: "%(inline_config)s"}}
      outputs: {parameters: [{name: r}]}
      phaseConditions: {failed: "%(inline_condition)s"}
- loop:
    name: loop
    body: body
    inputs: {parameters: [{name: l}]}
    itemsFrom: "%(items)s"
    arguments: {parameters: [{name: t, value: "%(loop_argument)s"}]}
    outputs: {parameters: [{name: r}, {name: e, valueFrom: {expression: "%(loop_output)s"}}]}
    phaseConditions: {failed: "%(loop_condition)s"}
- loop:
    name: again
    body: body
    repeatCondition: "%(repeat)s"
    maxIterations: 3
    arguments: {parameters: [{name: t, value: "%(repeat_argument)s"}]}
- task:
    name: body
    inputs: {parameters: [{name: t}, {name: v, value: "%(body_input)s"}]}
    executor: {type: noop}
    outputs: {parameters: [{name: r}]}
- task:
    name: step
    inputs: {parameters: [{name: t, value: "%(declared)s"}]}
    executor: {type: noop, config: {x: "%(config)s"}}
    outputs: {parameters: [{name: r, value: "%(output)s"}]}
    retry: {expression: "%(retry)s"}
- task:
    name: bye
    inputs: {parameters: [{name: t, value: "%(hook_input)s"}]}
    executor: {type: noop, config: {x: "%(hook_config)s"}}
"""
DEFAULTS = dict.fromkeys(re.findall(r"%\((\w+)\)s", SPEC), "'1'")
EXPRESSIONS = {
    *("default", "dag_condition", "call_retry", "when", "inline_condition", "items", "loop_output"),
    *("loop_condition", "repeat", "retry"),
}
D, L, T = "inputs.parameters.d", "inputs.parameters.l", "inputs.parameters.t"
FIRST, OWN, R = "tasks.first.outputs.parameters.r", "tasks.own.outputs.parameters.r", "outputs.parameters.r"
BODY, STEP = "tasks.body.outputs.parameters.r", "tasks.step.outputs.parameters.r"

# place -> names that it sees; every other name of ALL it does not see
SEES: dict[str, set[str]] = {
    "parameter": {"workflow.parameters.p"},
    "default": {"workflow.parameters.p", D, L, T, FIRST, OWN, BODY, STEP, "phase", "code", "msg", R, "outputs.parameters.o"},
    "entry": {"workflow.parameters.p"},
    "dag_output": {"workflow.parameters.p", D, FIRST, OWN},
    "dag_condition": {"workflow.parameters.p", D, FIRST, OWN, "phase", "msg", "dag.total", "outputs.parameters.o"},
    "call_retry": {"workflow.parameters.p", T, FIRST, "phase", "code", "msg", R},
    "when": {"workflow.parameters.p", D, FIRST},
    "argument": {"workflow.parameters.p", D, FIRST},
    "inline_input": {"workflow.parameters.p", D, FIRST},
    "inline_config": {"workflow.parameters.p", D, T, FIRST},
    "inline_condition": {"workflow.parameters.p", D, T, FIRST, OWN, "phase", "code", "msg", R},
    "items": {"workflow.parameters.p", L, FIRST},
    "loop_argument": {
        *("workflow.parameters.p", L, FIRST, "iterator.item", "iterator.item.x", "iterator.index"),
        *("loop_iter.index", "loop_iter.item"),
    },
    "loop_output": {"workflow.parameters.p", L, R, "loop.total"},
    "loop_condition": {"workflow.parameters.p", L, R, "loop.total", "phase", "msg"},
    "repeat": {"workflow.parameters.p", FIRST, BODY, "loop_iter.index", "iterator.index"},
    "repeat_argument": {
        *("workflow.parameters.p", FIRST, "iterator.index", "loop_iter.index"),
        "iterator.previous.outputs.parameters.r",
    },
    "body_input": {"workflow.parameters.p", FIRST, "iterator.index", "loop_iter.index"},
    "config": {"workflow.parameters.p", T},
    "output": {"workflow.parameters.p", T, "phase", "code", "msg", R},
    "retry": {"workflow.parameters.p", T, "phase", "code", "msg", R},
    "hook_input": {
        "workflow.parameters.p",
        "hook.event",
        "hook.trigger.msg",
        "hook.workflow.parameters.p",
        "hook.workflow.outputs.o",
    },
    "hook_config": {
        *("workflow.parameters.p", T, "hook.event", "hook.trigger.msg", "hook.workflow.parameters.p"),
        "hook.workflow.outputs.o",
    },
}
ALL = sorted(set().union(*SEES.values()))


@pytest.mark.rule("DATA-4", "SPEC-14", "HOOK-2", "SCHED-8", "LOOP-5", "LOOP-6")
@pytest.mark.parametrize("place", SEES)
def test_each_place_sees_its_names_and_no_others(place: str, compiled: Compile) -> None:
    seen = set()
    for name in ALL:
        result = compiled(SPEC % {**DEFAULTS, place: _probe(place, name)})
        if not any(d.severity == "error" for d in result.diagnostics):
            seen.add(name)
    # a loop whose own outputs are declared: `outputs.*` names them and what is aggregated
    assert seen == SEES[place]


def _probe(place: str, name: str) -> str:
    if place not in EXPRESSIONS:
        return f"{{{{{name}}}}}"
    return f"[{name}]{'' if place == 'items' else ' == []'}"


def _misspelt(segment: str) -> str:
    """A text that is near `segment`."""
    return segment[:2] + segment[1:] if len(segment) > 1 else segment * 2


SEEN_ELSEWHERE = [
    *ALL,
    *("tasks.poll.outputs.parameters.r", "tasks.step.outputs.parameters.r", "iterator.previous.outputs.parameters.r"),
    *("dag.total", "loop.total", "dag.failed", "workflow.parameters", "inputs.parameters", "iterator.item.x"),
    *("workflow.arguments.parameters.p", "hook.workflow.phase", "hook.workflow.name", "system.os", "tasks.first.phase"),
]
PROPOSAL = re.compile(r"did you mean '(?P<segment>.+?)'\?|here it is (?P<name>\S+)|there (?:is|are) (?P<list>'.+')")


@pytest.mark.rule("DATA-4")
@pytest.mark.parametrize("place", SEES)
def test_a_hint_never_proposes_what_is_refused(place: str, compiled: Compile) -> None:
    """All places and all names, as they are and with each segment misspelt: what a hint proposes is accepted there."""

    def faults(name: str) -> list[Diagnostic]:
        found = compiled(SPEC % {**DEFAULTS, place: _probe(place, name)}).diagnostics
        return [one for one in found if one.code.startswith("AE3") or one.code == "AE912"]

    proposed = 0
    for name in SEEN_ELSEWHERE:
        segments = name.split(".")
        wrong = [(name, -1)] + [
            (".".join([*segments[:at], _misspelt(segment), *segments[at + 1 :]]), at) for at, segment in enumerate(segments)
        ]
        for text, at in wrong:
            for one in faults(text):
                told = PROPOSAL.search(one.hint or "")
                if told is None:
                    continue
                if told["name"]:
                    names = [told["name"]]
                else:
                    at = next(i for i, s in enumerate(text.split(".")) if at < 0 or i == at)
                    parts = text.split(".")
                    names = [
                        ".".join([*parts[:at], segment, *parts[at + 1 :]])
                        for segment in ([told["segment"]] if told["segment"] else re.findall(r"'(.+?)'", told["list"]))
                    ]
                for better in names:
                    proposed += 1
                    left = [f.code for f in faults(better) if f.severity == "error"]
                    assert left == [] or (left == ["AE308"] and "dependencies" in str(one.hint)), (text, one.hint, better)
    assert proposed > 5


HERE = {
    "repeat": {"outputs.parameters.r": "tasks.body.outputs.parameters.r", "phase": "tasks.body.phase", "iterator.item": None},
    "loop_condition": {"dag.total": "loop.total"},
    "dag_condition": {"loop.total": "dag.total"},
    "config": {"tasks.first.phase": None},
}


@pytest.mark.rule("DATA-4")
@pytest.mark.parametrize("place", HERE)
def test_what_a_name_is_at_this_place(place: str, compiled: Compile) -> None:
    for name, here in HERE[place].items():
        found = compiled(SPEC % {**DEFAULTS, place: _probe(place, name)}).diagnostics
        [fault] = [one for one in found if one.code == "AE303"]
        assert (fault.hint == f"here it is {here}") == (here is not None), fault.hint


def test_the_table_covers_every_place() -> None:
    assert set(SEES) | {"declared"} == set(DEFAULTS)


ROWS: dict[str, tuple[str, list[str]]] = {
    "workflow parameter": ("{{workflow.parameters.nope}}", ["AE304"]),
    "its alias": ("{{workflow.arguments.parameters.nope}}", ["AE304"]),
    "field of the workflow": ("{{workflow.nmae}}", ["AE303"]),
    "parameters of the workflow as a whole": ("{{workflow.parameters}}", []),
    "system": ("{{system.cpu}}", ["AE303"]),
    "task": ("{{tasks.nope.phase}}", ["AE306"]),
    "field of a task": ("{{tasks.first.output}}", ["AE303"]),
    "output of a task": ("{{tasks.first.outputs.parameters.nope}}", ["AE307"]),
    "output artifact of a task": ("{{tasks.first.outputs.artifacts.nope}}", ["AE307"]),
    "output of a task without declarations": ("{{tasks.free.outputs.parameters.any-thing}}", []),
    "field of a value": ("{{tasks.first.outputs.parameters.r.deep[0]}}", []),
    "input": ("{{inputs.parameters.nope}}", ["AE305"]),
    "unknown namespaces stay": ("{{values.x}}", []),
    "nearly a namespace": ("{{task.first.phase}}", ["AE912"]),
    "malformed": ("{{inputs.parameters.d | upper}}", ["AE302"]),
    "escaped": ("{{{{inputs.parameters.nope}}", []),
    "nested": ({"a": ["{{tasks.nope.phase}}"]}, ["AE306"]),  # type: ignore[dict-item]
}


@pytest.mark.rule("SPEC-14", "DATA-5", "DATA-6")
@pytest.mark.parametrize("row", ROWS)
def test_names_of_an_argument(row: str, compiled: Compile) -> None:
    value, expected = ROWS[row]
    spec = """
        - dag:
            name: main
            inputs: {parameters: [{name: d, value: 1}]}
            tasks:
            - {name: first, template: step}
            - {name: free, executor: {type: noop}}
            - name: second
              dependencies: [first, free]
              template: step
              arguments: {parameters: [{name: t, value: VALUE}]}
        - task:
            name: step
            inputs: {parameters: [{name: t, value: 1}]}
            executor: {type: noop}
            outputs: {parameters: [{name: r}]}
    """
    text = f'"{value}"' if isinstance(value, str) else str(value)
    result = compiled(spec.replace("VALUE", text))
    assert [d.code for d in result.diagnostics] == expected
    below = ".a[0]" if row == "nested" else ""
    assert all(d.path == f"spec.templates[0].dag.tasks[2].arguments.parameters[0].value{below}" for d in result.diagnostics)


WHEN = """
- dag:
    name: main
    tasks:
    - {{name: a, executor: {{type: noop}}, when: "{}"}}
"""


@pytest.mark.rule("SPEC-14", "DATA-7")
@pytest.mark.parametrize(
    ("text", "code", "column"),
    [
        ("1 +", "AE301", None),
        ("workflow.name == oops", "AE309", 67),
        ("true and workflow.nmae == 'x'", "AE303", 59),
    ],
)
def test_expressions(text: str, code: str, column: int | None, compiled: Compile) -> None:
    [fault] = compiled(WHEN.format(text)).diagnostics
    assert fault.code == code
    if column is not None:
        assert fault.column == column


@pytest.mark.rule("DATA-6")
def test_an_unknown_namespace_is_an_error_only_where_the_document_is_to_run(compiled: Compile) -> None:
    spec = WHEN.format("deploy.cluster == 'east'")
    for strict, severity in ((False, "warning"), (True, "error")):
        result = compiled(spec, CompileOptions(strict=strict))
        assert [(d.code, d.severity) for d in result.diagnostics] == [("AE309", severity)]
        assert (result.plan is None) == strict
    assert compiled(spec, CompileOptions(strict=True, namespaces=frozenset({"deploy"}))).diagnostics == ()


ORDER = """
- dag:
    name: main
    tasks:
    - {name: a, executor: {type: noop}}
    - {name: b, executor: {type: noop}, dependencies: [a]}
    - {name: c, executor: {type: noop, config: {x: "{{tasks.%s}}"}}, dependencies: [b]}
    - {name: d, executor: {type: noop}}
"""


@pytest.mark.rule("SPEC-13")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("b.outputs.parameters.x", []),
        ("a.outputs.parameters.x", []),
        ("d.outputs.parameters.x", ["AE308"]),
        ("c.outputs.parameters.x", ["AE308"]),
        ("d.phase", ["AE908"]),
    ],
)
def test_outputs_are_read_of_dependencies_only(name: str, expected: list[str], compiled: Compile) -> None:
    assert [d.code for d in compiled(ORDER % name).diagnostics] == expected


@pytest.mark.rule("SPEC-13")
def test_a_task_that_merely_stands_earlier_is_a_warning(found: Found) -> None:
    spec = ORDER.replace("dependencies: [b]", "dependencies: []") % "a.outputs.parameters.x"
    assert found(spec) == ["AE908 spec.templates[0].dag.tasks[2].executor.config.x"]


@pytest.mark.rule("SCHED-2")
def test_what_is_outside_of_the_entrypoints_is_absent_and_a_warning_says_so(compiled: Compile) -> None:
    spec = (ORDER % "a.outputs.parameters.x").replace("name: main", "name: main\n    entrypoints: b")
    assert [(d.code, d.severity) for d in compiled(spec).diagnostics] == [("AE306", "warning")]


@pytest.mark.rule("DATA-12")
@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("inputs.parameters.s", True),
        ("workflow.parameters.s", True),
        ("inputs.parameters.t", True),
        ("inputs.parameters.u", False),
    ],
)
def test_a_secret_is_used_in_no_expression(name: str, secret: bool, compiled: Compile) -> None:
    source = "valueFrom: {secretKeyRef: {name: db, key: password}}"
    result = compiled(f"""
        entrypoint: main
        arguments: {{parameters: [{{name: s, {source}}}]}}
        templates:
        - task:
            name: main
            inputs:
              parameters:
              - {{name: s, {source}}}
              - {{name: t, value: "x{{{{workflow.parameters.s}}}}"}}
              - {{name: u, value: 1}}
            executor: {{type: noop, config: {{x: "{{{{{name}}}}}"}}}}
            phaseConditions: {{failed: "{name} == 'x'"}}
    """)
    assert [d.code for d in result.diagnostics] == (["AE310"] if secret else [])


@pytest.mark.rule("DATA-12")
def test_a_secret_is_followed_from_call_to_call(found: Found) -> None:
    spec = """
        - dag:
            name: main
            tasks:
            - name: a
              template: group
              arguments: {parameters: [{name: token, valueFrom: {secretKeyRef: {name: db, key: password}}}]}
        - dag:
            name: group
            inputs: {parameters: [{name: token}]}
            tasks:
            - name: b
              template: step
              arguments: {parameters: [{name: url, value: "https://{{inputs.parameters.token}}@host"}]}
            - {name: c, executor: {type: noop}, when: "inputs.parameters.token == ''"}
        - task:
            name: step
            inputs: {parameters: [{name: url}, {name: plain, default: 1}]}
            executor: {type: noop}
            phaseConditions: {failed: "inputs.parameters.plain == 1", error: "inputs.parameters.url == ''"}
    """
    assert found(spec) == [
        "AE310 spec.templates[1].dag.tasks[1].when",
        "AE310 spec.templates[2].task.phaseConditions.error",
    ]


def test_a_template_for_hooks_may_not_be_called_as_a_task(compiled: Compile) -> None:
    result = compiled("""
        - dag: {name: main, tasks: [{name: a, template: bye, hooks: {onExit: {template: bye}}}]}
        - task: {name: bye, executor: {type: noop, config: {x: "{{hook.event}}"}}}
    """)
    [fault] = result.diagnostics
    assert (fault.code, fault.message) == (
        "AE303",
        "'hook.event' is used outside of a hook: template 'bye' is called by 'main'",
    )


@pytest.mark.rule("DATA-14")
def test_a_workflow_parameter_sees_those_above_it(compiled: Compile) -> None:
    result = compiled("""
        entrypoint: main
        arguments:
          parameters:
          - {name: early, value: "{{workflow.parameters.late}}"}
          - {name: late, value: "{{workflow.parameters.early}}"}
        templates: [{task: {name: main, executor: {type: noop}}}]
    """)
    [fault] = result.diagnostics
    assert (fault.code, fault.path) == ("AE304", "spec.arguments.parameters[0].value")
    assert fault.hint == "it is declared below; a parameter sees those declared above it"


def test_self_is_the_name_of_each_call(compiled: Compile) -> None:
    result = compiled("""
        - dag: {name: main, tasks: [{name: a, template: step}, {name: b, template: step}]}
        - task: {name: step, executor: {type: noop}, phaseConditions: {failed: "tasks.a.phase == 'Failed'"}}
    """)
    [fault] = result.diagnostics
    assert (fault.code, fault.hint) == ("AE303", "of tasks it sees 'b' alone")


@pytest.mark.rule("DATA-2")
def test_an_undeclared_argument_that_a_call_passes_on_is_a_name(found: Found) -> None:
    spec = """
        - dag: {name: main, tasks: [{name: a, template: step, arguments: {parameters: [{name: extra, value: 1}]}}]}
        - task: {name: step, executor: {type: noop, config: {x: "{{inputs.parameters.extra}}"}}}
    """
    assert found(spec) == []
