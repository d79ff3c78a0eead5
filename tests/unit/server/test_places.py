"""What documents say of files: a text is a text, and what lies on one machine is refused where others carry it out (RT-131)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.unit.server.serving import HELLO, serving

Client = TestClient[Any]

pytestmark = pytest.mark.rule("RT-131")

THERE = """apiVersion: aether/v1
kind: %s
metadata: {name: there}
spec: {entrypoint: main, templates: [{task: {name: main, executor: {type: fail}}}]}
"""


def bodies(text: str) -> list[tuple[str, dict[str, Any]]]:
    """Every route that takes the text of documents, and every place in its body."""
    given = [{"name": text, "text": text}]
    library = [{"name": text, "documents": given}]
    lacks = {**HELLO, "spec": {"workflowTemplateRef": {"name": "there"}}}
    return [
        ("/v1/runs", {"document": text}),
        ("/v1/runs", {"document": text, "file": text}),
        ("/v1/runs", {"document": text, "idempotencyKey": "k"}),
        ("/v1/runs", {"document": lacks, "library": library}),
        ("/v1/runs", {"name": text}),
        ("/v1/documents", {"documents": given}),
        ("/v1/documents", {"documents": given, "dryRun": True}),
        ("/v1/schedules", {"documents": given}),
        ("/v1/validate", {"document": text}),
        ("/v1/validate", {"documents": given}),
        ("/v1/validate", {"document": lacks, "library": library}),
    ]


@pytest.mark.parametrize("kind", ["Workflow", "WorkflowTemplate"])
@pytest.mark.parametrize("relative", [False, True])
def test_no_route_opens_the_file_that_a_text_names(
    kind: str, relative: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a document of the server's machine nor anything else there."""
    (tmp_path / "there.yaml").write_text(THERE % kind)
    (tmp_path / "secret").write_text("password-of-the-server")
    monkeypatch.chdir(tmp_path)
    with serving() as client:
        for name in ("there.yaml", "secret"):
            text = name if relative else str(tmp_path / name)
            for route, body in bodies(text):
                answer = client.post(route, json=body)
                if route == "/v1/validate":
                    assert answer.json()["valid"] is False
                else:
                    assert answer.status_code in (400, 404, 422), (route, body, answer.text)
                assert "password-of-the-server" not in answer.text
        assert client.get("/v1/runs").json()["runs"] == []
        assert client.get("/v1/documents").json()["documents"] == []


PLACES = """apiVersion: aether/v1
kind: %s
metadata: {name: places}
spec:
  entrypoint: main
  templates:
    - task:
        name: main
        executor:
          type: script
          config:
            runtime: sh
            workingDir: document
            env: {WHERE: "$AETHER_DOCUMENT_DIR/x"}
            source: cat "$AETHER_DOCUMENT_DIR/input"
        inputs:
          artifacts:
            - {name: file, path: file, source: {type: local, config: {path: /etc/hostname}}}
"""
FOUND = [("AE407", 13), ("AE407", 14), ("AE407", 15), ("AE407", 18)]


def faults(answer: Any) -> list[tuple[str, int]]:
    assert answer.status_code == 422, answer.text
    return [(one["code"], one["line"]) for one in answer.json()["diagnostics"] if one["severity"] == "error"]


@pytest.mark.parametrize("dry_run", [False, True])
def test_files_of_one_machine_are_refused_at_submission_with_their_lines(dry_run: bool) -> None:
    """However a document comes."""
    workflow = PLACES % "Workflow"
    template = PLACES % "WorkflowTemplate"
    with serving() as client:
        assert faults(client.post("/v1/runs", json={"document": workflow})) == FOUND
        checked = client.post("/v1/validate", json={"document": workflow}).json()
        assert [(one["code"], one["line"]) for one in checked["diagnostics"]] == FOUND
        for text in (workflow, template):
            given = {"documents": [{"name": "places.yaml", "text": text}], "dryRun": dry_run}
            assert faults(client.post("/v1/documents", json=given)) == FOUND
        caller = {**HELLO, "spec": {"workflowTemplateRef": {"name": "places"}}}
        library = [{"name": "lib", "documents": [{"name": "places.yaml", "text": template}]}]
        assert faults(client.post("/v1/runs", json={"document": caller, "library": library})) == FOUND
        assert client.get("/v1/runs").json()["runs"] == []


def test_a_schedule_is_refused_likewise() -> None:
    text = """apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: places}
spec:
  schedule: "0 3 * * *"
  workflowSpec:
    entrypoint: main
    templates:
      - {task: {name: main, executor: {type: process, config: {command: [ls], workingDir: document}}}}
"""
    with serving() as client:
        for route in ("/v1/schedules", "/v1/documents"):
            answer = client.post(route, json={"documents": [{"name": "cron.yaml", "text": text}]})
            assert faults(answer) == [("AE407", 9)]


def test_a_working_directory_of_another_name_is_no_fault() -> None:
    """Sibling: what lies in the workspace of the attempt."""
    text = PLACES % "Workflow"
    text = text.replace("workingDir: document", "workingDir: .").replace("AETHER_DOCUMENT_DIR", "AETHER_RUN_DIR")
    text = text.replace("{type: local, config: {path: /etc/hostname}}", "{type: raw, config: {text: x}}")
    with serving() as client:
        assert client.post("/v1/runs", json={"document": text}).status_code == 201
