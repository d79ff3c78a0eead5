"""Plain scalars of YAML where the fields of a document take text alone: they keep their spelling (DOC-10).

Law: what takes text is what the published schema says; null stays null, and what the text would not fit stays what it is, so
that its fault is told as ever. What only the compiler knows to be text (arguments, configs) is settled in plan/spelling.py.
"""

from __future__ import annotations

from typing import Any

from aether_protocol.documents.explain import ill_formed
from aether_protocol.documents.schema import Schema, published
from aether_protocol.documents.tree import Tree
from aether_protocol.expressions.values import Json

_REF = "#/$defs/"
_SPELT = (int, float, bool)


def restore_texts(tree: Tree) -> None:
    """Put the spelling in the place of numbers and booleans where the schema asks for text. The cost is linear."""
    if not tree.plain:
        return
    schema = published()
    definitions: Schema = schema["$defs"]
    todo: list[tuple[Any, Json]] = [(schema, tree.root)]
    if type(tree.root) is dict:
        todo += [
            (branch["then"]["properties"]["spec"], tree.root.get("spec"))
            for branch in schema["allOf"]
            if branch["if"]["properties"]["kind"]["const"] == tree.root.get("kind")
        ]
    while todo:
        asked, node = todo.pop()
        asked = _resolved(asked, definitions)
        if type(node) is dict:
            fields, others = asked.get("properties", {}), asked.get("additionalProperties")
            for key, value in node.items():
                below = _resolved(fields.get(key, others), definitions)
                if type(value) in _SPELT:
                    _restore(tree, node, key, below)
                elif type(value) in (dict, list):
                    todo.append((below, value))
        elif type(node) is list:
            below = _resolved(asked.get("items"), definitions)
            for index, value in enumerate(node):
                if type(value) in _SPELT:
                    _restore(tree, node, index, below)
                elif type(value) in (dict, list):
                    todo.append((below, value))


def _restore(tree: Tree, holder: Json, key: str | int, asked: Schema) -> None:
    if asked.get("type") != "string" or "enum" in asked or "const" in asked:
        return
    before = holder[key]
    text = tree.restore(holder, key)
    if "pattern" in asked and ill_formed(asked, text):
        holder[key] = before


def _resolved(schema: Any, definitions: Schema) -> Schema:
    """What a schema says, of a choice between a list and something else the list; nothing where any value may stand."""
    while isinstance(schema, dict):
        if "$ref" in schema:
            schema = definitions[schema["$ref"].removeprefix(_REF)]
        elif "type" in schema.get("if", ()):
            schema = next((one for one in (schema["then"], schema["else"]) if one.get("type") == "array"), None)
        else:
            return schema
    return {}
