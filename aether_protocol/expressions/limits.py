"""The bounds of DATA-7: how long, how deep, how large; and the meter that counts the work of one evaluation.

Law: every operation that can grow or walk a value asks here first, so that no text and no data make an evaluation hang,
exhaust memory or overflow the stack. All bounds stand in this file.
"""

from __future__ import annotations

import math
from typing import Final

from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.expressions.names import ExpressionError
from aether_protocol.expressions.values import MAX_LEVELS, Json, SecretValue

MAX_CHARACTERS: Final = 10_000  # of an expression's text
MAX_NODES: Final = 400  # operands and operations of an expression
MAX_DEPTH: Final = 60  # of nesting, brackets and operations alike
MAX_SIZE: Final = 1_000_000  # elements and characters of a value, counted together at every depth
MAX_WORK: Final = 4_000_000  # elements looked at in one evaluation
MAX_INTEGER: Final = 2**4096  # about 1 233 digits; below the length at which Python refuses to print integers
MAX_DIGITS: Final = 1_233
MAX_JSON_DEPTH: Final = 100  # of what fromjson reads
MAX_TEXT: Final = 10_000_000  # characters of a text, elements and characters of a value, with placeholders filled in

_PUT_TOGETHER: Final = frozenset({SecretValue, int, float})
SECRETS: Final = "secrets cannot be used in expressions"


class Meter:
    """Counts what one evaluation has looked at."""

    __slots__ = ("work",)

    def __init__(self) -> None:
        self.work = 0

    def charge(self, amount: int) -> None:
        """Count `amount` elements; too many in one evaluation are an error."""
        self.work += amount
        if self.work > MAX_WORK:
            raise ExpressionError(f"the expression does too much work (more than {MAX_WORK} elements looked at)")


def text_cost(text: str) -> int:
    """What copying a text is charged: characters are far cheaper than elements."""
    return len(text) >> 3


def check_length(count: int, most: int = MAX_SIZE) -> None:
    """A result of `count` elements or characters is still allowed."""
    if count > most:
        raise ExpressionError(f"the result is too large (more than {most} elements or characters)")


def check_number(value: int | float) -> int | float:
    """`value`, if it is finite and not too large."""
    if type(value) is int:
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise ExpressionError("the number is too large")
    elif not math.isfinite(value):
        raise ExpressionError("the number is not finite")
    return value


def check_value(value: Json, meter: Meter) -> Json:
    """`value`, if it is JSON within the bounds and holds no secret; walks it and charges for that."""
    kind = type(value)
    if value is None or kind is bool:
        return value
    if kind is int or kind is float:
        return check_number(value)
    if kind is str:
        check_length(len(value))
        check_characters(value)
        return value
    if kind is SecretValue:
        raise ExpressionError(SECRETS)
    meter.charge(_size(value, MAX_SIZE))
    return value


def check_growth(value: Json) -> None:
    """A value that was put together from others is not nested too deeply and not too large; secrets may be in it."""
    if type(value) is list or type(value) is dict:
        _size(value, MAX_TEXT, _PUT_TOGETHER)


def check_characters(text: str) -> None:
    """`text` is one that can be stored and sent."""
    if not is_whole(text):
        raise ExpressionError("half of a surrogate pair is not a character")


def _size(value: Json, most: int, unasked: frozenset[type] = frozenset()) -> int:
    """Elements and characters of a value, shared ones as often as they stand in it. Nothing is said of types `unasked`."""
    # Level by level and type by type: most values are long and uniform, and a call for each element would cost ten times.
    size, levels, level = 0, 0, [value]
    while level:
        levels += 1
        if levels > MAX_LEVELS:
            raise ExpressionError(f"the value is nested too deeply (more than {MAX_LEVELS} levels)")
        size += len(level)
        below: list[Json] = []
        kinds = set(map(type, level))
        for kind in kinds:
            same = level if len(kinds) == 1 else [item for item in level if type(item) is kind]
            if kind not in unasked:
                size += _measure(kind, same, below, most)
            check_length(size + len(below), most)
        level = below
    return size


def _measure(kind: type, same: list[Json], below: list[Json], most: int) -> int:
    """What values of one type count beyond one each; the elements of containers go to `below`."""
    if kind is str:
        size = sum(map(len, same))
        check_length(size, most)
        check_characters("".join(same))
        return size
    if kind is int:
        check_number(max(same))
        check_number(min(same))
    elif kind is float:
        for item in same:
            check_number(item)
    elif kind is list or kind is dict:
        keys = 0
        for item in same:
            # The length counts before anything is copied, so that shared lists cannot multiply.
            check_length(len(item) + len(below), most)
            below.extend(item if kind is list else item.values())
            keys += 0 if kind is list else _key_characters(item)
        return keys
    elif kind is SecretValue:
        raise ExpressionError(SECRETS)
    elif kind is not bool and kind is not type(None):
        raise ExpressionError(f"a {kind.__name__} is not a JSON value")
    return 0


def _key_characters(item: dict[str, Json]) -> int:
    if not all(type(key) is str for key in item):
        raise ExpressionError("a key of an object is not text")
    text = "".join(item)
    check_characters(text)
    return len(text)
