"""WorkflowTemplates: taken whole by workflowTemplateRef, template by template by templateRef (TMPL-1, TMPL-2, DOC-1)."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from aether_protocol.compiler.compile import Compiled, CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_bytes
from aether_protocol.plan.model import DagDef, HookEvent, Literal, Retry, TaskDef

Compile = Callable[..., Compiled]
Found = Callable[..., list[str]]

BASE = """
entrypoint: main
timeout: 2h
priority: 3
retry: {limit: 4}
arguments: {parameters: [{name: a, type: integer, value: 1}, {name: b, default: 2}]}
templates:
- task: {name: main, executor: {type: noop, config: {x: "{{workflow.parameters.a}} {{workflow.parameters.c}}"}}}
- task: {name: bye, executor: {type: noop}}
"""


@pytest.mark.rule("TMPL-1")
def test_the_workflows_fields_win_and_arguments_merge(compiled: Compile) -> None:
    result = compiled(
        """
        workflowTemplateRef: {name: base}
        priority: 9
        hooks: {onExit: {template: bye}}
        arguments: {parameters: [{name: a, default: 5}, {name: c, value: 7}]}
        """,
        base=BASE,
    )
    assert result.diagnostics == ()
    plan = result.plan
    assert plan is not None
    assert (plan.name, plan.priority, plan.timeout_us, plan.root.retry) == ("w", 9, 7_200_000_000, Retry(4))
    assert list(plan.hooks) == [HookEvent.ON_EXIT]
    assert {p.name: (p.type, p.sources) for p in plan.parameters} == {
        "a": ("integer", (Literal(5),)),
        "b": ("any", (Literal(2),)),
        "c": ("any", (Literal(7),)),
    }
    assert plan.root.target.library is None
    assert [one["metadata"]["name"] for one in plan.snapshot["library"]] == ["base"]


@pytest.mark.rule("TMPL-1", "SPEC-10")
def test_faults_stand_where_they_are_written(compiled: Compile) -> None:
    result = compiled(
        """
        workflowTemplateRef: {name: base}
        hooks: {onExit: {template: gone}}
        arguments: {parameters: [{name: a, value: one}]}
        """,
        base=BASE,
    )
    assert [f"{d.code} {d.line} {d.path}" for d in result.diagnostics] == [
        "AE204 6 spec.hooks.onExit.template",
        "AE213 7 spec.arguments.parameters[0].value",
        "AE304 19 spec.templates[0].task.executor.config.x",
    ]


@pytest.mark.rule("TMPL-2", "SPEC-10")
def test_references_that_lead_nowhere(found: Found) -> None:
    library = "templates: [{task: {name: t, executor: {type: noop}}}]"
    assert found("workflowTemplateRef: {name: base}") == ["AE203 spec.workflowTemplateRef.name"]
    assert found("workflowTemplateRef: {name: lib}", lib=library) == ["AE202 spec.workflowTemplateRef"]
    call = "- dag: {name: main, tasks: [{name: a, templateRef: {name: lib, template: %s}}]}"
    assert found(call % "x", lib=library) == ["AE210 spec.templates[0].dag.tasks[0].templateRef.template"]
    other = call.replace("name: lib,", "name: lib, namespace: far,")
    assert found(other % "t", lib=library) == ["AE203 spec.templates[0].dag.tasks[0].templateRef.name"]


@pytest.mark.rule("TMPL-1")
def test_a_called_template_looks_names_up_in_its_own_library(compiled: Compile) -> None:
    result = compiled(
        """
        entrypoint: main
        arguments: {parameters: [{name: a, value: 1}]}
        templates:
        - dag: {name: main, tasks: [{name: x, templateRef: {name: lib, template: group}}, {name: y, template: step}]}
        - task: {name: step, executor: {type: noop}}
        """,
        lib="""
        arguments: {parameters: [{name: own, value: 2}]}
        retry: {limit: 5}
        templates:
        - dag: {name: group, tasks: [{name: x, template: step}, {name: z, templateRef: {name: more, template: step}}]}
        - task:
            name: step
            executor: {type: echo, config: {x: "{{workflow.parameters.a}}{{workflow.parameters.own}}"}}
        - dag: {name: broken, tasks: [{name: a, template: gone}]}
        """,
        more="templates: [{task: {name: step, executor: {type: fail}}}]",
    )
    assert result.diagnostics == ()
    plan = result.plan
    assert plan is not None
    main = plan.root.target
    assert isinstance(main, DagDef)
    group, step = main.tasks[0].target, main.tasks[1].target
    assert isinstance(group, DagDef)
    inner, far = group.tasks[0].target, group.tasks[1].target
    assert isinstance(inner, TaskDef)
    assert isinstance(far, TaskDef)
    assert (inner.executor_type, far.executor_type) == ("echo", "fail")
    assert step is not inner
    assert inner.library is not None
    assert inner.library is group.library
    assert (inner.library.name, list(inner.library.parameters)) == ("lib", ["own"])
    assert far.library is not None
    assert far.library.name == "more"
    assert main.library is None
    assert group.tasks[0].retry is None  # the workflow's default counts, not the library's
    assert [one["metadata"]["name"] for one in plan.snapshot["library"]] == ["lib", "more"]


@pytest.mark.rule("SPEC-8")
def test_a_library_is_checked_as_a_whole_and_has_no_plan(found: Found) -> None:
    spec = """
        templates:
        - dag: {name: main, tasks: [{name: a, template: gone}]}
        - task: {name: step, executor: {type: noop, config: {x: "{{workflow.parameters.of-the-run}}{{workflow.nmae}}"}}}
    """
    assert found(spec, kind="WorkflowTemplate") == [
        "AE204 spec.templates[0].dag.tasks[0].template",
        "AE304 spec.templates[1].task.executor.config.x",
        "AE303 spec.templates[1].task.executor.config.x",
    ]


@pytest.mark.rule("DOC-1")
def test_the_workflow_of_a_schedule(compiled: Compile) -> None:
    spec = """
        schedule: "@daily"
        workflowSpec:
          entrypoint: main
          templates: [{task: {name: main, executor: {type: noop, config: {x: "{{%s}}"}}}}]
    """
    plan = compiled(spec % "workflow.scheduledTime", kind="CronWorkflow").plan
    assert plan is not None
    assert plan.snapshot["workflow"]["kind"] == "CronWorkflow"
    [fault] = compiled(spec % "workflow.time", kind="CronWorkflow").diagnostics
    assert fault.path == "spec.workflowSpec.templates[0].task.executor.config.x"


@pytest.mark.rule("TMPL-2")
def test_the_digest_tells_documents_apart_and_not_their_layout() -> None:
    text = "{apiVersion: aether/v1, kind: Workflow, metadata: {name: w}, spec: {entrypoint: m, templates: [{task: %s}]}}"
    digests = []
    for task in (
        "{name: m, executor: {type: noop}}",
        "{executor: {'type': noop}, name: m}",
        "{name: m, executor: {type: echo}}",
    ):
        [document] = load_bytes((text % task).encode(), "w.yaml").documents
        plan = compile_document(document).plan
        assert plan is not None
        digests.append(plan.digest)
    assert digests[0] == digests[1] != digests[2]
    assert all(len(digest) == 64 for digest in digests)


REFERENCE = Path(__file__).parents[4] / "shared" / "reference-documents"


def test_reference_documents_compile() -> None:
    """Documents written for other runtimes, where they lie beside the project."""
    for path in sorted(REFERENCE.glob("*.json")):
        [document] = load_bytes(path.read_bytes(), os.fspath(path)).documents
        result = compile_document(document, TemplateLibrary(), CompileOptions(namespaces=frozenset({"deploy"}), strict=True))
        assert [d for d in result.diagnostics if d.severity == "error"] == []
        assert result.plan is not None
