"""Instants on the command line: `2h` ago, or a date, or RFC 3339.

Law: what is given without a time zone is in the machine's own, and where a schedule is asked about, in that schedule's.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING

import click
from msgspec import Struct

from aether_protocol.expressions.durations import parse_duration


def now_us() -> int:
    """Microseconds since the epoch."""
    return int(datetime.now().timestamp() * 1_000_000)


class Moment(Struct, frozen=True):
    """An instant that may still need a zone: `at` in microseconds since the epoch, or the local time; a day as a whole."""

    at: int | None
    local: datetime | None = None
    is_day: bool = False

    def first(self, zone: tzinfo) -> int:
        """The instant; of a day the first one."""
        if self.at is not None:
            return self.at
        assert self.local is not None
        return _instant_us(self.local.replace(tzinfo=zone))

    def last(self, zone: tzinfo) -> int:
        """The instant; of a day the last one."""
        if self.local is None or not self.is_day:
            return self.first(zone)
        return _instant_us((self.local + timedelta(days=1)).replace(tzinfo=zone)) - 1


def _instant_us(given: datetime) -> int:
    return round(given.timestamp() * 1_000_000)


if TYPE_CHECKING:
    _Type = click.ParamType[int]
    _MomentType = click.ParamType[Moment]
else:
    _Type = _MomentType = click.ParamType


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


class Ahead(_Type):
    """An instant in microseconds since the epoch; a duration means so long from now."""

    name = "instant"

    def convert(self, value: str | int, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return now_us() + parse_duration(value)
        except ValueError:
            pass
        try:
            return int(datetime.fromisoformat(value).timestamp() * 1_000_000)
        except (ValueError, OverflowError, OSError):
            self.fail(f"{value!r} is neither a duration (90d: in 90 days) nor a time like 2027-01-01T12:00:00Z", param, ctx)


class ZonedInstant(_MomentType):
    """As `Instant`, for times that are read in the zone of a schedule."""

    name = "instant"

    def convert(self, value: str | Moment, param: click.Parameter | None, ctx: click.Context | None) -> Moment:
        if isinstance(value, Moment):
            return value
        try:
            return Moment(now_us() - parse_duration(value))
        except ValueError:
            pass
        try:
            given = datetime.fromisoformat(value)
            if given.tzinfo is not None:
                return Moment(_instant_us(given))
            moment = Moment(None, given, len(value) <= len("2026-01-01"))
            moment.last(UTC)
        except (ValueError, OverflowError, OSError):
            told = f"{value!r} is neither a duration (2h: two hours ago) nor a time like 2026-01-01 or 2026-01-01T12:00"
            self.fail(told, param, ctx)
        return moment


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
