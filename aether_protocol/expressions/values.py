"""The values that flow through a run: JSON, and the two things that are not JSON.

Law: a value is None, bool, int, float, str, list or dict with string keys (JSON), or a `SecretValue`; `ABSENT` is what a
lookup gives where a task gave nothing (DATA-13) and is never stored. Values are shared, never mutated: one that
goes to foreign code is copied first.
"""

from __future__ import annotations

import json
from typing import Any, Final

from msgspec import Struct

Json = Any  # None | bool | int | float | str | list[Json] | dict[str, Json]; mypy gains nothing from the recursion


MAX_LEVELS: Final = 200  # of nesting of a value: what every JSON reader and writer on its way can carry


class Absent:
    """The type of `ABSENT`: a value that a task did not give, or a field that a value does not have (DATA-13)."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ABSENT"

    def __bool__(self) -> bool:
        return False


ABSENT: Final = Absent()


class Constant(Struct, frozen=True):
    """A value that stands in an expression as it is."""

    value: Json


class SecretValue:
    """Text with secrets in it, by reference (DATA-12): `parts` are literal strings and (name, key) references.

    It may be wired on and put into text; the engine alone turns it into the real text, as it hands an assignment over.
    """

    __slots__ = ("parts",)

    def __init__(self, parts: tuple[str | tuple[str, str], ...]) -> None:
        self.parts = parts

    def __repr__(self) -> str:
        return "***"

    __str__ = __repr__

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SecretValue) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


def type_name(value: Json) -> str:
    """The parameter type (DOC-9) that `value` has: string, integer, number, boolean, array, object or null."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int):
        return "integer"
    if isinstance(value, float):
        return "number"
    if isinstance(value, list):
        return "array"
    if isinstance(value, dict):
        return "object"
    return "string"


def as_text(value: Json) -> str:
    """`value` as it is written into text (DATA-5): strings bare, everything else as compact JSON."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def respelt(value: Json, text: str) -> bool:
    """Whether `value`, read from `text`, is a number that is written differently now (DOC-10), as 3.1 read from 3.10 is."""
    return type(value) in (int, float) and as_text(value) != text.strip()


def equal(left: Json, right: Json) -> bool:
    """JSON equality: as Python's, but a boolean equals no number (DATA-7), at any depth."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(equal(v, right[k]) for k, v in left.items())
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(equal, left, right))
    return bool(left == right)


def fit(value: Json, type_: str) -> Json | Absent:
    """`value` as parameter type `type_` (DATA-3), or ABSENT where it does not fit.

    Integral numbers fit integer and become one; booleans are no numbers; nothing else is coerced. A `SecretValue`
    is text: it fits string and any.
    """
    if type_ == "any":
        return value
    kind = type(value)
    if kind is _EXACT.get(type_):
        return value
    if type_ == "integer" and kind is float and value.is_integer():
        return int(value)
    if type_ == "number" and kind is int:
        return value
    if type_ == "string" and kind is SecretValue:
        return value
    return ABSENT


def has_secret(value: object) -> bool:
    """Whether a `SecretValue` stands anywhere in `value`."""
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, SecretValue):
            return True
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
    return False


_EXACT: dict[str, type] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "array": list,
    "object": dict,
}
