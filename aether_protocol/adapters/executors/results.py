"""What executors here share: how text from outside becomes a value, which is JSON (finite numbers, string keys)."""

from __future__ import annotations

import json

from aether_protocol.expressions.values import Json, respelt


def shorten(text: str, limit: int) -> str:
    """Text for people, cut to `limit` characters. It must be masked already: half a secret is not known as one (DATA-12)."""
    return text if len(text) <= limit else f"{text[: limit - 1]}\u2026"


def read_json(text: str) -> Json:
    """`text` as one JSON value. Raises ValueError, also for NaN, Infinity and numbers that do not fit a double."""
    try:
        return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except RecursionError:
        raise ValueError("JSON is nested too deeply") from None


def read_typed(text: str, type_: str) -> Json:
    """Text as the value of an output of type `type_`: read as JSON where the type is not string (EXEC-3).

    Text that is not JSON stays text; whether that fits the declared type is for the scheduler to say (DATA-9). So does a number
    that would lose its spelling and that no declared type asks for (DOC-10).
    """
    if type_ == "string":
        return text
    try:
        value = read_json(text)
    except ValueError:
        return text
    return text if type_ == "any" and respelt(value, text) else value


def _refuse(name: str) -> Json:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if number in (float("inf"), float("-inf")):
        raise ValueError(f"number {text} is too large")
    return number
