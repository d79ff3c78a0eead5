"""The published schema: drawn from the models, self-contained, closed, and good to have in an editor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from aether_protocol.documents import schema
from aether_protocol.documents.acceptance import Acceptance
from aether_protocol.documents.definitions import generate

SCHEMA = schema.published()


def nodes(value: Any, path: str = "#") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(value, dict):
        yield path, value
        for key, below in value.items():
            yield from nodes(below, f"{path}/{key}")
    elif isinstance(value, list):
        for index, below in enumerate(value):
            yield from nodes(below, f"{path}/{index}")


OBJECTS = {name: part for name, part in SCHEMA["$defs"].items() if part["type"] == "object"} | {"": SCHEMA}


def test_generated_files_are_what_the_definitions_give() -> None:
    package = Path(schema.__file__).parents[1]
    command = "run python -m aether_protocol.documents.definitions.generate"
    assert (package.parent / "schemas" / schema.FILE).read_text(encoding="utf-8") == generate.schema_text(), command
    assert (package / "documents" / "models" / "_structs.py").read_text(encoding="utf-8") == generate.structs_text(), command


def test_it_is_a_schema_of_2020_12() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_it_refers_to_nothing_outside() -> None:
    references = {node["$ref"] for _, node in nodes(SCHEMA) if "$ref" in node}
    assert all(reference.removeprefix("#/$defs/") in SCHEMA["$defs"] for reference in references)
    assert {reference.removeprefix("#/$defs/") for reference in references} == set(SCHEMA["$defs"])


@pytest.mark.rule("DOC-5")
def test_every_object_is_closed() -> None:
    for name, part in OBJECTS.items():
        assert part["additionalProperties"] is False, name


def test_every_field_has_a_title_and_hover_text() -> None:
    for name, part in OBJECTS.items():
        for field, about in part["properties"].items():
            assert about.get("title"), (name, field)
            assert about.get("description", "").endswith("."), (name, field)


def test_branches_are_never_one_of() -> None:
    assert not [path for path, node in nodes(SCHEMA) if {"oneOf", "anyOf"} & node.keys()]


def test_python_does_not_shine_through() -> None:
    words = str(SCHEMA)
    for text in ("A-Za-z0-9_", "A-Za-z0-9._-", "[A-Za-z_]", "status_code"):
        words = words.replace(text, "")
    for word in ("_", "'ge'", "'le'", "ClassVar", "Opt["):
        assert word not in words


@pytest.mark.parametrize("make", [schema.rust_verdict, schema.python_verdict])
def test_both_libraries_read_it(make: Any) -> None:
    verdict = make()
    task = {"name": "t", "executor": {"type": "noop"}}
    document = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"entrypoint": "t", "templates": [{"task": task}]},
    }
    assert verdict(document)
    assert not verdict({**document, "metadata": {"name": "w\n"}})
    assert not verdict({**document, "spec": {}})


def test_without_the_rust_library_the_other_one_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError

    monkeypatch.setattr(schema, "rust_verdict", missing)
    schema.verdict.cache_clear()
    try:
        assert not schema.verdict()({"kind": "Workflow"})
    finally:
        schema.verdict.cache_clear()


def test_defaults_stand_in_the_schema() -> None:
    spec = SCHEMA["$defs"]["WorkflowSpec"]["properties"]
    assert {name: spec[name]["default"] for name in ("timeout", "priority", "maxNestedDepth")} == {
        "timeout": "1h",
        "priority": 500,
        "maxNestedDepth": 3,
    }
    for part in generate.DEFINITIONS.values():
        for field in part.model_fields.values():
            assert field.description


def test_small_documents_are_judged_without_a_library_and_large_ones_with_it() -> None:
    asked: list[str] = []

    def library() -> Any:
        asked.append("library")
        return schema.rust_verdict()

    task = {"task": {"name": "t", "executor": {"type": "noop"}}}
    valid = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "w"},
        "spec": {"entrypoint": "t", "templates": [task]},
    }
    accepted = Acceptance(small=30, library=library)
    assert accepted(valid, 12)
    assert not accepted({**valid, "spec": {}}, 6)
    assert not accepted([], 1)
    assert asked == []
    assert accepted(valid, 12)
    assert asked == ["library"]  # together they are no longer small
    assert not accepted({**valid, "kind": "Workflows"}, 31)
    assert asked == ["library"] * 2
