"""Copies of values for foreign hands, and from them.

Law: values inside are shared and never mutated, so a container that goes to foreign code, or comes from it, is copied here.
What comes from outside is JSON that UTF-8 can hold afterwards, or a ValueError says where it is not.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from aether_protocol.expressions.values import MAX_LEVELS, Json, SecretValue

MAX_INTEGER_BITS: Final = 14_000  # about 4 200 digits: what Python still writes as text

_SCALARS: Final = frozenset({bool, type(None), SecretValue})
_PLAIN: Final = frozenset({str, int, float, bool, type(None)})
_HALF: Final = "has half of a surrogate pair (a byte that was no UTF-8, or one half of an emoji)"


class HalfCharacterError(ValueError):
    """Text that UTF-8 cannot hold."""


def is_whole(text: str) -> bool:
    """Whether UTF-8 can hold `text`: it has no half of a surrogate pair, which no store, file or program could be given."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def clean(text: str) -> str:
    """`text` as UTF-8 can hold it: half characters (lone surrogates) become escapes, which inside JSON mean the same."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def json_copy(value: Json) -> Json:
    """`value` as JSON that shares no container with it; tuples become lists, any mapping an object.

    Raises ValueError that says what is not JSON and where (`rows[2].id`).
    """
    return _copy(value, "", 0)


def _copy(value: Json, where: str, level: int) -> Json:
    kind = type(value)
    if kind is str:
        return value if value.isascii() else _text(value, where)
    if kind in _SCALARS:
        return value
    if level >= MAX_LEVELS and isinstance(value, Mapping | list | tuple):
        raise ValueError(f"a value that is nested too deeply (more than {MAX_LEVELS} levels)")
    if kind is dict:
        return {
            (key if type(key) is str and key.isascii() else _key(key, where)): (
                item if type(item) is str and item.isascii() else _copy(item, f"{where}.{key}", level + 1)
            )
            for key, item in value.items()
        }
    if kind is list or kind is tuple:
        return [_copy(item, f"{where}[{index}]", level + 1) for index, item in enumerate(value)]
    if isinstance(value, int):
        if value.bit_length() > MAX_INTEGER_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits{_at(where)}")
        return int(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{float(value)!r}{_at(where)}, which is not JSON")
        return float(value)
    if isinstance(value, str):
        return _text(str.__str__(value), where)
    if isinstance(value, Mapping):
        return _copy(dict(value), where, level)
    if isinstance(value, list | tuple):
        return _copy(list(value), where, level)
    raise ValueError(f"a value of type {kind.__name__}{_at(where)}, which is not JSON")


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {key!r}{_at(where)}, which is not text")
    if not is_whole(key):
        raise HalfCharacterError(f"the key {key!a}{_at(where)}, which {_HALF}")
    return str.__str__(key)


def _text(text: str, where: str) -> str:
    if not is_whole(text):
        raise HalfCharacterError(f"text{_at(where)} that {_HALF}")
    return text


def _at(where: str) -> str:
    return f" at {where.removeprefix('.')!r}" if where else ""


def redacted(value: Json) -> Json:
    """A copy for people: every secret reads `***`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, SecretValue):
        return str(value)
    if isinstance(value, Mapping):
        return {key: redacted(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [redacted(item) for item in value]
    return value
