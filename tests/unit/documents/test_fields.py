"""DOC-2..9, SPEC-1..9: what is wrong with fields is said once, where it is, in words that help."""

from __future__ import annotations

from typing import Any

import pytest

from aether_protocol.documents.load import LoadedFile, load_bytes, load_value

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: w}\nspec:\n  entrypoint: main\n"
TASK = {"name": "t", "executor": {"type": "noop"}}


def workflow(**spec: Any) -> dict[str, Any]:
    """A valid workflow with one task template, and `spec` over it."""
    base = {"entrypoint": "t", "templates": [{"task": dict(TASK)}]}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "w"}, "spec": {**base, **spec}}


def task(**fields: Any) -> dict[str, Any]:
    return workflow(templates=[{"task": {**TASK, **fields}}])


def dag(**fields: Any) -> dict[str, Any]:
    return workflow(templates=[{"dag": {"name": "d", "tasks": [dict(TASK)], **fields}}])


def loop(**fields: Any) -> dict[str, Any]:
    return workflow(templates=[{"loop": {"name": "l", "body": "t", **fields}}])


def cron(**fields: Any) -> dict[str, Any]:
    spec = {"schedule": "@daily", "workflowSpec": workflow()["spec"], **fields}
    return {**workflow(), "kind": "CronWorkflow", "spec": spec}


def shown(loaded: LoadedFile) -> list[str]:
    return [f"{fault.code} {fault.path}: {fault.message}" for fault in loaded.diagnostics]


VALID: list[tuple[str, dict[str, Any]]] = [
    ("plain", workflow()),
    ("whole floats are integers", workflow(priority=500.0, maxNestedDepth=3.0)),
    ("entrypoint may be missing with a reference", workflow() | {"spec": {"workflowTemplateRef": {"name": "x"}}}),
    ("library without entrypoint", {**workflow(), "kind": "WorkflowTemplate", "spec": {"templates": [{"task": TASK}]}}),
    ("entrypoints as a name", dag(entrypoints="t")),
    ("entrypoints as a list", dag(entrypoints=["t"])),
    ("no items", loop(items=[])),
    ("items as a placeholder", loop(items=" {{inputs.parameters.x}} ")),
    ("unlimited", loop(itemsFrom="x", concurrency=0)),
    ("repeat", loop(repeatCondition="true", maxIterations=10_000)),
    ("no first wait", task(retry={"backoff": {"duration": "0s"}})),
    ("resources of both types", task(resources={"cpu": 2, "memory": "1Gi", "gpu": 0.5})),
    ("hooks", workflow(hooks={"onExit": {"template": "t"}})),
    ("aliases of types", task(inputs={"parameters": [{"name": n, "type": n} for n in ("int", "float", "bool")]})),
    ("null values", task(inputs={"parameters": [{"name": "a", "value": None, "default": None, "enum": [None]}]})),
    ("cron", cron(startAt="2026-01-01T00:00:00Z", endAt="2026-01-01t00:00:00.5+00:00", timezone="Europe/Vienna")),
    ("five fields", cron(schedule="*/5 0-6,12 1 JAN MON-FRI")),
    (
        "whole metadata",
        workflow() | {"metadata": {"name": "a" * 63, "namespace": "n", "version": "1.0.0-rc.1+5", "labels": {"A.b": ""}}},
    ),
]


@pytest.mark.rule("DOC-3", "DOC-9", "SPEC-2", "SPEC-3", "SPEC-4", "SPEC-5", "SPEC-6", "SPEC-7", "SPEC-8")
@pytest.mark.parametrize("document", [pytest.param(document, id=name) for name, document in VALID])
def test_valid(document: dict[str, Any]) -> None:
    loaded = load_value(document)
    assert shown(loaded) == []
    assert loaded.documents[0].model is not None


