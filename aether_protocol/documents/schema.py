"""The published schema of aether/v1 and the verdict that it gives.

Law: `schemas/aether-v1.schema.json` is generated from the definitions (models/generate.py; a test keeps them equal), and every
document passes it on its way in.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NoReturn

from aether_protocol.expressions.values import Json

Schema = dict[str, Any]
FILE: Final = "aether-v1.schema.json"
REF: Final = "#/$defs/"
URI: Final = "https://json-schema.org/draft/2020-12/schema"


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


def scalars_by_schema(schema: Schema, root: Json) -> Iterator[tuple[Any, str | int, Schema]]:
    """Every scalar of a document: its container, its key or index there, and what the schema says of it (`{}`: anything)."""
    definitions: Schema = schema["$defs"]
    todo: list[tuple[Any, Json]] = [(schema, root)]
    if type(root) is dict:
        todo += [
            (branch["then"]["properties"]["spec"], root.get("spec"))
            for branch in schema["allOf"]
            if branch["if"]["properties"]["kind"]["const"] == root.get("kind")
        ]
    while todo:
        asked, node = todo.pop()
        asked = _resolved(asked, definitions)
        fields, others, items = asked.get("properties", {}), asked.get("additionalProperties"), asked.get("items")
        if type(node) not in (dict, list):
            continue
        for key in node if type(node) is dict else range(len(node)):
            below = _resolved(items if type(node) is list else fields.get(key, others), definitions)
            if type(node[key]) in (dict, list):
                todo.append((below, node[key]))
            else:
                yield node, key, below


def _resolved(schema: Any, definitions: Schema) -> Schema:
    """What a schema says, of a choice between a list and something else the list; nothing where any value may stand."""
    while isinstance(schema, dict):
        if "$ref" in schema:
            schema = definitions[schema["$ref"].removeprefix(REF)]
        elif "type" in schema.get("if", ()):
            schema = next((one for one in (schema["then"], schema["else"]) if one.get("type") == "array"), None)
        else:
            return schema
    return {}
