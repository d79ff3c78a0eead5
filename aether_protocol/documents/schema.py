"""The published schema of aether/v1 (JSON Schema 2020-12), generated from the models, and the verdict it gives.

Law: the models are the source, `schemas/aether-v1.schema.json` is their picture (a test keeps them equal) and every
document passes it on its way in. Branches are chosen with if/then, never oneOf, so that an editor points at the fault.
`python -m aether_protocol.documents.schema > schemas/aether-v1.schema.json` draws the picture anew.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from aether_protocol.documents import models
from aether_protocol.documents.fields import Part, alias_of
from aether_protocol.expressions.values import Json

Schema = dict[str, Any]
FILE: Final = "aether-v1.schema.json"
URI: Final = "https://json-schema.org/draft/2020-12/schema"


def generate() -> Schema:
    """The schema, from the models."""
    from pydantic.json_schema import models_json_schema  # needed here only, not on the way of every document

    _, whole = models_json_schema([(model, "validation") for model in models.KINDS.values()], by_alias=True)
    definitions: Schema = whole["$defs"]
    documents = {kind: definitions.pop(kind) for kind in models.KINDS}
    for name, definition in definitions.items():
        _tidy(definition)
        _add_rules(definition, models.PARTS.get(name))
    common = documents["Workflow"]["properties"]
    return {
        "$schema": URI,
        "$id": "urn:aether-protocol:aether-v1",
        "title": "aether/v1 document",
        "description": "A workflow, a workflow on a schedule, or a library of templates.",
        "type": "object",
        "properties": {
            "apiVersion": {k: v for k, v in common["apiVersion"].items() if k != "type"},
            "kind": {"title": "kind", "description": "Kind of document.", "enum": [*models.KINDS]},
            "metadata": common["metadata"],
            "spec": {"title": "spec", "description": "What the document says; its fields follow from the kind."},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"properties": {"spec": document["properties"]["spec"]}},
            }
            for kind, document in documents.items()
        ],
        "$defs": definitions,
    }


def _tidy(schema: Schema) -> None:
    """Take out what pydantic says about Python, and turn unions of types into a choice by type."""
    if schema.get("default", ...) is None:
        del schema["default"]
    if (types := schema.pop("anyOf", None)) is not None:
        first, second = types
        shown = {key: first[key] for key in ("type",)}
        schema |= {"if": shown, "then": first, "else": second}
    for nested in (*schema.get("properties", {}).values(), *(schema[key] for key in _BELOW if key in schema)):
        if isinstance(nested, dict):
            _tidy(nested)


_BELOW: Final = ("items", "additionalProperties", "then", "else")


def _add_rules(definition: Schema, model: type[Part] | None) -> None:
    """What a model says about the presence of its fields."""
    if model is None:
        return
    if model.one_of:
        names = [alias_of(model, name) for name in model.one_of]
        definition |= _exactly_one(names)
    if model.needs:
        definition["dependentRequired"] = {
            alias_of(model, name): [alias_of(model, other) for other in others] for name, others in model.needs.items()
        }
    if model.excludes:
        definition["dependentSchemas"] = {
            alias_of(model, name): {"properties": {alias_of(model, other): False for other in others}}
            for name, others in model.excludes.items()
        }


def _exactly_one(names: list[str]) -> Schema:
    """if the first: none of the others; else if the second: ...; else the last one is needed."""
    *before, last = names
    chain: Schema = {"required": [last], "errorMessage": f"exactly one of {', '.join(names)} is needed"}
    for place in range(len(before) - 1, -1, -1):
        others = names[place + 1 :]
        chain = {
            "if": {"required": [names[place]]},
            "then": {"properties": dict.fromkeys(others, False)},
            "else": chain,
        }
    return chain


def render() -> str:
    """The text of the published file."""
    return json.dumps(generate(), indent=2, ensure_ascii=False) + "\n"


@cache
def published() -> Schema:
    """The schema as it ships: inside of the package in a wheel, beside it in a working copy."""
    package = Path(__file__).parents[1]
    packed = package / "schemas" / FILE
    place = packed if packed.is_file() else package.parent / "schemas" / FILE
    schema: Schema = json.loads(place.read_text(encoding="utf-8"))
    return schema


def _no_retrieval(uri: str) -> NoReturn:
    raise LookupError(f"{uri!r} is not read: schemas here are self-contained")


@cache
def verdict() -> Callable[[Json], bool]:
    """Whether a tree is valid by the published schema: by jsonschema-rs where it can be imported, else by jsonschema."""
    try:
        return rust_verdict()
    except ImportError:
        return python_verdict()


def rust_verdict() -> Callable[[Json], bool]:
    """By jsonschema-rs: 2.5 ms a megabyte."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(published(), retriever=_no_retrieval).is_valid


def python_verdict() -> Callable[[Json], bool]:
    """By jsonschema: a second a megabyte."""
    import re

    from jsonschema import Draft202012Validator
    from jsonschema.validators import extend
    from referencing import Registry

    @cache
    def search(pattern: str) -> Callable[[str], object]:
        # `$` also matches before a last line end in Python, but not in JSON Schema
        return re.compile(pattern.removesuffix("$") + r"\Z" if pattern.endswith("$") else pattern).search

    def matches(_validator: Any, pattern: str, instance: Json, _schema: Schema) -> Any:
        if isinstance(instance, str) and not search(pattern)(instance):
            from jsonschema import ValidationError

            yield ValidationError(f"{instance!r} does not match {pattern!r}")

    registry: Any = Registry(retrieve=_no_retrieval)  # type: ignore[call-arg]  # an attrs class with an alias
    kind: Any = extend(Draft202012Validator, {"pattern": matches})  # type: ignore[no-untyped-call]
    is_valid: Callable[[Json], bool] = kind(published(), registry=registry).is_valid
    return is_valid


if __name__ == "__main__":
    print(render(), end="")
