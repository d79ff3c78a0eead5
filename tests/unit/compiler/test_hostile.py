"""Whatever a document looks like, the compiler gives findings or a plan and raises nothing (DOC-6)."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_value

BASE: dict[str, Any] = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "w"},
    "spec": {
        "entrypoint": "main",
        "arguments": {"parameters": [{"name": "p", "type": "int", "value": 1}]},
        "hooks": {"onExit": {"template": "bye"}},
        "retry": {"limit": 1, "expression": "code == 3"},
        "templates": [
            {
                "dag": {
                    "name": "main",
                    "inputs": {"parameters": [{"name": "p"}]},
                    "tasks": [
                        {"name": "a", "executor": {"type": "script", "config": {"source": "echo {{inputs.parameters.p}}"}}},
                        {
                            "name": "b",
                            "template": "each",
                            "dependencies": ["a"],
                            "when": "tasks.a.phase == 'Succeeded'",
                            "arguments": {"parameters": [{"name": "list", "value": "{{tasks.a.outputs.parameters.x}}"}]},
                            "hooks": {"onStart": {"template": "bye"}},
                        },
                        {"name": "c", "templateRef": {"name": "lib", "template": "t"}, "dependencies": ["b"]},
                    ],
                    "outputs": {"parameters": [{"name": "o", "valueFrom": {"parameter": "tasks.b.outputs.parameters.r"}}]},
                    "phaseConditions": {"failed": "dag.failed > 0"},
                }
            },
            {
                "loop": {
                    "name": "each",
                    "inputs": {"parameters": [{"name": "list", "type": "array"}]},
                    "itemsFrom": "{{inputs.parameters.list}}",
                    "body": "step",
                    "arguments": {"parameters": [{"name": "x", "value": "{{iterator.item}}"}]},
                    "aggregate": {"strategy": "list", "parameters": ["r"]},
                    "outputs": {"parameters": [{"name": "r", "type": "array"}]},
                }
            },
            {
                "task": {
                    "name": "step",
                    "inputs": {"parameters": [{"name": "x", "enum": [1, 2], "default": 1}], "artifacts": []},
                    "executor": {"type": "noop"},
                    "outputs": {"parameters": [{"name": "r"}]},
                    "retry": {"limit": 2, "backoff": {"duration": "1s"}},
                }
            },
            {"task": {"name": "bye", "executor": {"type": "noop", "config": {"x": "{{hook.event}}"}}}},
        ],
    },
}
LIBRARY: dict[str, Any] = {
    "apiVersion": "aether/v1",
    "kind": "WorkflowTemplate",
    "metadata": {"name": "lib"},
    "spec": {"templates": [{"task": {"name": "t", "executor": {"type": "noop"}}}]},
}
VALUES: tuple[Any, ...] = (
    None,
    5,
    "x",
    True,
    [],
    {},
    "{{tasks.a.phase}}",
    "{{",
    "1 +",
    [None],
    {"a": 1},
    "main",
    ["main"],
    "iterator.item",
)
KEYS = ("name", "template", "value", "valueFrom", "executor", "arguments", "when", "inputs", "items", "task", "dag")


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every (container, key) in a document."""
    found: list[tuple[Any, Any]] = []
    todo = [value]
    while todo:
        one = todo.pop()
        keys = list(one) if isinstance(one, dict) else range(len(one)) if isinstance(one, list) else ()
        for key in keys:
            found.append((one, key))
            todo.append(one[key])
    return found


def spoil(document: dict[str, Any], chance: random.Random) -> None:
    """Take away, replace, move or rename something somewhere."""
    container, key = chance.choice(places(document))
    match chance.randrange(4):
        case 0:
            del container[key]
        case 1:
            container[key] = chance.choice(VALUES)
        case 2:
            other, other_key = chance.choice(places(BASE))
            container[key] = copy.deepcopy(other[other_key])
        case _ if isinstance(container, dict):
            container[chance.choice(KEYS)] = container.pop(key)


def test_the_document_is_fine_as_it_is() -> None:
    file = load_value([BASE, LIBRARY])
    assert file.diagnostics == ()
    library = TemplateLibrary()
    library.add(file.documents[1])
    result = compile_document(file.documents[0], library)
    assert [d for d in result.diagnostics if d.severity == "error"] == []
    assert result.plan is not None


@pytest.mark.rule("DOC-6")
@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_spoiled_documents(seed: int) -> None:
    chance = random.Random(seed)
    document, other = copy.deepcopy(BASE), copy.deepcopy(LIBRARY)
    for _ in range(chance.randint(1, 4)):
        spoil(chance.choice((document, document, other)), chance)
    file = load_value([document, other])
    library = TemplateLibrary()
    for one in file.documents:
        library.add(one)
    for one in file.documents:
        result = compile_document(one, library, CompileOptions(strict=chance.random() < 0.5))
        if result.plan is None and one.kind in ("Workflow", "CronWorkflow"):
            assert any(d.severity == "error" for d in (*result.diagnostics, *file.diagnostics))
