"""What a workflow takes: what a form is made from, without a secret."""

from __future__ import annotations

from typing import Any

from msgspec import json

from aether_protocol import Engine
from aether_protocol.service.documents.parameters import DeclaredParameter, parameters_of
from tests.documents import submitted

NOOP = {"name": "a", "executor": {"type": "noop"}}
SECRET = {"secretKeyRef": {"name": "warehouse-login", "key": "password"}}


def declared(*parameters: dict[str, Any]) -> dict[str, DeclaredParameter]:
    document = submitted(NOOP, arguments={"parameters": list(parameters)})
    return {one.name: one for one in parameters_of(Engine().plan(document)).parameters}


def test_types_values_and_what_is_said_of_them() -> None:
    found = declared(
        {"name": "day", "description": "Which day."},
        {"name": "rows", "type": "int", "default": 5},
        {"name": "mode", "type": "string", "enum": ["fast", "safe"], "value": "safe", "default": "fast"},
        {"name": "none", "type": "any", "default": None},
        {"name": "label", "type": "string", "value": "run of {{workflow.parameters.day}}"},
        {"name": "double", "type": "integer", "valueFrom": {"expression": "workflow.parameters.rows * 2"}},
        {"name": "same", "valueFrom": {"parameter": "workflow.parameters.day"}, "default": 1},
    )
    assert list(found) == ["day", "rows", "mode", "none", "label", "double", "same"]
    assert found["day"] == DeclaredParameter("day", "any", "Which day.", None, True, None, None, False)
    assert found["rows"] == DeclaredParameter("rows", "integer", None, None, False, 5, None, False)
    assert (found["mode"].enum, found["mode"].default) == (["fast", "safe"], "safe")
    assert (found["none"].required, found["none"].default) == (False, None)
    assert found["label"].computed == "run of {{workflow.parameters.day}}"
    assert found["double"].computed == "workflow.parameters.rows * 2"
    assert (found["same"].computed, found["same"].default) == ("workflow.parameters.day", None)


def test_a_secret_and_what_is_made_from_it_say_nothing() -> None:
    found = declared(
        {"name": "password", "valueFrom": SECRET},
        {"name": "url", "value": "db://me:{{workflow.parameters.password}}@host"},
        {"name": "copy", "valueFrom": {"parameter": "workflow.parameters.url"}, "default": "open sesame"},
        {"name": "plain", "value": "x"},
    )
    assert [one.secret for one in found.values()] == [True, True, True, False]
    assert [(one.default, one.computed, one.required) for one in found.values() if one.secret] == [(None, None, False)] * 3
    told = json.encode(list(found.values())).decode()
    assert "warehouse" not in told
    assert "sesame" not in told


def test_what_a_template_says_of_them_counts_where_the_workflow_says_nothing(tmp_path: Any) -> None:
    base = {
        "apiVersion": "aether/v1", "kind": "WorkflowTemplate", "metadata": {"name": "base"},
        "spec": {
            **submitted(NOOP)["spec"],
            "arguments": {"parameters": [
                {"name": "rows", "type": "integer", "description": "How many.", "default": 1},
                {"name": "day", "type": "string", "description": "Which day."},
            ]},
        },
    }  # fmt: skip
    mine = {"name": "day", "description": "The day of the order.", "value": "monday"}
    workflow = {
        "apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "uses"},
        "spec": {"workflowTemplateRef": {"name": "base"}, "arguments": {"parameters": [mine]}},
    }  # fmt: skip
    file = tmp_path / "base.json"
    file.write_bytes(json.encode(base))
    plan = Engine(library=[file]).plan(workflow)
    found = {one.name: one for one in parameters_of(plan).parameters}
    assert (found["rows"].description, found["rows"].default, found["rows"].type) == ("How many.", 1, "integer")
    assert (found["day"].description, found["day"].default) == ("The day of the order.", "monday")
    assert found["day"].type == "string"
