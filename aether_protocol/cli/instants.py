"""Instants on the command line: `2h` ago, or a date, or RFC 3339.

Law: what is given without a time zone is in the machine's own.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

import click

from aether_protocol.expressions.durations import parse_duration


def now_us() -> int:
    """Microseconds since the epoch."""
    return int(datetime.now().timestamp() * 1_000_000)


if TYPE_CHECKING:
    _Type = click.ParamType[int]
else:
    _Type = click.ParamType


class Instant(_Type):
    """An instant in microseconds since the epoch; a duration means as long ago."""

    name = "instant"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return now_us() - parse_duration(value)
        except ValueError:
            pass
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1_000_000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither a duration (2h: two hours ago) nor a time like 2026-01-01T12:00:00Z", param, ctx)


class Span(_Type):
    """A duration in microseconds."""

    name = "duration"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_duration(value)
        except ValueError as error:
            self.fail(f"{error}: for example 30d, 12h or 1h30m", param, ctx)