FAULTY: list[tuple[dict[str, Any], list[str]]] = [
    (workflow() | {"apiVersion": "aether/v2"}, ["AE123 apiVersion: expected 'aether/v1', found 'aether/v2'"]),
    (
        workflow() | {"kind": "Workflo"},
        ["AE123 kind: expected one of 'Workflow', 'CronWorkflow' or 'WorkflowTemplate', found 'Workflo'"],
    ),
    (
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "data": {}},
        [
            "AE121 : missing field 'spec'",
            "AE120 data: unknown field 'data'",
            "AE123 apiVersion: expected 'aether/v1', found 'v1'",
            "AE123 kind: expected one of 'Workflow', 'CronWorkflow' or 'WorkflowTemplate', found 'Secret'",
        ],
    ),
    (workflow() | {"metadata": {}}, ["AE121 metadata: missing field 'name'"]),
    (workflow() | {"metadata": {"name": "a.b"}}, ["AE124 metadata.name: 'a.b' is not a DNS-1123 label"]),
    (workflow() | {"metadata": {"name": "a" * 64}}, [f"AE124 metadata.name: {'a' * 64!r} is not a DNS-1123 label"]),
    (workflow() | {"metadata": {"name": "a\n"}}, ["AE124 metadata.name: 'a\\n' is not a DNS-1123 label"]),
    (workflow() | {"metadata": {"name": "a", "version": "v1"}}, ["AE124 metadata.version: 'v1' is not a semantic version"]),
    (workflow() | {"metadata": {"name": "a", "labels": {"x": 1}}}, ["AE122 metadata.labels.x: expected text, found 1"]),
    (workflow(entrypoint=None), ["AE122 spec.entrypoint: expected text, found null"]),
    (workflow(timeout=5), ["AE122 spec.timeout: expected a duration, found 5"]),
    (workflow(timeout="5 m"), ["AE124 spec.timeout: '5 m' is not a duration"]),
    (workflow(timeout="0h0m"), ["AE124 spec.timeout: '0h0m' is zero, and a duration is longer"]),
    (workflow(timeout="-1h"), ["AE124 spec.timeout: '-1h' is not a duration"]),
    (workflow(timeout="1m1h"), ["AE124 spec.timeout: '1m1h' is not a duration"]),
    (workflow(priority=1001), ["AE125 spec.priority: 1001 is out of bounds"]),
    (workflow(priority=1.5), ["AE122 spec.priority: expected a whole number, found 1.5"]),
    (workflow(priority=True), ["AE122 spec.priority: expected a whole number, found true"]),
    (workflow(maxNestedDepth=0), ["AE125 spec.maxNestedDepth: 0 is out of bounds"]),
    (workflow(templates=[]), ["AE125 spec.templates: the list is empty"]),
    (workflow(templates={}), ["AE122 spec.templates: expected a list, found an empty mapping"]),
    (
        workflow(workflowTemplateRef={"name": "x"}),
        [
            "AE126 spec: expected exactly one of 'templates' and 'workflowTemplateRef', "
            "found 'templates' and 'workflowTemplateRef'"
        ],
    ),
    (
        workflow(templates=[{}]),
        ["AE126 spec.templates[0]: expected exactly one of 'dag', 'task' and 'loop', found none"],
    ),
    (
        workflow(templates=[{"task": TASK}, {"task": TASK}]),
        ["AE130 spec.templates[1].task.name: template name 't' is already taken by templates[0]"],
    ),
    (dag(tasks=[TASK, TASK]), ["AE130 spec.templates[0].dag.tasks[1].name: task name 't' is already taken by tasks[0]"]),
    (workflow(templates=[{"task": {"name": "t"}}]), ["AE121 spec.templates[0].task: missing field 'executor'"]),
    (
        workflow(templates=[{"task": {"name": "t", "template": "x"}}]),
        ["AE121 spec.templates[0].task: missing field 'executor'"],
    ),
    (
        dag(tasks=[{"name": "t"}]),
        ["AE126 spec.templates[0].dag.tasks[0]: expected exactly one of 'template', 'templateRef' and 'executor', found none"],
    ),
    (task(when=True), ["AE122 spec.templates[0].task.when: expected text, found true"]),
    (task(retry={"limit": 101}), ["AE125 spec.templates[0].task.retry.limit: 101 is out of bounds"]),
    (task(retry={"backoff": {"factor": 0.5}}), ["AE125 spec.templates[0].task.retry.backoff.factor: 0.5 is out of bounds"]),
    (task(retry={"backoff": {"jitter": 2}}), ["AE125 spec.templates[0].task.retry.backoff.jitter: 2 is out of bounds"]),
    (
        task(retry={"backoff": {"maxDuration": "0s"}}),
        ["AE124 spec.templates[0].task.retry.backoff.maxDuration: '0s' is zero, and a duration is longer"],
    ),
    (
        task(inputs={"parameters": [{"name": "a"}, {"name": "a"}]}),
        ["AE130 spec.templates[0].task.inputs.parameters[1].name: parameter name 'a' is already taken by parameters[0]"],
    ),
    (
        task(inputs={"parameters": [{"name": "a", "valueFrom": {"parameter": "x", "expression": "y"}}]}),
        [
            "AE126 spec.templates[0].task.inputs.parameters[0].valueFrom: expected exactly one of 'parameter', 'expression', "
            "'path' and 'secretKeyRef', found 'parameter' and 'expression'"
        ],
    ),
    (
        task(inputs={"artifacts": [{"name": "a", "from": "x", "source": {"type": "http"}}]}),
        ["AE127 spec.templates[0].task.inputs.artifacts[0].source: field 'source' does not go with 'from'"],
    ),
    (task(resources={"cpu": True}), ["AE122 spec.templates[0].task.resources.cpu: expected text or a number, found true"]),
    (dag(entrypoints=5), ["AE122 spec.templates[0].dag.entrypoints: expected a list or text, found 5"]),
    (
        loop(),
        [
            "AE126 spec.templates[0].loop: expected exactly one of 'items', 'itemsFrom' and 'repeatCondition', found none",
        ],
    ),
    (loop(items="a,b"), ["AE124 spec.templates[0].loop.items: 'a,b' is not one placeholder"]),
    (loop(items=[1, 2, 3], maxIterations=2), ["AE132 spec.templates[0].loop.items: 3 items exceed maxIterations 2"]),
    (loop(repeatCondition="x"), ["AE121 spec.templates[0].loop: missing field 'maxIterations'"]),
    (
        loop(repeatCondition="x", maxIterations=3, concurrency=2),
        ["AE127 spec.templates[0].loop.concurrency: field 'concurrency' does not go with 'repeatCondition'"],
    ),
    (loop(items=[1], maxIterations=10_001), ["AE125 spec.templates[0].loop.maxIterations: 10001 is out of bounds"]),
    (loop(items=[1], concurrency=-1), ["AE125 spec.templates[0].loop.concurrency: -1 is out of bounds"]),
    (cron(schedule="* * * *"), ["AE124 spec.schedule: '* * * *' is not a schedule"]),
    (cron(schedule="@never"), ["AE124 spec.schedule: '@never' is not a schedule"]),
    (cron(startAt="2026-02-30T00:00:00Z"), ["AE133 spec.startAt: '2026-02-30T00:00:00Z' is not a day of the calendar"]),
    (
        cron(startAt="2026-01-02T00:00:00Z", endAt="2026-01-02T01:00:00+01:00"),
        ["AE134 spec.endAt: endAt '2026-01-02T01:00:00+01:00' is not after startAt '2026-01-02T00:00:00Z'"],
    ),
    (cron(startAt="yesterday"), ["AE124 spec.startAt: 'yesterday' is not an RFC 3339 instant"]),
    (
        cron(startAt="2026-05-01", endAt="2026-05-01T00:00:00Z"),
        ["AE124 spec.startAt: '2026-05-01' is not an RFC 3339 instant"],
    ),
    (cron(startingDeadlineSeconds=0), ["AE125 spec.startingDeadlineSeconds: 0 is out of bounds"]),
    (
        {
            **workflow(),
            "kind": "WorkflowTemplate",
            "spec": {"workflowTemplateRef": {"name": "x"}, "templates": [{"task": TASK}]},
        },
        ["AE120 spec.workflowTemplateRef: unknown field 'workflowTemplateRef'"],
    ),
]


