"""Trees that the schema accepted become structs.

Law: nothing is checked a second time, so this also reads a repaired tree, which may hold ill-formed text and empty lists.
"""

from __future__ import annotations

from msgspec import ValidationError, convert

from aether_protocol.documents.models._structs import KINDS, Document
from aether_protocol.documents.schema import published, scalars_by_schema
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json


def model_of(root: Json) -> Document | None:
    """The document in `root`; None where it has not the types that the schema asks for."""
    if type(root) is not dict or (kind := KINDS.get(str(root.get("kind")))) is None:
        return None
    try:
        return convert(root, kind)
    except ValidationError:
        pass
    try:
        return convert(_with_whole_numbers(root), kind)
    except ValidationError:
        return None


def _with_whole_numbers(root: Json) -> Json:
    """A copy in which 5.0 is 5 where a whole number is asked for: to JSON Schema it is one."""
    copied = json_copy(root)
    for holder, key, asked in scalars_by_schema(published(), copied):
        value = holder[key]
        if asked.get("type") == "integer" and type(value) is float and value.is_integer():
            holder[key] = int(value)
    return copied
