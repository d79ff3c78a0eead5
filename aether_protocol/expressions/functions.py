"""The functions of expressions (DATA-7): a fixed table of pure functions on JSON values.

Law: `TABLE` is the whole list, and the reference page is generated from it. A function takes JSON values and the
meter, gives a JSON value, and raises nothing but ExpressionError.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Final, NoReturn

from msgspec import Struct

from aether_protocol.expressions import functions_more as more
from aether_protocol.expressions.arguments import number, wrong
from aether_protocol.expressions.arguments import text as demand_text
from aether_protocol.expressions.limits import (
    MAX_DIGITS,
    MAX_JSON_DEPTH,
    Meter,
    check_length,
    check_number,
    check_value,
    text_cost,
)
from aether_protocol.expressions.names import ExpressionError
from aether_protocol.expressions.operators import contains, is_number, order
from aether_protocol.expressions.values import Json, as_text


class Function(Struct, frozen=True):
    """A row of the table: how it is written, what it does, how many arguments it takes (`most` None: any number)."""

    signature: str
    description: str
    least: int
    most: int | None
    apply: Callable[[Meter, list[Json]], Json]


_INTEGER = r"\s*[+-]?[0-9]+\s*"
_FLOAT = r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\s*"


# --- sizes and numbers ----------------------------------------------------------------------------------------------


def _len(meter: Meter, args: list[Json]) -> Json:
    if type(args[0]) not in (str, list, dict):
        wrong("len", "text, an array or an object", args[0])
    return len(args[0])


def _extreme(function: str, sign: int) -> Callable[[Meter, list[Json]], Json]:
    def apply(meter: Meter, args: list[Json]) -> Json:
        values = args[0] if len(args) == 1 else args
        if type(values) is not list:
            wrong(function, "an array or several values", values)
        if not values:
            raise ExpressionError(f"{function}() of nothing")
        meter.charge(len(values))
        best = values[0]
        if not is_number(best) and type(best) is not str:
            wrong(function, "numbers or texts", best)
        for value in values[1:]:
            if order(value, best, meter, f"{function}()") * sign > 0:
                best = value
        return best

    return apply


def _sum(meter: Meter, args: list[Json]) -> Json:
    if type(args[0]) is not list:
        wrong("sum", "an array", args[0])
    meter.charge(len(args[0]))
    total: int | float = 0
    for value in args[0]:
        try:
            total = check_number(total + number("sum", value))
        except OverflowError:
            raise ExpressionError("the number is too large") from None
    return total


def _abs(meter: Meter, args: list[Json]) -> Json:
    return abs(number("abs", args[0]))


def _round(meter: Meter, args: list[Json]) -> Json:
    value = number("round", args[0])
    digits = args[1] if len(args) > 1 else None
    if digits is not None and type(digits) is not int:
        wrong("round", "an integer as its number of digits", digits)
    if digits is not None and not -MAX_DIGITS <= digits <= MAX_DIGITS:
        raise ExpressionError(f"round() takes at most {MAX_DIGITS} digits")
    try:
        return check_number(round(value, digits))
    except (OverflowError, ValueError):
        raise ExpressionError("the number is too large") from None


# --- conversions ----------------------------------------------------------------------------------------------------


def _int(meter: Meter, args: list[Json]) -> Json:
    value = args[0]
    if type(value) is str:
        if len(value) > MAX_DIGITS or not re.fullmatch(_INTEGER, value, flags=re.ASCII):
            raise ExpressionError(f"int() cannot read {value[:60]!r}")
        return int(value)
    if type(value) is bool:
        return int(value)
    if type(value) is float and not math.isfinite(value):
        raise ExpressionError("int() needs a finite number")
    return int(number("int", value))


def _float(meter: Meter, args: list[Json]) -> Json:
    value = args[0]
    if type(value) is str and not re.fullmatch(_FLOAT, value, flags=re.ASCII):
        raise ExpressionError(f"float() cannot read {value[:60]!r}")
    if type(value) is not str and type(value) is not bool:
        number("float", value)
    try:
        return check_number(float(value))
    except OverflowError:
        raise ExpressionError("the number is too large") from None


def _str(meter: Meter, args: list[Json]) -> Json:
    return write(args[0], meter)


def write(value: Json, meter: Meter) -> str:
    """`value` as text (DATA-5), within the bounds."""
    if type(value) is str:
        return value
    check_value(value, meter)
    text = as_text(value)
    check_length(len(text))
    return text


def _bool(meter: Meter, args: list[Json]) -> Json:
    value = args[0]
    return value == "true" if value in ("true", "false") else bool(value)


def _tojson(meter: Meter, args: list[Json]) -> Json:
    check_value(args[0], meter)
    text = json.dumps(args[0], ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    check_length(len(text))
    return text


def _fromjson(meter: Meter, args: list[Json]) -> Json:
    text = demand_text("fromjson", args[0])
    check_length(len(text))
    meter.charge(len(text))
    try:
        value = json.loads(text, parse_constant=_no_constant, parse_int=_read_int)
        _check_nesting(value)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is not a character
    except ExpressionError:
        raise
    except (ValueError, RecursionError) as fault:
        why = fault.msg.lower() if isinstance(fault, json.JSONDecodeError) else "nested too deeply or out of range"
        raise ExpressionError(f"fromjson() cannot read the text: {why}") from None
    return check_value(value, meter)


def _no_constant(text: str) -> NoReturn:
    raise ExpressionError(f"fromjson() cannot read the text: {text} is not JSON")


def _read_int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ExpressionError("fromjson() cannot read the text: a number is too large")
    return int(text)


def _check_nesting(value: Json) -> None:
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [
            child for item in level if type(item) in (list, dict) for child in (item if type(item) is list else item.values())
        ]
        if not level:
            return
    raise ExpressionError(f"fromjson() cannot read the text: nested deeper than {MAX_JSON_DEPTH}")


# --- text -----------------------------------------------------------------------------------------------------------


def _textual(function: str, change: Callable[[str], str]) -> Callable[[Meter, list[Json]], Json]:
    def apply(meter: Meter, args: list[Json]) -> Json:
        text = demand_text(function, args[0])
        meter.charge(text_cost(text))
        changed = change(text)
        check_length(len(changed))  # one character may become three
        return changed

    return apply


def _strip(meter: Meter, args: list[Json]) -> Json:
    text = demand_text("strip", args[0])
    meter.charge(text_cost(text))
    if len(args) == 1:
        return text.strip()
    characters = demand_text("strip", args[1])
    if len(characters) > 100:
        raise ExpressionError("strip() takes at most 100 characters to strip")
    return text.strip(characters)


def _split(meter: Meter, args: list[Json]) -> Json:
    text = demand_text("split", args[0])
    if len(args) == 1:
        meter.charge(len(text) >> 1)
        return text.split()
    separator = demand_text("split", args[1])
    if not separator:
        raise ExpressionError("split() needs a separator that is not empty")
    parts = text.count(separator) + 1
    check_length(parts)
    meter.charge(parts + (text_cost(text)))
    return text.split(separator)


def _join(meter: Meter, args: list[Json]) -> Json:
    items, separator = args[0], args[1] if len(args) > 1 else ""
    if type(items) is str and type(separator) is list:
        items, separator = separator, items
    if type(items) is not list:
        wrong("join", "an array", items)
    between = demand_text("join", separator)
    check_value(items, meter)
    check_length(len(between) * max(len(items) - 1, 0))
    # An integer is its own JSON, and long lists of them are common.
    text = between.join([item if type(item) is str else str(item) if type(item) is int else as_text(item) for item in items])
    check_length(len(text))
    meter.charge(text_cost(text))
    return text


def _affix(function: str, test: Callable[[str, str], bool]) -> Callable[[Meter, list[Json]], Json]:
    def apply(meter: Meter, args: list[Json]) -> Json:
        return test(demand_text(function, args[0]), demand_text(function, args[1]))

    return apply


def _contains(meter: Meter, args: list[Json]) -> Json:
    return contains(args[1], args[0], meter)


def _replace(meter: Meter, args: list[Json]) -> Json:
    text, old, new = (demand_text("replace", arg) for arg in args)
    meter.charge((text_cost(text)) + (text_cost(old)) + 1)
    growth = text.count(old) * (len(new) - len(old))
    check_length(len(text) + max(growth, 0))
    result = text.replace(old, new)
    meter.charge(text_cost(result))
    return result


# --- objects --------------------------------------------------------------------------------------------------------


def _parts(function: str, take: Callable[[dict[str, Json]], list[Json]]) -> Callable[[Meter, list[Json]], Json]:
    def apply(meter: Meter, args: list[Json]) -> Json:
        if type(args[0]) is not dict:
            wrong(function, "an object", args[0])
        meter.charge(len(args[0]))
        return take(args[0])

    return apply


def _default(meter: Meter, args: list[Json]) -> Json:
    return args[1] if args[0] is None else args[0]


def _row(signature: str, description: str, apply: Callable[[Meter, list[Json]], Json]) -> tuple[str, Function]:
    """A table row; the signature says how many arguments there are (`[x]` may be left out, `...` is any number)."""
    name, _, inner = signature.rstrip(")").partition("(")
    required, _, optional = inner.partition("[")
    least = len([part for part in required.split(",") if part.strip()])
    most = None if "..." in inner else least + len([part for part in optional.split(",") if part.strip(" ]")])
    return name, Function(signature, description, least, most, apply)


TABLE: Final[dict[str, Function]] = dict(
    (
        _row("len(x)", "how many characters, elements or keys x has", _len),
        _row(
            "min(x[, ...])",
            "the smallest of an array, or of several values: all numbers or all texts",
            _extreme("min", -1),
        ),
        _row(
            "max(x[, ...])",
            "the largest of an array, or of several values: all numbers or all texts",
            _extreme("max", 1),
        ),
        _row("sum(numbers)", "the sum of an array of numbers; 0 if it is empty", _sum),
        _row("abs(x)", "x without its sign", _abs),
        _row("round(x[, digits])", "x rounded, halves to the even neighbour; an integer unless digits are given", _round),
        _row("int(x)", "x as an integer: a number loses its fraction, text must hold an integer, true is 1", _int),
        _row("float(x)", "x as a number with a fraction; text must hold a number", _float),
        _row("str(x)", "x as a placeholder in a text would write it: text unchanged, other values as JSON", _str),
        _row("bool(x)", "false for null, 0, empty text, arrays and objects, and the text 'false'; else true", _bool),
        _row("lower(text)", "the text in lower case", _textual("lower", str.lower)),
        _row("upper(text)", "the text in upper case", _textual("upper", str.upper)),
        _row("strip(text[, characters])", "the text without blanks (or these characters) at both ends", _strip),
        _row("split(text[, separator])", "the parts between the separators; without one, between runs of blanks", _split),
        _row(
            "join(items[, separator])",
            "the items written one after another as text; also join(separator, items)",
            _join,
        ),
        _row("startswith(text, start)", "whether the text begins so", _affix("startswith", str.startswith)),
        _row("endswith(text, end)", "whether the text ends so", _affix("endswith", str.endswith)),
        _row("contains(x, part)", "whether part is in x: in a text, among elements, among keys", _contains),
        _row("replace(text, old, new)", "the text with every old replaced by new", _replace),
        _row("fromjson(text)", "the value that a JSON text holds", _fromjson),
        _row("tojson(x)", "x as compact JSON text; strings get their quotes", _tojson),
        _row("keys(object)", "the keys of an object as an array", _parts("keys", lambda o: list(o))),
        _row("values(object)", "the values of an object as an array", _parts("values", lambda o: list(o.values()))),
        _row("default(x, y)", "y where x is null or absent, else x", _default),
        _row("sorted(items)", "an array of numbers, or of texts, in ascending order", more.sorted_),
        _row("unique(items)", "the elements of an array, of those that are equal the first", more.unique),
        _row("range(start[, stop, step])", "the integers from start to before stop; with one argument from 0", more.range_),
        _row("matches(text, pattern)", "whether the pattern (RE2) is found in the text; ^ and $ are its ends", more.matches),
        _row("query(x, expression)", "what a JMESPath expression finds in x; null for nothing", more.query),
        _row("formattime(instant, format[, zone])", "the instant as text; in UTC unless a zone is given", more.formattime),
    )
)

FUNCTIONS: Final = {name: (row.signature, row.description) for name, row in TABLE.items()}
"""Signature and description of each function, for the reference."""
