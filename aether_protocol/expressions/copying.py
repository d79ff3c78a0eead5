"""Copies of values for foreign hands, and from them.

Law: values inside are shared and never mutated, so a container that goes to foreign code, or comes from it, is copied here.
What comes from outside is JSON afterwards or a ValueError says where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions.values import Json, SecretValue

MAX_INTEGER_BITS: Final = 14_000  # about 4 200 digits: what Python still writes as text

_SCALARS: Final = frozenset({str, bool, type(None), SecretValue})


def own(value: Json) -> Json:
    """`value` as JSON that shares no container with it; tuples become lists, any mapping an object.

    Raises ValueError that says what is no JSON and where (`rows[2].id`).
    """
    try:
        return _own(value, "")
    except RecursionError:
        raise ValueError("a value that is nested too deeply") from None


def _own(value: Json, where: str) -> Json:
    kind = type(value)
    if kind in _SCALARS:
        return value
    if kind is dict:
        return {
            (key if type(key) is str else _key(key, where)): (item if type(item) is str else _own(item, f"{where}.{key}"))
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_own(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits{_at(where)}")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{float(value)!r}{_at(where)}, which is no JSON")
        return float(value)
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, Mapping):
        return _own(dict(value), where)
    if isinstance(value, list | tuple):
        return _own(list(value), where)
    raise ValueError(f"a value of type {kind.__name__}{_at(where)}, which is no JSON")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r}{_at(where)}, which is no text")
    return str.__str__(key)


def _at(where: str) -> str:
    return f" at {where.removeprefix('.')!r}" if where else ""


def shown(value: Json) -> Json:
    """A copy for people: every secret reads `***`."""
    if isinstance(value, SecretValue):
        return str(value)
    if isinstance(value, Mapping):
        return {key: shown(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [shown(item) for item in value]
    return value
