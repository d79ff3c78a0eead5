"""A JSON Schema of an object as a table of fields: what people read of it, and what DOC-10 needs to know of its types.

The table says less than the schema, which alone decides what is valid: of a choice (`anyOf`, `oneOf`) it shows the first
type that is not null, and what has no single type is `any`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField

DEPTH: Final = 8  # levels that are shown; a schema may refer to itself
FORMATS: Final = {"aether-duration": "duration", "aether-size": "size"}  # `duration` alone is ISO 8601's, as pydantic writes

_TYPES: Final = frozenset({"string", "number", "integer", "boolean", "object", "array"})


def fields_of(schema: Mapping[str, Json]) -> tuple[ConfigField, ...]:
    """The properties of an object's schema as fields."""
    return _fields(schema, schema, 0)


def _fields(schema: Mapping[str, Json], root: Mapping[str, Json], depth: int) -> tuple[ConfigField, ...]:
    if depth >= DEPTH:
        return ()
    required = schema.get("required") or ()
    properties: Mapping[str, Json] = schema.get("properties") or {}
    return tuple(_field(name, below, name in required, root, depth) for name, below in properties.items())


def _field(name: str, schema: Json, required: bool, root: Mapping[str, Json], depth: int) -> ConfigField:
    written: Mapping[str, Json] = schema if isinstance(schema, Mapping) else {}
    shape = shape_of(written, root)
    below = shape_of(shape.get("items"), root)
    entries = shape_of(shape.get("additionalProperties"), root)
    enum = shape.get("enum") or ([shape["const"]] if "const" in shape else None)
    return ConfigField(
        name,
        type_of(shape),
        _sentence(written.get("description") or shape.get("description") or written.get("title") or name),
        required=required,
        default=written.get("default"),
        enum=tuple(enum) if enum else None,
        items=type_of(below) if below else None,
        minimum=shape.get("minimum", shape.get("minItems")),
        maximum=shape.get("maximum"),
        fields=_fields(shape, root, depth + 1),
        text=bool(entries) and type_of(entries) == "string",
    )


def shape_of(schema: Json, root: Mapping[str, Json]) -> Mapping[str, Json]:
    """A schema with its references followed, and of a choice the first that is not null; {} where it says nothing."""
    for _ in range(DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        reference = schema.get("$ref")
        choices = schema.get("anyOf") or schema.get("oneOf")
        if isinstance(reference, str):
            schema = _referred(reference, root)
        elif choices:
            schema = next((one for one in choices if isinstance(one, Mapping) and one.get("type") != "null"), {})
        else:
            return schema
    return {}


def _referred(reference: str, root: Mapping[str, Json]) -> Json:
    found: Any = root
    for step in reference.removeprefix("#").split("/")[1:]:
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, Mapping) else None
    return found


def type_of(schema: Mapping[str, Json]) -> str:
    """The type of a field: one of DOC-9, `duration` or `size`."""
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [one for one in kind if one != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    if kind is None and "const" not in schema and "enum" not in schema:
        kind = "object" if "properties" in schema else None
    return kind if kind in _TYPES else "any"


def _sentence(text: Json) -> str:
    shown = str(text)
    return shown if shown.endswith((".", "!", "?")) else f"{shown}."