@pytest.mark.rule(
    "DOC-2", "DOC-3", "DOC-4", "DOC-5", "DOC-8", "SPEC-1", "SPEC-2", "SPEC-3", "SPEC-4", "SPEC-5", "SPEC-6", "SPEC-7"
)
@pytest.mark.parametrize(("document", "expected"), FAULTY)
def test_faulty(document: dict[str, Any], expected: list[str]) -> None:
    assert sorted(shown(load_value(document))) == sorted(expected)


@pytest.mark.parametrize(
    ("written", "meant"),
    [("entrypont", "entrypoint"), ("entry_point", "entrypoint"), ("Entrypoint", "entrypoint"), ("timeOut", "timeout")],
)
@pytest.mark.rule("DOC-5")
def test_the_nearest_field_is_suggested(written: str, meant: str) -> None:
    document = workflow()
    document["spec"][written] = document["spec"].pop(meant, "1h")
    (fault,) = load_value(document).diagnostics
    assert (fault.code, fault.path, fault.hint) == ("AE120", f"spec.{written}", f"did you mean {meant!r}?")


@pytest.mark.rule("DOC-5", "DOC-7")
def test_a_typo_hides_nothing_and_leads_to_nothing_else() -> None:
    text = HEAD + (
        "  templats:\n"
        "    - dag:\n"
        "        name: main\n"
        "        taks:\n"
        "          - name: a\n"
        "            executr: {tpye: noop}\n"
        "            timeout: soon\n"
        "          - name: b\n"
        "            template: gone\n"
        "            dependsOn: [a]\n"
    )
    loaded = load_bytes(text.encode(), "f.yaml")
    found = [(fault.code, fault.line, fault.column, fault.path) for fault in loaded.diagnostics]
    assert found == [
        ("AE120", 6, 3, "spec.templats"),
        ("AE120", 9, 9, "spec.templats[0].dag.taks"),
        ("AE120", 11, 13, "spec.templats[0].dag.taks[0].executr"),
        ("AE120", 11, 23, "spec.templats[0].dag.taks[0].executr.tpye"),
        ("AE124", 12, 22, "spec.templats[0].dag.taks[0].timeout"),
        ("AE120", 15, 13, "spec.templats[0].dag.taks[1].dependsOn"),
    ]
    (document,) = loaded.documents
    assert document.model is not None
    branch = document.model.spec.templates[0].dag  # type: ignore[union-attr,index]
    assert branch is not None
    assert [task.name for task in branch.tasks] == ["a", "b"]
    assert branch.tasks[0].executor is not None
    assert branch.tasks[0].executor.type == "noop"
    path = ("spec", "templates", 0, "dag", "tasks", 1, "template")
    assert document.locate(path) == (14, 23)
    finding = document.report("AE105", path, "for example")
    assert (finding.line, finding.column, finding.path) == (14, 23, "spec.templats[0].dag.taks[1].template")


