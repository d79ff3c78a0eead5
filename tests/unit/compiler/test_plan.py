"""What a plan is made of: sources in their order, policies that win, graphs as integers (DATA-1, SPEC-3, SCHED-2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aether_protocol.compiler.compile import Compiled, CompileOptions
from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import (
    Call,
    Computed,
    ContinueOn,
    DagDef,
    HookEvent,
    ItemField,
    Kind,
    Literal,
    LoopDef,
    Plan,
    Reference,
    Retry,
    SecretRef,
    Source,
    TaskDef,
    Templated,
)

Compile = Callable[..., Compiled]


def plan_of(result: Compiled) -> Plan:
    assert [d for d in result.diagnostics if d.severity == "error"] == []
    assert result.plan is not None
    return result.plan


def tasks_of(plan: Plan) -> dict[str, Call]:
    assert isinstance(plan.root.target, DagDef)
    return {call.name: call for call in plan.root.target.tasks}


def shown(source: Source) -> Any:
    """A source in short."""
    match source:
        case Literal(value):
            return value
        case Templated(template, optional):
            return ("templated", template.raw, optional)
        case Reference(name):
            return ("name", name.text)
        case Computed(expression):
            return ("computed", expression.text)
        case SecretRef(name, key):
            return ("secret", name, key)
        case ItemField(field):
            return ("item", field)


def sources(call: Call) -> dict[str, list[Any]]:
    return {binding.name: [shown(source) for source in binding.sources] for binding in call.inputs}


@pytest.mark.rule("DATA-1", "DATA-2", "DATA-13")
def test_sources_in_their_order(compiled: Compile) -> None:
    plan = plan_of(
        compiled("""
        entrypoint: main
        arguments: {parameters: [{name: p, type: int, value: 3.0, default: 4}]}
        templates:
        - dag:
            name: main
            inputs: {parameters: [{name: p}, {name: q, default: 1}]}
            tasks:
            - name: a
              template: step
              arguments:
                parameters:
                - {name: x, value: "{{inputs.parameters.p}}", valueFrom: {parameter: inputs.parameters.q}}
                - {name: y, value: null, valueFrom: {path: inputs.parameters.q}}
                - {name: z, value: "{{{{literal"}
                - {name: more, value: [1]}
                - {name: nothing, value: null}
            - {name: b, template: step}
        - task:
            name: step
            executor: {type: noop}
            inputs:
              parameters:
              - {name: x, type: int, value: "{{workflow.parameters.p}}", valueFrom: {expression: "1 + 1"}, default: 5.0}
              - {name: y, default: null}
              - {name: z, valueFrom: {secretKeyRef: {name: s, key: k}}}
    """)
    )
    calls = tasks_of(plan)
    declared_x = [("templated", "{{workflow.parameters.p}}", False), ("computed", "1 + 1"), 5]
    assert sources(calls["a"]) == {
        "x": [("templated", "{{inputs.parameters.p}}", True), ("name", "inputs.parameters.q"), *declared_x],
        "y": [("name", "inputs.parameters.q"), None],
        "z": ["{{literal", ("secret", "s", "k")],
        "more": [[1]],
    }
    assert [b.declared for b in calls["a"].inputs] == [True, True, True, False]
    assert [b.type for b in calls["a"].inputs] == ["integer", "any", "any", "any"]
    assert sources(calls["b"]) == {"x": declared_x, "y": [None], "z": [("secret", "s", "k")]}
    assert sources(plan.root) == {"p": [("name", "workflow.parameters.p")], "q": [1]}
    [parameter] = plan.parameters
    assert (parameter.type, [shown(s) for s in parameter.sources]) == ("integer", [3, 4])
    assert type(parameter.sources[0].value) is int  # type: ignore[union-attr]


@pytest.mark.rule("SPEC-3", "SPEC-5", "SCHED-9")
def test_the_call_wins_over_the_definition(compiled: Compile) -> None:
    plan = plan_of(
        compiled("""
        entrypoint: main
        timeout: 1h30m
        priority: 7
        retry: {limit: 9, backoff: {duration: 0s, jitter: 0.5}}
        hooks: {onSuccess: {template: own}, onExit: {template: step}}
        templates:
        - dag:
            name: main
            continueOn: {failed: true}
            tasks:
            - {name: plain, template: step}
            - {name: own, template: own}
            - name: call
              template: own
              timeout: 500ms
              retry: {limit: 1}
              continueOn: {error: true}
              phaseConditions: {error: "code == 1"}
              hooks: {onSuspend: {template: step}}
            - {name: inner, template: inner, timeout: 3s, retry: {limit: 1}}
        - dag: {name: inner, timeout: 2s, phaseConditions: {failed: "false"}, tasks: [{name: a, executor: {type: noop}}]}
        - task: {name: step, executor: {type: noop}}
        - task: {name: own, executor: {type: noop}, timeout: 2s, retry: {limit: 5}, phaseConditions: {failed: "false"}}
    """)
    )
    calls = tasks_of(plan)
    assert (plan.timeout_us, plan.priority) == (5_400_000_000, 7)
    default = Retry(9, None, 0, 2.0, 60_000_000, 0.5)
    assert calls["plain"].retry == default
    assert (calls["own"].retry, calls["own"].timeout_us) == (Retry(5), 2_000_000)
    assert (calls["call"].retry, calls["call"].timeout_us) == (Retry(1), 500_000)
    own, call = calls["own"].phase_conditions, calls["call"].phase_conditions
    assert own is not None
    assert own.failed is not None
    assert call is not None
    assert (call.failed, call.error.text if call.error else None) == (None, "code == 1")
    assert (calls["call"].continue_on, calls["own"].continue_on) == (ContinueOn(error=True), None)
    assert plan.root.target.continue_on == ContinueOn(failed=True)  # type: ignore[union-attr]
    assert (calls["inner"].retry, calls["inner"].timeout_us, calls["inner"].kind) == (None, 3_000_000, Kind.DAG)
    assert calls["inner"].phase_conditions is not None
    assert list(calls["call"].hooks) == [HookEvent.ON_SUSPEND]
    assert {event: call.retry for event, call in plan.hooks.items()} == {
        HookEvent.ON_SUCCESS: Retry(5),
        HookEvent.ON_EXIT: None,
    }
    assert calls["own"].target is calls["call"].target


@pytest.mark.rule("SCHED-2")
def test_entrypoints_leave_tasks_out(compiled: Compile) -> None:
    plan = plan_of(
        compiled("""
        - dag:
            name: main
            entrypoints: [b, d]
            tasks:
            - {name: a, executor: {type: noop}}
            - {name: b, executor: {type: noop}, dependencies: [a]}
            - {name: c, executor: {type: noop}, dependencies: [a]}
            - {name: d, executor: {type: noop}}
            - {name: e, executor: {type: noop}, dependencies: [b, c, d, b]}
    """)
    )
    dag = plan.root.target
    assert isinstance(dag, DagDef)
    assert [(call.name, call.position, call.dependencies) for call in dag.tasks] == [
        ("b", 0, ()),
        ("d", 1, ()),
        ("e", 2, (0, 1)),
    ]
    assert (dag.indegree, dag.dependents, dag.roots) == ((0, 0, 2), ((2,), (2,), ()), (0, 1))
    assert (dict(dag.index), dag.leaves) == ({"b": 0, "d": 1, "e": 2}, 3)


@pytest.mark.rule("SPEC-4", "LOOP-6", "LOOP-7")
def test_loops(compiled: Compile) -> None:
    plan = plan_of(
        compiled("""
        - dag: {name: main, tasks: [{name: l, template: l}, {name: r, template: r}, {name: f, template: f}]}
        - loop:
            name: l
            body: step
            items: [{x: 1, y: 2}]
            concurrency: 0
            arguments: {parameters: [{name: y, value: "{{iterator.item.y}}"}]}
            aggregate: {strategy: list, parameters: [o]}
            outputs:
              parameters:
              - {name: o}
              - {name: renamed, type: array, valueFrom: {parameter: o}}
              - {name: n, type: int, valueFrom: {expression: len(outputs.parameters.renamed)}}
        - loop:
            {name: r, body: step, repeatCondition: "false", maxIterations: 3, arguments: {parameters: [{name: x, value: 1}]}}
        - loop: {name: f, body: step, itemsFrom: "[{'x': 1}]", maxIterations: 4}
        - task:
            name: step
            executor: {type: noop}
            inputs: {parameters: [{name: x}, {name: y, default: 0}]}
            outputs: {parameters: [{name: o}, {name: p}]}
    """)
    )
    calls = tasks_of(plan)
    loop, repeat, computed = (calls[name].target for name in ("l", "r", "f"))
    assert isinstance(loop, LoopDef)
    assert isinstance(repeat, LoopDef)
    assert isinstance(computed, LoopDef)
    assert (loop.strategy, loop.parameters, loop.body_outputs, loop.concurrency) == ("list", ("o",), ("o", "p"), 0)
    assert sources(loop.body) == {"x": [("item", "x")], "y": [("templated", "{{iterator.item.y}}", True), 0]}
    assert loop.body.name == "step"
    assert [(o.name, [shown(s) for s in o.sources]) for o in loop.outputs] == [
        ("o", []),
        ("renamed", [("name", "o")]),
        ("n", [("computed", "len(outputs.parameters.renamed)")]),
    ]
    assert (repeat.concurrency, repeat.max_iterations, sources(repeat.body)) == (1, 3, {"x": [1], "y": [0]})
    assert (computed.max_iterations, computed.strategy, computed.parameters) == (4, "last", None)
    assert computed.items is None
    assert getattr(computed.items_from, "text", None) == "[{'x': 1}]"


@pytest.mark.rule("SPEC-6", "DATA-9", "ART-1", "ART-2")
def test_outputs_and_artifacts_of_tasks(compiled: Compile) -> None:
    plan = plan_of(
        compiled("""
        - dag:
            name: main
            outputs: {artifacts: [{name: all, from: tasks.a.outputs.artifacts.out}]}
            tasks:
            - name: a
              executor: {type: script, config: {source: "x"}}
              resources: {cpu: 2, memory: 512Mi}
              outputs:
                parameters: [{name: text, valueFrom: {path: out.txt}}, {name: same, value: 1, type: number}]
                artifacts: [{name: out, path: out, archive: {type: zip}}]
            - name: b
              template: step
              dependencies: [a]
              arguments: {artifacts: [{name: f, from: tasks.a.outputs.artifacts.out}, {name: more, source: {type: x}}]}
        - task: {name: step, executor: {type: noop}, inputs: {artifacts: [{name: f, path: here, source: {type: y}}]}}
    """)
    )
    calls = tasks_of(plan)
    task = calls["a"].target
    assert isinstance(task, TaskDef)
    assert [(o.name, o.file, [shown(s) for s in o.sources]) for o in task.outputs] == [
        ("text", "out.txt", []),
        ("same", None, [1]),
    ]
    assert [(o.name, o.path, o.archive) for o in task.artifacts] == [("out", "out", "zip")]
    assert task.resources is not None
    assert (task.resources.cpu, task.resources.memory, task.resources.gpu) == ("2", "512Mi", None)
    f, more = calls["b"].artifacts
    assert (f.name, f.path, f.from_.text if f.from_ else None, f.source) == ("f", "here", "tasks.a.outputs.artifacts.out", None)
    assert (more.name, more.path, more.source.type if more.source else None) == ("more", None, "x")
    dag = plan.root.target
    assert isinstance(dag, DagDef)
    assert [(o.name, o.from_.text if o.from_ else None) for o in dag.artifacts] == [("all", "tasks.a.outputs.artifacts.out")]


@pytest.mark.rule("SPEC-6")
def test_a_path_is_a_name_where_outputs_are_no_files(compiled: Compile) -> None:
    spec = """
        - task:
            name: main
            executor: {type: tool}
            outputs: {parameters: [{name: x, valueFrom: {path: outputs.parameters.y}}, {name: y}]}
    """
    for files, expected in ((False, (None, [("name", "outputs.parameters.y")])), (True, ("outputs.parameters.y", []))):
        types = {"tool": ExecutorType("tool", "For tests.", open_config=True, files=files)}
        plan = plan_of(compiled(spec, CompileOptions(executor_types=types)))
        task = plan.root.target
        assert isinstance(task, TaskDef)
        assert (task.outputs[0].file, [shown(s) for s in task.outputs[0].sources]) == expected


@pytest.mark.rule("EXT-1")
def test_extensions_are_carried_and_the_nearer_ones_win_by_key(compiled: Compile) -> None:
    plan = plan_of(
        compiled(
            """
            workflowTemplateRef: {name: lib}
            extensions: {concurrency: 2}
            """,
            lib="""
            entrypoint: main
            extensions: {concurrency: 9, ui: {title: lost}}
            templates:
              - task: {name: work, executor: {type: noop}, extensions: {concurrency: 1, cache: {maxAge: 1h}, a.b: [1]}}
              - loop: {name: each, body: work, items: [1], extensions: {ui: {group: g}}}
              - dag:
                  name: main
                  extensions: {placement: {pool: p}}
                  tasks:
                    - {name: a, template: work, extensions: {concurrency: 5, ui: {title: A}}}
                    - {name: b, template: each}
                    - {name: c, executor: {type: noop}, extensions: {retention: {}}}
                    - {name: d, executor: {type: noop}}
            """,
        )
    )
    for one in (plan, decode_plan(encode_plan(plan))):
        assert one.extensions == {"concurrency": 2}
        assert one.root.extensions == {"placement": {"pool": "p"}}
        tasks = tasks_of(one)
        assert {name: call.extensions for name, call in tasks.items()} == {
            "a": {"concurrency": 5, "cache": {"maxAge": "1h"}, "a.b": [1], "ui": {"title": "A"}},
            "b": {"ui": {"group": "g"}},
            "c": {"retention": {}},
            "d": None,
        }
        loop = tasks["b"].target
        assert isinstance(loop, LoopDef)
        assert loop.body.extensions == {"concurrency": 1, "cache": {"maxAge": "1h"}, "a.b": [1]}
