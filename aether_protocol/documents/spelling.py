"""Plain scalars of YAML where the fields of a document take text alone: they keep their spelling (DOC-10).

Law: what takes text is what the published schema says; null stays null, and what the text would not fit stays what it is, so
that its fault is reported as usual. What only the compiler knows to be text (arguments, configs) is settled in
compiler/spelling.py.
"""

from __future__ import annotations

from aether_protocol.documents.explain import ill_formed
from aether_protocol.documents.schema import Schema, published, scalars_by_schema
from aether_protocol.documents.tree import DocumentTree
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
