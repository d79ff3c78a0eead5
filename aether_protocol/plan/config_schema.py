"""The config of an executor type as JSON Schema (2020-12), for editors.

Law: made from the same table as the checks, and never stricter than they are. Branches are chosen with if/else, so that an
editor points at the fault; text with a placeholder and null fit everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions.durations import PATTERN
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.plan.schema_check import UNKNOWN, opened

EXECUTOR: Final = "ExecutorSpec"  # its definition in the schema of documents
_OPEN: Final = {"anyOf": [{"type": "null"}, {"type": "string", "pattern": r"\{\{"}]}  # not known yet, or left out
_WORDS: Final = {"type": "string"}
_DATA: Final = frozenset({"const", "default", "enum", "examples"})  # what stands behind these words is data
_TYPES: Final[dict[str, dict[str, Json]]] = {
    "any": {},
    "string": {"type": ["string", "number", "boolean"]},  # a plain scalar keeps its spelling where text is meant
    "duration": {"type": "string", "pattern": PATTERN},
    "size": {"type": ["string", "number"]},
}


def with_configs(schema: dict[str, Json], types: ExecutorTypes) -> dict[str, Json]:
    """The schema of documents, which also knows the configs of these executors."""
    definitions = dict(schema["$defs"])
    branches = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"properties": {"config": config_schema(types[name])}},
        }
        for name in sorted(types)
    ]
    definitions[EXECUTOR] = {**definitions[EXECUTOR], "allOf": branches}
    return {**schema, "$defs": definitions}


def config_schema(type_: ExecutorType) -> dict[str, Json]:
    """The config of one executor type."""
    if type_.schema is not None:
        # an id of its own, so that references go on to mean this schema and not the one around it
        declared = {"$id": f"urn:aether-protocol:executor:{type_.name}", **opened(dict(type_.schema))}
        return {"description": type_.description, "if": _OPEN, "else": declared}
    return {"description": type_.description, "if": _OPEN, "else": _object(type_.config, open_=type_.open_config)}


def text_fields(schema: Mapping[str, Json]) -> tuple[ConfigField, ...]:
    """Give the fields in which only text is meant (DOC-10), of a config whose schema `config_schema` made.

    Args:
        schema: of an object, without what is around it (`if`, `else`).
    """
    found = []
    properties = schema.get("properties")
    for name, shown in properties.items() if isinstance(properties, dict) else ():
        typed = shown
        while isinstance(typed, dict) and "if" in typed:
            typed = typed.get("else")
        if typed is shown or not isinstance(typed, dict):  # made elsewhere: what looks the same may mean something else
            continue
        if typed == _TYPES["string"]:
            found.append(ConfigField(name, "string", ""))
        elif within := text_fields(typed):
            found.append(ConfigField(name, "object", "", fields=within))
        elif isinstance(items := typed.get("items"), dict) and items.get("else") == _TYPES["string"]:
            found.append(ConfigField(name, "array", "", items="string"))
    return tuple(found)


def without_conditions(schema: Json) -> Json:
    """Undo in a schema that `config_schema` made what lets unknown texts pass. What checks documents opens a schema itself, and
    passes over conditions: they may depend on what is not known yet."""
    if isinstance(schema, list):
        return [without_conditions(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    plain = {word: value if word in _DATA else without_conditions(value) for word, value in schema.items()}
    condition = schema.get("if")
    if condition not in (_OPEN, UNKNOWN, _WORDS) or "else" not in schema:
        return plain
    shown = {word: value for word, value in plain.items() if word not in ("if", "then", "else")}
    if condition == UNKNOWN:
        return plain["else"] if isinstance(plain["else"], bool) else {**shown, **plain["else"]}
    first = {"type": "null"} if condition == _OPEN else plain.get("then", True)
    return {**shown, "anyOf": [first, plain["else"]]}


def _object(fields: tuple[ConfigField, ...], *, open_: bool) -> dict[str, Json]:
    found: dict[str, Json] = {"type": "object", "properties": {field.name: _field(field) for field in fields}}
    required = [field.name for field in fields if field.required]
    if required:
        found["required"] = required
    if not open_:
        found["additionalProperties"] = False
    return found


def _field(field: ConfigField) -> dict[str, Json]:
    shown: dict[str, Json] = {"title": field.name, "description": field.description}
    if field.default is not None:
        shown["default"] = field.default
    typed = _typed(field)
    if field.words:
        typed = {"if": _WORDS, "then": {"enum": list(field.words)}, "else": typed}
    return {**shown, "if": _OPEN, "else": typed} if typed else shown


def _typed(field: ConfigField) -> dict[str, Json]:
    if field.fields:
        return _object(field.fields, open_=False)
    if field.enum is not None:
        return {"enum": list(field.enum)}
    typed = dict(_TYPES.get(field.type, {"type": field.type}))
    if field.type == "array":
        if field.items is not None:
            typed["items"] = {"if": _OPEN, "else": _TYPES.get(field.items, {"type": field.items})}
        if field.minimum is not None:
            typed["minItems"] = int(field.minimum)
        return typed
    if field.minimum is not None:
        typed["minimum"] = field.minimum
    if field.maximum is not None:
        typed["maximum"] = field.maximum
    return typed
