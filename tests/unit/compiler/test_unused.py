"""Shared templates that nothing uses, and what is said where a WorkflowTemplate is not found (TMPL-2)."""

from __future__ import annotations

import pytest

from aether_protocol.compiler.checks.unused import unused
from aether_protocol.compiler.compile import compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_bytes
from tests.unit.compiler.conftest import document

CALLER = "- dag: {name: main, tasks: [{name: a, templateRef: {name: lib, template: %s}}]}"
LIB = """
templates:
- dag: {name: group, tasks: [{name: x, template: step}]}
- task: {name: step, executor: {type: noop}}
- loop: {name: rounds, items: [1], body: step}
"""


def told(*texts: str) -> list[str]:
    """What is unused among these documents, as `path: message`."""
    documents = load_bytes("\n---\n".join(texts).encode(), "w.yaml").documents
    library = TemplateLibrary()
    for one in documents:
        library.add(one)
    results = [(one.kind, compile_document(one, library)) for one in documents]
    assert [d for _, result in results for d in result.diagnostics if d.severity == "error"] == []
    uses = frozenset(use for kind, result in results if kind != "WorkflowTemplate" for use in result.uses)
    found = list(unused(documents, uses))
    assert {(d.code, d.severity, bool(d.line)) for d in found} <= {("AE914", "warning", True)}
    return [f"{d.path}: {d.message}" for d in found]


@pytest.mark.rule("TMPL-2")
def test_each_template_that_no_workflow_leads_to() -> None:
    lib = document(LIB, kind="WorkflowTemplate", name="lib")
    assert told(document(CALLER % "group"), lib) == [
        "spec.templates[2].loop.name: nothing uses template 'rounds' of WorkflowTemplate 'lib'"
    ]
    assert told(document(CALLER % "step"), lib) == [
        "spec.templates[0].dag.name: nothing uses template 'group' of WorkflowTemplate 'lib'",
        "spec.templates[2].loop.name: nothing uses template 'rounds' of WorkflowTemplate 'lib'",
    ]
    assert told(document(CALLER % "group"), lib, document(CALLER % "rounds", name="v")) == []


@pytest.mark.rule("TMPL-2")
def test_a_whole_library_is_told_once() -> None:
    lib = document(LIB, kind="WorkflowTemplate", name="lib")
    call = "templates: [{dag: {name: up, tasks: [{name: a, templateRef: {name: lib, template: group}}]}}]"
    other = document(call, kind="WorkflowTemplate", name="other")
    bare = document("- task: {name: main, executor: {type: noop}}")
    # nothing uses `other`, so its reference to `lib` is none
    assert told(bare, lib, other) == [
        "metadata.name: nothing uses WorkflowTemplate 'lib'",
        "metadata.name: nothing uses WorkflowTemplate 'other'",
    ]


@pytest.mark.rule("TMPL-2")
def test_libraries_alone_are_for_others() -> None:
    assert told(document(LIB, kind="WorkflowTemplate", name="lib")) == []


@pytest.mark.rule("TMPL-1", "TMPL-2")
def test_of_a_spec_that_is_taken_over_what_its_entrypoint_and_hooks_lead_to() -> None:
    base = document(
        """
        entrypoint: first
        templates:
        - task: {name: first, executor: {type: noop}}
        - task: {name: second, executor: {type: noop}}
        - task: {name: third, executor: {type: noop}}
        """,
        kind="WorkflowTemplate",
        name="base",
    )
    taken = "workflowTemplateRef: {name: base}\n"
    assert [line.partition(":")[0] for line in told(document(taken), base)] == [
        "spec.templates[1].task.name",
        "spec.templates[2].task.name",
    ]
    other = taken + "entrypoint: second\nhooks: {onExit: {template: third}}"
    assert [line.partition(":")[0] for line in told(document(other), base)] == ["spec.templates[0].task.name"]
    assert told(document(taken), document(other, name="v"), base) == []


@pytest.mark.rule("TMPL-2")
def test_the_workflow_of_a_schedule_uses_templates() -> None:
    spec = 'schedule: "@daily"\nworkflowSpec: {workflowTemplateRef: {name: base}}'
    templates = "entrypoint: a\ntemplates: [{task: {name: a, executor: {type: noop}}}]"
    base = document(templates, kind="WorkflowTemplate", name="base")
    assert told(document(spec, kind="CronWorkflow"), base) == []


@pytest.mark.rule("TMPL-2", "SPEC-10")
@pytest.mark.parametrize(
    ("name", "namespace", "hint"),
    [
        ("shelf", "default", "it is in namespace 'tools': add namespace: tools"),
        ("shelve", "tools", "did you mean 'shelf'?"),
        ("far-away", "tools", "it was looked for in the same file, then in lib"),
    ],
)
def test_what_is_advised_for_a_template_that_is_not_found(name: str, namespace: str, hint: str) -> None:
    farther = TemplateLibrary(place="lib")
    text = document("templates: [{task: {name: t, executor: {type: noop}}}]", kind="WorkflowTemplate", name="shelf")
    (lib,) = load_bytes(text.replace("{name: shelf}", "{name: shelf, namespace: tools}").encode(), "lib.yaml").documents
    farther.add(lib)
    caller = document(f"workflowTemplateRef: {{name: {name}, namespace: {namespace}}}")
    (one,) = load_bytes(caller.encode(), "w.yaml").documents
    (fault,) = compile_document(one, TemplateLibrary(farther, "the same file")).diagnostics
    assert (fault.code, fault.hint) == ("AE203", hint)
