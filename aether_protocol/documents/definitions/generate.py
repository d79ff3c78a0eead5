"""Make the published schema (JSON Schema 2020-12) and the structs from the definitions.

`python -m aether_protocol.documents.definitions.generate` writes both: schemas/aether-v1.schema.json and models/_structs.py. A
test compares both files with what this gives. Branches of the schema are chosen with if/then, never oneOf, so that an editor
points at the fault.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic.fields import FieldInfo
from pydantic.json_schema import models_json_schema
from typing_extensions import TypeAliasType

from aether_protocol.documents.definitions import documents, extensions, parts
from aether_protocol.documents.definitions.fields import Definition, alias_of
from aether_protocol.documents.schema import FILE, URI, Schema

DEFINITIONS: Final[dict[str, type[Definition]]] = {
    name: value
    for module in (parts, extensions, documents)
    for name, value in vars(module).items()
    if isinstance(value, type) and issubclass(value, Definition) and value.__module__ == module.__name__
}
"""All definitions by name, bases before what is built on them."""

_BELOW: Final = ("items", "additionalProperties", "then", "else")
_STRUCTS_HEAD: Final = '''\
"""The structs of documents. Generated from documents/definitions: change those, then run generate.py there."""
# No `from __future__ import annotations` here: each process that reads a document would compile each annotation anew.

from typing import Any, ClassVar

from msgspec import UNSET, UnsetType, field

from aether_protocol.documents.models.base import Part, TypedPart
'''


# --- the schema ---


def schema() -> Schema:
    """The schema of all documents."""
    kinds = documents.KINDS
    _, whole = models_json_schema([(kind, "validation") for kind in kinds.values()], by_alias=True)
    found: Schema = whole["$defs"]
    branches = {kind: found.pop(kind) for kind in kinds}
    for name, definition in found.items():
        _tidy(definition)
        if name in DEFINITIONS:
            _add_rules(definition, DEFINITIONS[name])
    common = branches["Workflow"]["properties"]
    return {
        "$schema": URI,
        "$id": "urn:aether-protocol:aether-v1",
        "title": "aether/v1 document",
        "description": "A workflow, a workflow on a schedule, or a library of templates.",
        "type": "object",
        "properties": {
            "apiVersion": {k: v for k, v in common["apiVersion"].items() if k != "type"},
            "kind": {"title": "kind", "description": "Kind of document.", "enum": [*kinds]},
            "metadata": common["metadata"],
            "spec": {"title": "spec", "description": "What the document says; its fields follow from the kind."},
        },
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "additionalProperties": False,
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"properties": {"spec": branch["properties"]["spec"]}},
            }
            for kind, branch in branches.items()
        ],
        "$defs": found,
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


def _add_rules(schema: Schema, definition: type[Definition]) -> None:
    """What a definition says about the presence of its fields."""
    if definition.dotted:
        schema |= {"additionalProperties": False, "patternProperties": {"\\.": {}}}
    if definition.one_of:
        schema |= _exactly_one([alias_of(definition, name) for name in definition.one_of])
    if definition.needs:
        schema["dependentRequired"] = {
            alias_of(definition, name): [alias_of(definition, other) for other in others]
            for name, others in definition.needs.items()
        }
    if definition.excludes:
        schema["dependentSchemas"] = {
            alias_of(definition, name): {"properties": {alias_of(definition, other): False for other in others}}
            for name, others in definition.excludes.items()
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


def schema_text() -> str:
    """The text of the published file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


# --- the structs ---


def structs_text() -> str:
    """The text of _structs.py."""
    blocks = [_STRUCTS_HEAD, *(_struct(name, one) for name, one in DEFINITIONS.items() if one.struct)]
    one_of = {
        name: tuple(alias_of(definition, one) for one in definition.one_of)
        for name, definition in DEFINITIONS.items()
        if definition.one_of
    }
    kinds_type = " | ".join(f"type[{kind}]" for kind in documents.KINDS)
    kinds = "".join(f'    "{kind}": {kind},\n' for kind in documents.KINDS)
    rules = "".join(f'    "{name}": ({", ".join(map(_quoted, names))}),\n' for name, names in one_of.items())
    blocks += [
        f"Document = {' | '.join(documents.KINDS)}\n"
        f"KINDS: dict[str, {kinds_type}] = {{\n"
        f"{kinds}}}\n"
        f"ONE_OF: dict[str, tuple[str, ...]] = {{\n{rules}}}"
    ]
    return "\n\n".join(blocks) + "\n"


