"""The functions that aether adds to those of other runtimes (DATA-7): of lists, patterns, queries and instants.

Law: bounded and pure, as all functions are. What a pattern or a query needs is imported with the first one that is evaluated.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from typing import Any, Final

from aether_protocol.expressions.arguments import array, integer, number, text, wrong
from aether_protocol.expressions.limits import Meter, check_characters, check_value, text_cost
from aether_protocol.expressions.names import ExpressionError
from aether_protocol.expressions.operators import is_number
from aether_protocol.expressions.values import Json

MAX_RANGE: Final = 100_000  # elements that range() gives
MAX_PATTERN: Final = 1_000  # characters of a pattern, a query, a format

_PATTERN_MEMORY: Final = 1 << 20  # bytes of a compiled pattern: what bounds the work for each character
_VISIT: Final = 4  # what a step of a query is charged


# --- lists ----------------------------------------------------------------------------------------------------------


def sorted_(meter: Meter, args: list[Json]) -> Json:
    """The elements in ascending order."""
    items = array("sorted", args[0])
    meter.charge(len(items) * max(len(items).bit_length(), 1) // 4)
    if not (all(map(is_number, items)) or all(type(item) is str for item in items)):
        raise ExpressionError("sorted() needs an array of numbers or of texts")
    if any(item != item for item in items):
        raise ExpressionError("a value that is not a number has no order")
    return sorted(items)


def unique(meter: Meter, args: list[Json]) -> Json:
    """The elements without those that equal one before them."""
    items = array("unique", args[0])
    check_value(items, meter)
    first: dict[Any, Json] = {}
    for item in items:
        first.setdefault(_identity(item), item)
    return list(first.values())


def _identity(value: Json) -> Any:
    """Something to look up by that is equal where two values are."""
    if type(value) is list:
        return ("list", *map(_identity, value))
    if type(value) is dict:
        return ("object", frozenset((key, _identity(item)) for key, item in value.items()))
    return type(value) is bool, value


def range_(meter: Meter, args: list[Json]) -> Json:
    """Integers from a start up to a stop."""
    bounds = [integer("range", value) for value in args]
    start, stop, step = (0, bounds[0], 1) if len(bounds) == 1 else (*bounds, 1)[:3]
    if step == 0:
        raise ExpressionError("range() needs a step that is not 0")
    count = max(0, -((start - stop) // step))
    if count > MAX_RANGE:
        raise ExpressionError(f"range() gives at most {MAX_RANGE} elements")
    meter.charge(count)
    return [start + step * index for index in range(count)]


# --- patterns and queries -------------------------------------------------------------------------------------------


def _short(function: str, what: str, value: Json) -> str:
    given = text(function, value)
    if len(given) > MAX_PATTERN:
        raise ExpressionError(f"{function}() takes {what} of at most {MAX_PATTERN} characters")
    check_characters(given)
    return given


def matches(meter: Meter, args: list[Json]) -> Json:
    """Whether a pattern is found in a text."""
    subject = text("matches", args[0])
    pattern = _pattern(_short("matches", "a pattern", args[1]))
    check_value(subject, meter)
    meter.charge(text_cost(subject) * 4 + 1)
    return pattern.search(subject) is not None


@lru_cache(maxsize=256)
def _pattern(pattern: str) -> Any:
    try:
        import re2  # type: ignore[import-untyped]  # comes without types
    except ImportError:
        raise ExpressionError("matches() needs the package google-re2, which is not installed here") from None
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _PATTERN_MEMORY
    try:
        return re2.compile(pattern, options)
    except re2.error as fault:
        told = fault.args[0] if fault.args else fault
        why = told.decode("utf-8", "replace") if isinstance(told, bytes) else str(told)
        raise ExpressionError(f"matches() cannot read the pattern: {why}") from None


def query(meter: Meter, args: list[Json]) -> Json:
    """What a JMESPath expression finds in a value."""
    search = _query(_short("query", "an expression", args[1]))
    check_value(args[0], meter)
    try:
        return check_value(_interpreter()(meter).visit(search, args[0]), meter)
    except (ArithmeticError, LookupError, TypeError, ValueError) as fault:
        raise ExpressionError(f"query() failed: {str(fault).splitlines()[0] if str(fault) else 'no reason given'}") from None


@lru_cache(maxsize=256)
def _query(expression: str) -> Any:
    import jmespath  # type: ignore[import-untyped]  # comes without types

    try:
        return jmespath.compile(expression).parsed
    except ValueError as fault:
        why = str(fault).splitlines()[0] if str(fault) else "it is empty"
        raise ExpressionError(f"query() cannot read the expression: {why}") from None


@lru_cache(maxsize=1)
def _interpreter() -> Any:
    """JMESPath's interpreter with a meter: each step counts, and so does the size of whatever is newly made."""
    from jmespath import visitor

    class Metered(visitor.TreeInterpreter):  # type: ignore[misc]  # the package has no types
        def __init__(self, meter: Meter) -> None:
            super().__init__()
            self.meter = meter

        def visit(self, node: Any, *args: Any, **more: Any) -> Any:
            self.meter.charge(_VISIT)
            found = super().visit(node, *args, **more)
            if node["type"] in _MAKES and type(found) in (str, list, dict):
                check_value(found, self.meter)
            return found

    return Metered


