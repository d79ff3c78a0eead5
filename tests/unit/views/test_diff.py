"""What differs between two runs: pure, from their reports and documents."""

from __future__ import annotations

from typing import Any

from aether_protocol.views.diff import document_difference, durations


def task(path: str, started: str | None, finished: str | None, kind: str = "task") -> dict[str, Any]:
    return {"path": path, "templateType": kind, "startedAt": started, "finishedAt": finished}


def test_durations_are_told_by_task_and_leave_out_containers_and_what_did_not_end() -> None:
    ours = {"tasks": [
        task("main", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "dag"),
        task("main.a", "2026-01-01T00:00:00Z", "2026-01-01T00:00:01.500000Z"),
        task("main.b", "2026-01-01T00:00:02Z", None),
    ]}
    day = "2026-01-02T00:00"
    theirs = {"tasks": [task("main.a", f"{day}:00Z", f"{day}:04Z"), task("main.c", f"{day}:00Z", f"{day}:00Z")]}
    found = [(one.path, one.before, one.after) for one in durations(ours, theirs)]
    assert found == [("main.a", 1.5, 4.0), ("main.c", None, 0.0)]


def test_documents_are_compared_as_text_by_their_names() -> None:
    def document(kind: str, name: str, source: str) -> dict[str, Any]:
        return {"kind": kind, "metadata": {"name": name}, "spec": {"source": source}}

    templates = [document("WorkflowTemplate", "t", "same"), document("WorkflowTemplate", "u", "x")]
    before = [document("Workflow", "one", "echo 1"), *templates]
    after = [document("Workflow", "one", "echo 2"), document("WorkflowTemplate", "t", "same")]
    found = document_difference(before, after)
    assert "-  source: echo 1" in found
    assert "+  source: echo 2" in found
    assert "--- WorkflowTemplate default/u" in found
    assert not any("default/t" in line for line in found)
    assert document_difference(before, before) == []
