"""Instants as JSON: RFC 3339 in UTC, with microseconds where there are any."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

from msgspec import Meta

from aether_protocol.scheduler.timing import rfc3339

Instant = Annotated[
    str,
    Meta(
        description="An instant in UTC, RFC 3339.",
        examples=["2026-01-31T12:00:00Z", "2026-01-31T12:00:00.250000Z"],
        extra_json_schema={"format": "date-time"},
    ),
]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def read_instant(text: str) -> int:
    """Give microseconds since the epoch. Raises ValueError for what is not an instant with its zone."""
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError(f"{text!r} has no zone: write Z for UTC")
    return (at - _EPOCH) // _MICROSECOND


def read_optional(text: str | None) -> int | None:
    """`read_instant`, or None for None."""
    return None if text is None else read_instant(text)


def optional_instant(instant: int | None) -> str | None:
    """Write an instant, or None for None."""
    return None if instant is None else rfc3339(instant)
