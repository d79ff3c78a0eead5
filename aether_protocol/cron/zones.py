"""A time zone as stretches of time in which its clock runs evenly.

Law: zones are asked in one direction only, from an instant to the offset there; everything else follows. Between two
questions that are a day apart an offset changes once or not at all (of all changes on record the two that are closest lie
four days apart). Instants are seconds since the epoch here, wall-clock times those of calendar.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final, NamedTuple

from aether_protocol.cron.calendar import DAY, FIRST_DAY, LAST_DAY, day_number, day_of
from aether_protocol.cron.fields import BadScheduleError

FIRST: Final = (FIRST_DAY + 2) * DAY  # so that no clock of any zone leaves the calendar
LAST: Final = (LAST_DAY - 2) * DAY
FARTHEST: Final = 26 * 3600  # what a clock is set forward or back by is less than this

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Stretch(NamedTuple):
    """The instants from `start` on and before `end`, in which the clock is `offset` seconds ahead of UTC.

    `high`: the wall-clock times below it were reached before `start`. It is beyond the first time of the stretch where
    clocks were set back, and short of it where they were set forward.
    """

    start: int
    end: int
    offset: int
    high: int


def find_zone(name: str) -> tzinfo:
    """The zone of an IANA name. Raises BadScheduleError where there is none."""
    if name == "UTC":
        return UTC
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only schedules in other zones pay for it

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        hint = "give an IANA name such as Europe/Vienna; a machine without any zones needs the package tzdata"
        raise BadScheduleError(f"{name!r} is not a time zone", hint=hint) from None


def stretch_at(zone: tzinfo, instant: int) -> Stretch:
    """The stretch that `instant`, from FIRST on and before LAST, lies in. Stretches end with the years of UTC at the latest."""
    if zone is UTC:
        return _UTC
    year = day_of(instant // DAY).year
    stretches = _year(zone, year)
    for stretch in stretches:
        if instant < stretch.end:
            break
    return stretch


_UTC: Final = Stretch(FIRST, LAST, 0, FIRST)


@lru_cache(maxsize=1024)
def _year(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    begin = max(FIRST, _new_year(year))
    end = min(LAST, _new_year(year + 1))
    start = max(FIRST, begin - 2 * DAY)  # clocks that were set back just before may still be behind
    offset = _offset(zone, start)
    high = start + offset
    stretches = []
    for change, after in (*_changes(zone, start, end), (end, 0)):
        if change > begin:
            if start < begin:
                start, high = begin, max(high, begin + offset)
            stretches.append(Stretch(start, change, offset, high))
        high = max(high, change + offset)
        start, offset = change, after
    return tuple(stretches)


def _changes(zone: tzinfo, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The instants after `start` and before `end` at which the offset changes, each with the new one."""
    offset = _offset(zone, start)
    while start < end:
        probe = min(start + DAY, end - 1)
        after = _offset(zone, probe)
        if after == offset:
            start = probe if probe < end - 1 else end
            continue
        low, high = start, probe  # the offset changes after low, at high at the latest
        while high - low > 1:
            middle = (low + high) // 2
            if _offset(zone, middle) == offset:
                low = middle
            else:
                high = middle
        start, offset = high, _offset(zone, high)
        yield start, offset


def _offset(zone: tzinfo, instant: int) -> int:
    found = (_EPOCH + timedelta(seconds=instant)).astimezone(zone).utcoffset()
    assert found is not None
    return found.days * DAY + found.seconds


def _new_year(year: int) -> int:
    if year > date.max.year:
        return (LAST_DAY + 1) * DAY
    return day_number(date(year, 1, 1)) * DAY
