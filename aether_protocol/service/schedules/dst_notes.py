"""Explain fires at a change to or from daylight saving time (DST): a local time that is skipped, or comes twice (CRON-1).

Law: pure; the zone alone is asked. A fire that is like every other has no note.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Literal

from msgspec import Struct

from aether_protocol.cron.fields import read_schedule

Kind = Literal["skipped", "only-first", "first", "second"]


class Oddity(Struct, frozen=True):
    """`kind`: skipped (it stands for local times that there are none of that day), only-first (the local time comes twice and
    fires once), first and second (it comes twice and fires twice)."""

    kind: Kind
    text: str


def moment(at: int, zone: tzinfo) -> datetime:
    """The instant `at`, in microseconds since the epoch, in a zone."""
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)).astimezone(zone)


def oddity(schedule: str, zone: tzinfo, at: int) -> Oddity | None:
    """What is odd about the fire of `schedule` at the instant `at`."""
    fields = read_schedule(schedule)
    local = moment(at, zone)
    before = moment(at - 1, zone)
    gap = (local.utcoffset() or timedelta()) - (before.utcoffset() or timedelta())
    if gap > timedelta() and not (local.minute in fields.minutes and local.hour in fields.hours):
        begin, end = local.replace(tzinfo=None) - gap, local.replace(tzinfo=None)
        form = "%H:%M" if begin.date() == end.date() else "%Y-%m-%d %H:%M"
        return Oddity("skipped", f"for a time that is skipped: the clock goes from {begin:{form}} to {end:{form}}")
    if local.replace(fold=0).utcoffset() == local.replace(fold=1).utcoffset():
        return None
    if fields.fixed:
        return Oddity("only-first", f"{local:%H:%M} comes twice: it fires at the first one only")
    if local.fold:
        return Oddity("second", f"{local:%H:%M} comes twice: this is the second one")
    return Oddity("first", f"{local:%H:%M} comes twice: this is the first one")