def _struct(name: str, definition: type[Definition]) -> str:
    base = definition.__mro__[1]
    lines = [f"class {name}({definition.struct if base is Definition else base.__name__}, frozen=True, kw_only=True):"]
    if definition.__doc__ and definition.__doc__ != base.__doc__:
        lines += [f'    """{definition.__doc__}"""', ""]
    own = inspect.get_annotations(definition)
    if definition.presence != base.presence:  # type: ignore[attr-defined]  # a base of a definition is one
        shown = ", ".join(map(_quoted, definition.presence))
        lines += [f"    presence: ClassVar = ({shown}{',' if len(definition.presence) == 1 else ''})", ""]
    properties: list[str] = []
    for attribute in own:
        field = definition.model_fields.get(attribute)
        if field is None:
            if get_origin(own[attribute]) is not None and "None" in str(own[attribute]):
                lines.append(f"    {attribute}: ClassVar[None] = None")
            continue
        lines.append(f"    {_field(attribute, field, written=attribute in definition.presence)}")
        if attribute in definition.presence:
            properties += ["", *_property(attribute, field)]
    return "\n".join([*lines, *properties]).rstrip() + "\n"


def _field(attribute: str, field: FieldInfo, *, written: bool) -> str:
    """One field as it stands in a struct."""
    alias = field.alias if attribute.endswith("_") or written else None
    named = f", name={_quoted(alias)}" if alias else ""
    kind = typed(field.annotation)
    if written:
        kind = "Any" if kind == "Any" else f"{kind} | UnsetType"
        return f"{attribute}_written: {kind} = field(default=UNSET{named})"
    if field.is_required():
        return f"{attribute}: {kind}" + (f" = field({named.removeprefix(', ')})" if named else "")
    if field.default_factory is not None:
        return f"{attribute}: {kind} = field(default_factory={field.default_factory.__name__}{named})"
    default = _literal(field.default)
    return f"{attribute}: {kind} = " + (f"field(default={default}{named})" if named else default)


def _property(attribute: str, field: FieldInfo) -> Iterator[str]:
    """The value of a field that is kept as it was written."""
    yield "    @property"
    yield f"    def {attribute}(self) -> {typed(field.annotation)}:"
    yield f'        """As written, else `{_literal(field.default)}`."""'
    yield f"        return {_literal(field.default)} if self.{attribute}_written is UNSET else self.{attribute}_written"


def typed(annotation: Any) -> str:
    """A type as Python text, without what narrows it: the schema has checked that."""
    if isinstance(annotation, TypeAliasType):
        return typed(annotation.__value__)
    arguments, origin = get_args(annotation), get_origin(annotation)
    if origin is Annotated:
        return typed(arguments[0])
    if origin is Literal:
        return "str"
    if origin in (Union, UnionType):
        return " | ".join(map(typed, arguments))
    if origin is not None:
        target = getattr(origin, "__value__", None)
        if target is not None:
            return typed(target[arguments])
        return f"{origin.__name__}[{', '.join(map(typed, arguments))}]"
    if annotation is Any:
        return "Any"
    if issubclass(annotation, Definition) and not annotation.struct:
        return "dict[str, Any]"
    return "None" if annotation is NoneType else str(annotation.__name__)


def _literal(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else repr(value)


def _quoted(text: str) -> str:
    return json.dumps(text)


def main() -> None:
    """Write both files."""
    here = Path(__file__).parent
    (here.parent / "models" / "_structs.py").write_text(structs_text(), encoding="utf-8")
    (here.parents[2] / "schemas" / FILE).write_text(schema_text(), encoding="utf-8")


if __name__ == "__main__":
    main()
