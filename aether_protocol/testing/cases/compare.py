"""How an expected value is held against an actual one, and how a difference is reported.

Law: values are compared as JSON; text is equal, or `{contains: text}`; numbers are never booleans. Nothing is coerced.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Final

from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json, SecretValue, equal
from aether_protocol.scheduler.timing import duration_text
from aether_protocol.testing.cases.fields import near, show
from aether_protocol.testing.cases.model import Case, CaseFault, Path

_WIDEST: Final = 400  # characters of one value in a message


def matches(expected: Json, actual: Json) -> bool:
    """Whether `actual` is what is expected; `{contains: text}` stands for any text that holds it, at any depth."""
    if isinstance(expected, dict):
        if set(expected) == {"contains"} and isinstance(expected["contains"], str) and isinstance(actual, str):
            return expected["contains"] in actual
        return (
            isinstance(actual, dict)
            and expected.keys() == actual.keys()
            and all(matches(value, actual[key]) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(actual, list) and len(expected) == len(actual) and all(map(matches, expected, actual))
        )
    return equal(expected, actual)


def written(value: Json) -> str:
    """A value as messages show it: JSON, cut where it is long."""
    text = json.dumps(value, ensure_ascii=False, default=_odd)
    return text if len(text) <= _WIDEST else f"{text[:_WIDEST]}... ({len(text)} characters)"


def _odd(value: object) -> Json:
    if isinstance(value, SecretValue):
        return "***"
    return dict(value) if isinstance(value, Mapping) else str(value)


class Comparison:
    """The differences found in one case. Each has the line of the field in `expect` that it is about."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.faults: list[CaseFault] = []

    def fault(self, path: Path, message: str, hint: str | None = None) -> None:
        self.faults.append(self.case.fault(path, f"{show(path)}: {message}", hint))

    def differ(self, path: Path, expected: str, actual: str) -> None:
        self.fault(path, f"expected {expected}, got {actual}")

    def same(self, path: Path, expected: Json, actual: Json) -> None:
        """One value, compared whole."""
        if not matches(expected, actual):
            self.differ(path, written(expected), written(actual))

    def instant(self, path: Path, expected: str, actual_us: int | None) -> None:
        """A duration: `actual_us` in microseconds, None where there is none."""
        if actual_us != parse_duration(expected, zero=True):
            self.differ(path, expected, "none" if actual_us is None else duration_text(actual_us))

    def some(self, path: Path, expected: Mapping[str, Json], actual: Mapping[str, Json], noun: str) -> None:
        """Names and values: those expected must be there."""
        for name, value in expected.items():
            if name in actual:
                self.same((*path, name), value, actual[name])
            else:
                self.fault((*path, name), f"expected {written(value)}, got no such {noun}", near(name, actual))

    def whole(self, path: Path, expected: Mapping[str, Json], actual: Mapping[str, Json], noun: str) -> None:
        """Names and values: exactly these."""
        self.some(path, expected, actual, noun)
        for name in actual:
            if name not in expected:
                self.fault(path, f"expected no {noun} {name!r}, got {written(actual[name])}")

    def sequence(self, path: Path, expected: Iterable[str], actual: Iterable[str]) -> bool:
        """A list of names, whole and in order; whether it is the same."""
        wanted, got = list(expected), list(actual)
        if wanted != got:
            self.differ(path, written(wanted), written(got))
        return wanted == got