@pytest.mark.rule("DOC-7")
def test_dropped_entries_keep_the_positions_of_the_others() -> None:
    text = (
        HEAD
        + "  templates:\n    - 5\n    - task: {name: main, executor: {type: noop}}\n"
        + "    - {}\n    - dag: {name: d, tasks: [x]}\n"
    )
    (document,) = load_bytes(text.encode(), "f.yaml").documents
    assert document.model is not None
    templates = document.model.spec.templates  # type: ignore[union-attr]
    assert [(template.task or template.dag).name for template in templates] == ["main", "d"]
    assert document.written(("spec", "templates", 1, "dag")) == ("spec", "templates", 3, "dag")
    assert document.locate(("spec", "templates", 1, "dag", "name")) == (10, 19)
    assert ("spec", "templates") in document.incomplete
    assert ("spec", "templates", 1, "dag", "tasks") in document.incomplete


def test_what_a_merge_key_would_bring_is_not_missed() -> None:
    text = HEAD + "  templates:\n    - task: &t {name: main, executor: {type: noop}}\n    - task: {name: x, <<: *t}\n"
    loaded = load_bytes(text.encode(), "f.yaml")
    assert [fault.code for fault in loaded.diagnostics] == ["AE111"]


def test_a_missing_kind_is_guessed_for_the_rest() -> None:
    text = "apiVersion: aether/v1\nmetadata: {name: w}\nspec: {entrypoint: t, tempaltes: []}\n"
    assert [fault.code for fault in load_bytes(text.encode(), "f.yaml").diagnostics] == ["AE121", "AE120", "AE125"]


@pytest.mark.rule("DOC-7")
def test_every_fault_has_all_its_parts() -> None:
    for document, _ in FAULTY:
        for fault in load_value(document, "given").diagnostics:
            assert fault.file == "given"
            assert (fault.line, fault.column) == (0, 0)
            assert fault.severity == "error"
            assert not fault.message.endswith(".")
            assert fault.hint is None or not fault.hint.endswith(".")
