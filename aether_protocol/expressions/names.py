"""Names: dotted paths such as `tasks.fetch-data.outputs.parameters.rows[0].id`, and the one error of this package.

Law: this file alone says what a name looks like and how it is followed into a value. Following a name walks plain
dicts, lists and text; it never touches an attribute of a Python object.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import Final

from aether_protocol.expressions.values import ABSENT, Absent, Json, SecretValue

NAMESPACES: Final = frozenset(
    {"workflow", "system", "inputs", "tasks", "iterator", "loop_iter", "outputs"}
    | {"phase", "code", "msg", "dag", "loop", "hook"}
)
"""The roots that the protocol itself gives a meaning (DATA-4); variable sources add more."""

# A hyphen inside a segment belongs to it; one at the end does not, so that `a.b- 1` is still a subtraction.
_SEGMENT = r"\w+(?:-+\w+)*"
_STEP = rf"""\.{_SEGMENT}|\[[ ]*-?[0-9]{{1,9}}[ ]*\]|\[[ ]*"[^"\\{{}}\n]*"[ ]*\]|\[[ ]*'[^'\\{{}}\n]*'[ ]*\]"""
NAME_PATTERN: Final = rf"{_SEGMENT}(?:{_STEP})*"


@cache  # many documents have no name: compiled with the first one
def segment_re() -> re.Pattern[str]:
    """Match one segment of a name."""
    return re.compile(_SEGMENT)


@cache
def name_re() -> re.Pattern[str]:
    """Match a whole name."""
    return re.compile(NAME_PATTERN)


@cache
def _step_re() -> re.Pattern[str]:
    return re.compile(_STEP)



class ExpressionError(Exception):
    """A text that is not an expression or placeholder, or one whose evaluation fails.

    `reason` is a lower-case fragment; `offset` the 0-based character of the original text that it is about, or None;
    `path` leads to the faulty string inside of a template's lists and dicts; `hint` is advice.
    """

    def __init__(
        self, reason: str, offset: int | None = None, path: tuple[str | int, ...] = (), hint: str | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.offset = offset
        self.path = path
        self.hint = hint


class Name:
    """A parsed name. `segments` are fields (text) and indices (int); `segments[0]` is the root.

    They follow from the text: two names are equal if and only if their texts are. Not a struct, because a record holds a name
    as its text.
    """

    __slots__ = ("segments", "text")

    def __init__(self, text: str, segments: tuple[str | int, ...]) -> None:
        self.text = text
        self.segments = segments

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Name) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"Name({self.text!r})"

    @property
    def root(self) -> str:
        """The namespace that the name starts with."""
        return str(self.segments[0])

    def __str__(self) -> str:
        return self.text


ResolveName = Callable[[Name], Json | Absent | SecretValue]
"""Resolves one name, when it is needed and not before. May raise ExpressionError for a name that means nothing here."""


def parse_name(text: str) -> Name:
    """The name that `text` is, blanks around it ignored. Raises ExpressionError (DATA-6)."""
    start = len(text) - len(text.lstrip())
    bare = text.strip()
    if not bare:
        raise ExpressionError("a name is expected, not an empty text", 0)
    match = name_re().match(bare)
    if match is None:
        raise ExpressionError(f"{bare[:60]!r} is not a name", start)
    if match.end() != len(bare):
        raise ExpressionError(f"{bare[:60]!r} is not a name: unexpected {bare[match.end()]!r}", start + match.end())
    return build_name(bare)


def build_name(text: str) -> Name:
    """The Name of a text that `name_re` matched as a whole."""
    if "[" not in text:
        return Name(text, tuple(text.split(".")))
    head = segment_re().match(text)
    assert head is not None
    segments: list[str | int] = [head.group()]
    for step in _step_re().finditer(text, head.end()):
        part = step.group()
        inner = part[1:] if part[0] == "." else part[1:-1].strip()
        if part[0] == ".":
            segments.append(inner)
        elif inner[0] in "\"'":
            segments.append(inner[1:-1])
        else:
            segments.append(int(inner))
    return Name(text, tuple(segments))


def get_path(value: Json | Absent | SecretValue, segments: tuple[str | int, ...]) -> Json | Absent | SecretValue:
    """Follow `segments` into `value`; ABSENT where there is no such field or index (DATA-13).

    Fields are keys of dicts, indices count elements of lists and characters of text (negative ones from the end). A
    `SecretValue` has neither.
    """
    for segment in segments:
        value = step_into(value, segment)
        if value is ABSENT:
            return ABSENT
    return value


def step_into(value: Json | Absent | SecretValue, segment: str | int) -> Json | Absent | SecretValue:
    """One step of `get_path`."""
    if type(segment) is str:
        if isinstance(value, dict):
            return value.get(segment, ABSENT)
    elif type(segment) is int and isinstance(value, list | str) and -len(value) <= segment < len(value):
        return value[segment]
    return ABSENT
