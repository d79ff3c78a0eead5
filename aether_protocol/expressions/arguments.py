"""What functions demand of their arguments.

Law: a misfit is an ExpressionError that names the function, what it needs and what it got.
"""

from __future__ import annotations

from typing import Any, NoReturn

from aether_protocol.expressions.names import ExpressionError
from aether_protocol.expressions.operators import is_number
from aether_protocol.expressions.values import Json, type_name


def wrong(function: str, wanted: str, value: Json) -> NoReturn:
    """Raise that `function` needs `wanted` and not `value`."""
    raise ExpressionError(f"{function}() needs {wanted}, not {type_name(value)}")


def text(function: str, value: Json) -> str:
    """`value`, which must be text."""
    if type(value) is not str:
        wrong(function, "text", value)
    return str(value)


def number(function: str, value: Json) -> Any:
    """`value`, which must be a number."""
    if not is_number(value):
        wrong(function, "a number", value)
    return value


def array(function: str, value: Json) -> list[Json]:
    """`value`, which must be an array."""
    if type(value) is not list:
        wrong(function, "an array", value)
    return list(value)


def integer(function: str, value: Json) -> int:
    """`value`, which must be an integer."""
    if type(value) is not int:
        wrong(function, "integers", value)
    return int(value)
