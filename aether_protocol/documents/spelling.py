"""Scalars as the published schema asks for them: text keeps its spelling (DOC-10), 5.0 is a whole number.

Law: what takes text is what the published schema says; null stays null, and what the text would not fit stays what it is, so
that its fault is reported as usual. What only the compiler knows to be text (arguments, configs) is settled in
compiler/spelling.py.
"""

from __future__ import annotations

from aether_protocol.documents.explain import ill_formed
from aether_protocol.documents.schema import Schema, published, scalars_by_schema
from aether_protocol.documents.tree import DocumentTree
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json

_SPELT = (int, float, bool)


def restore_texts(tree: DocumentTree) -> None:
    """Put the spelling in the place of numbers and booleans where the schema asks for text. The cost is linear."""
    if tree.plain:
        for holder, key, asked in scalars_by_schema(published(), tree.root):
            if type(holder[key]) in _SPELT:
                _restore(tree, holder, key, asked)


def _restore(tree: DocumentTree, holder: Json, key: str | int, asked: Schema) -> None:
    if asked.get("type") != "string" or "enum" in asked or "const" in asked:
        return
    before = holder[key]
    text = tree.restore(holder, key)
    if "pattern" in asked and ill_formed(asked, text):
        holder[key] = before


def with_whole_numbers(root: Json) -> Json:
    """A copy in which 5.0 is 5 where a whole number is asked for: to JSON Schema it is one."""
    copied = json_copy(root)
    for holder, key, asked in scalars_by_schema(published(), copied):
        value = holder[key]
        if asked.get("type") == "integer" and type(value) is float and value.is_integer():
            holder[key] = int(value)
    return copied