_MAKES: Final = frozenset({"multi_select_list", "multi_select_dict", "function_expression", "flatten"})


# --- instants -------------------------------------------------------------------------------------------------------

_INSTANT: Final = (
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:[Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_OFFSET: Final = r"([+-])([0-9]{2}):([0-9]{2})"
_ZONE: Final = r"[A-Za-z][A-Za-z0-9_+-]{0,31}(?:/[A-Za-z0-9_+-]{1,31}){0,3}"
_DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_START: Final = datetime(1970, 1, 1, tzinfo=UTC)

# No strftime: it follows the locale, and differs between systems.
FORMATS: Final[dict[str, Callable[[datetime], str]]] = {
    "%Y": lambda at: f"{at.year:04d}",
    "%y": lambda at: f"{at.year % 100:02d}",
    "%m": lambda at: f"{at.month:02d}",
    "%d": lambda at: f"{at.day:02d}",
    "%H": lambda at: f"{at.hour:02d}",
    "%I": lambda at: f"{(at.hour + 11) % 12 + 1:02d}",
    "%M": lambda at: f"{at.minute:02d}",
    "%S": lambda at: f"{at.second:02d}",
    "%f": lambda at: f"{at.microsecond:06d}",
    "%p": lambda at: "AM" if at.hour < 12 else "PM",
    "%a": lambda at: _DAYS[at.weekday()][:3],
    "%A": lambda at: _DAYS[at.weekday()],
    "%b": lambda at: _MONTHS[at.month - 1][:3],
    "%B": lambda at: _MONTHS[at.month - 1],
    "%j": lambda at: f"{at.timetuple().tm_yday:03d}",
    "%u": lambda at: str(at.isoweekday()),
    "%G": lambda at: f"{at.isocalendar().year:04d}",
    "%V": lambda at: f"{at.isocalendar().week:02d}",
    "%s": lambda at: str((at - _START) // timedelta(seconds=1)),
    "%z": lambda at: _offset(at).replace(":", ""),
    "%:z": lambda at: _offset(at),
    "%%": lambda at: "%",
}
_TOKEN: Final = "%:?.?"


def formattime(meter: Meter, args: list[Json]) -> Json:
    """An instant as text."""
    form = _short("formattime", "a format", args[1])
    at = _instant(args[0])
    try:
        at = at.astimezone(_zone(text("formattime", args[2])) if len(args) > 2 else UTC)
    except OverflowError:
        raise ExpressionError("formattime() takes instants of the years 1 to 9999") from None
    return re.sub(_TOKEN, lambda found: _written(found.group(), at), form, flags=re.DOTALL)


def _written(token: str, at: datetime) -> str:
    write = FORMATS.get(token)
    if write is None:
        raise ExpressionError(f"formattime() knows no {token!r}; it knows {' '.join(FORMATS)}")
    return write(at)


def _instant(value: Json) -> datetime:
    try:
        if type(value) is str:
            if not re.fullmatch(_INSTANT, value):
                raise ValueError
            return datetime.fromisoformat(value.upper())
        if not is_number(value):
            wrong("formattime", "an RFC 3339 text or a number of seconds since 1970", value)
        seconds = number("formattime", value)
        if not math.isfinite(seconds):
            raise ValueError
        return _START + timedelta(seconds=seconds)
    except OverflowError:
        raise ExpressionError("formattime() takes instants of the years 1 to 9999") from None
    except ValueError:
        raise ExpressionError(f"formattime() needs an instant such as '2026-01-01T00:00:00Z', not {value!r:.60}") from None


@lru_cache(maxsize=64)
def _zone(name: str) -> tzinfo:
    if offset := re.fullmatch(_OFFSET, name):
        minutes = int(offset[2]) * 60 + int(offset[3])
        if minutes < 24 * 60 and int(offset[3]) < 60:
            return timezone((-1 if offset[1] == "-" else 1) * timedelta(minutes=minutes))
    from zoneinfo import ZoneInfo

    try:
        if not re.fullmatch(_ZONE, name):
            raise ValueError
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        raise ExpressionError(f"formattime() knows no time zone {name[:60]!r}: give an IANA name or an offset") from None


def _offset(at: datetime) -> str:
    seconds = int((at.utcoffset() or timedelta()).total_seconds())
    return f"{'-' if seconds < 0 else '+'}{abs(seconds) // 3600:02d}:{abs(seconds) // 60 % 60:02d}"
