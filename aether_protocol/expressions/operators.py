"""The operators of expressions: Python's meaning on JSON values, bounded (DATA-7).

Law: an operator takes JSON values and gives a JSON value or raises ExpressionError. Booleans are no numbers: they equal
none, and arithmetic or an order with one is an error.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Final

from aether_protocol.expressions.limits import MAX_INTEGER, SECRETS, Meter, check_length, check_number, check_value, text_cost
from aether_protocol.expressions.names import ExpressionError
from aether_protocol.expressions.values import Json, SecretValue, equal, type_name

Operator = Callable[[Json, Json, Meter], Json]

_MAX_BITS: Final = MAX_INTEGER.bit_length() - 1


def is_number(value: Json) -> bool:
    """An integer or a number, and no boolean."""
    kind = type(value)
    return kind is int or kind is float


def _arithmetic(symbol: str, compute: Callable[[Json, Json], Json]) -> Operator:
    def apply(left: Json, right: Json, meter: Meter) -> Json:
        a, b = type(left), type(right)
        if (a is int or a is float) and (b is int or b is float):
            try:
                return check_number(compute(left, right))
            except ZeroDivisionError:
                raise ExpressionError("division by zero") from None
            except OverflowError:
                raise ExpressionError("the number is too large") from None
        raise _mismatch(symbol, left, right)

    return apply


def _mismatch(symbol: str, left: Json, right: Json) -> ExpressionError:
    return ExpressionError(f"{symbol} does not work on {type_name(left)} and {type_name(right)}")


def _plus(left: Json, right: Json, meter: Meter) -> Json:
    kind = type(left)
    if kind is type(right) and (kind is str or kind is list):
        check_length(len(left) + len(right))
        meter.charge(_cost(left) + _cost(right))
        return left + right
    return _add(left, right, meter)


def _cost(value: Json) -> int:
    return text_cost(value) if type(value) is str else len(value)


def _times(left: Json, right: Json, meter: Meter) -> Json:
    for sequence, count in ((left, right), (right, left)):
        if type(sequence) in (str, list) and type(count) is int:
            check_length(len(sequence) * max(count, 0))
            # Python repeats nothing at all only as often as an index of its own can count.
            result = sequence * max(count, 0) if sequence else sequence
            meter.charge(_cost(result))
            return result
    return _multiply(left, right, meter)


def _power(base: Json, exponent: Json) -> Json:
    if type(base) is int and type(exponent) is int and exponent > 0:
        if base not in (-1, 0, 1) and (exponent > _MAX_BITS or base.bit_length() * exponent > _MAX_BITS + exponent):
            raise ExpressionError("the power is too large")
        return base**exponent
    result = base**exponent
    if isinstance(result, complex):
        raise ExpressionError("the power has no real result")
    return result


def _modulo(left: Json, right: Json) -> Json:
    return left % right


_add = _arithmetic("+", lambda a, b: a + b)
_multiply = _arithmetic("*", lambda a, b: a * b)

BINARY: Final[dict[type[ast.operator], tuple[str, Operator]]] = {
    ast.Add: ("+", _plus),
    ast.Sub: ("-", _arithmetic("-", lambda a, b: a - b)),
    ast.Mult: ("*", _times),
    ast.Div: ("/", _arithmetic("/", lambda a, b: a / b)),
    ast.FloorDiv: ("//", _arithmetic("//", lambda a, b: a // b)),
    ast.Mod: ("%", _arithmetic("%", _modulo)),
    ast.Pow: ("**", _arithmetic("**", _power)),
}


# --- comparison ---------------------------------------------------------------------------------------------------


def equals(left: Json, right: Json, meter: Meter) -> bool:
    """JSON equality; containers are walked within the bounds."""
    kind = type(left)
    if kind is type(right):
        if kind is str:
            return bool(left == right)
        if kind is list or kind is dict:
            check_value(left, meter)
            check_value(right, meter)
    elif type(right) is SecretValue:
        raise ExpressionError(SECRETS)
    return equal(left, right)


def _differs(left: Json, right: Json, meter: Meter) -> bool:
    return not equals(left, right, meter)


def contains(item: Json, container: Json, meter: Meter) -> bool:
    """`item in container`: a part of a text, an element of a list, a key of an object."""
    kind = type(container)
    if kind is str:
        if type(item) is not str:
            raise ExpressionError(f"'in' looks for text in text, not for {type_name(item)}")
        meter.charge(text_cost(container))
        return item in container
    if kind is dict:
        return type(item) is str and item in container
    if kind is list:
        meter.charge(len(container))
        return any(equals(item, element, meter) for element in container)
    raise ExpressionError(f"'in' needs text, an array or an object on its right, not {type_name(container)}")


def _lacks(item: Json, container: Json, meter: Meter) -> bool:
    return not contains(item, container, meter)


def order(left: Json, right: Json, meter: Meter, symbol: str = "<") -> int:
    """Negative, 0 or positive: the order of two numbers, two texts, or two lists element by element."""
    if (is_number(left) and is_number(right)) or (type(left) is str and type(right) is str):
        if left != left or right != right:
            raise ExpressionError("a value that is not a number has no order")
        return int(left > right) - int(left < right)
    if type(left) is list and type(right) is list:
        check_value(left, meter)
        check_value(right, meter)
        for one, other in zip(left, right, strict=False):
            if not equal(one, other):
                return order(one, other, meter, symbol)
        return (len(left) > len(right)) - (len(left) < len(right))
    raise _mismatch(symbol, left, right)


def _ordered(symbol: str, holds: Callable[[int], bool]) -> Operator:
    def apply(left: Json, right: Json, meter: Meter) -> bool:
        return holds(order(left, right, meter, symbol))

    return apply


COMPARE: Final[dict[type[ast.cmpop], tuple[str, Operator]]] = {
    ast.Eq: ("==", equals),
    ast.NotEq: ("!=", _differs),
    ast.Lt: ("<", _ordered("<", lambda sign: sign < 0)),
    ast.LtE: ("<=", _ordered("<=", lambda sign: sign <= 0)),
    ast.Gt: (">", _ordered(">", lambda sign: sign > 0)),
    ast.GtE: (">=", _ordered(">=", lambda sign: sign >= 0)),
    ast.In: ("in", contains),
    ast.NotIn: ("not in", _lacks),
}


# --- one operand --------------------------------------------------------------------------------------------------


def negate(value: Json) -> Json:
    """`-value`."""
    if not is_number(value):
        raise ExpressionError(f"- does not work on {type_name(value)}")
    return -value


def affirm(value: Json) -> Json:
    """`+value`."""
    if not is_number(value):
        raise ExpressionError(f"+ does not work on {type_name(value)}")
    return value


UNARY: Final[dict[type[ast.unaryop], Callable[[Json], Json]]] = {
    ast.Not: lambda value: not value,
    ast.USub: negate,
    ast.UAdd: affirm,
}
