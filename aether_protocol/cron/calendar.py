"""The wall-clock times that a schedule means, on a calendar without any zone.

Law: a wall-clock time is a number, the seconds since 1970-01-01T00:00 of whatever clock it is. Days are found by month, so
that a day that comes every 28 years costs some hundred steps.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import date
from typing import Final

from aether_protocol.cron.fields import Fields

DAY: Final = 86_400
_EPOCH: Final = date(1970, 1, 1).toordinal()


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The inverse of `day_number`."""
    return date.fromordinal(number + _EPOCH)


FIRST_DAY: Final = day_number(date.min)
LAST_DAY: Final = day_number(date.max)


class WallTimes:
    """The wall-clock times of `fields`, in order, within the years 1 to 9999."""

    __slots__ = ("_either", "_fields", "_masks", "_times")

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._times = [hour * 3600 + minute * 60 for hour in sorted(fields.hours) for minute in sorted(fields.minutes)]
        self._masks: dict[tuple[int, int], int] = {}

    def since(self, time: int) -> Iterator[int]:
        """Those from `time` on."""
        day, second = divmod(time, DAY)
        times = self._times
        for found in self._days_from(day):
            start = found * DAY
            skipped = bisect_left(times, second) if found == day else 0
            for second_of_day in times[skipped:] if skipped else times:
                yield start + second_of_day

    def first(self, time: int) -> int | None:
        """The first one from `time` on."""
        return next(self.since(time), None)

    def last(self, time: int) -> int | None:
        """The last one up to and with `time`."""
        day, second = divmod(time, DAY)
        for found in self._days_to(day):
            many = bisect_right(self._times, second) if found == day else len(self._times)
            if many:
                return found * DAY + self._times[many - 1]
        return None

    def count(self, time: int, end: int) -> int:
        """How many there are from `time` on and before `end`."""
        if end <= time:
            return 0
        return self._before(end) - self._before(time) + self._whole_days(time // DAY, end // DAY) * len(self._times)

    def _before(self, time: int) -> int:
        """How many of the day of `time` lie before it."""
        day, second = divmod(time, DAY)
        return bisect_left(self._times, second) if next(self._days_from(day), None) == day else 0

    def _whole_days(self, day: int, end: int) -> int:
        """How many days match from `day` on and before `end`."""
        total = 0
        while day < end:
            here = day_of(day)
            mask, size = self._month(here.year, here.month)
            first = day - here.day  # the day before the month begins
            stop = min(first + size + 1, end)
            total += (mask >> here.day & (1 << stop - day) - 1).bit_count()
            day = stop
        return total

    def _days_from(self, day: int) -> Iterator[int]:
        if day > LAST_DAY:
            return
        here = day_of(max(day, FIRST_DAY))
        year, month, from_ = here.year, here.month, here.day
        while year <= date.max.year:
            mask = self._month(year, month)[0] >> from_ << from_
            if mask:
                base = day_number(date(year, month, 1)) - 1
                while mask:
                    lowest = mask & -mask
                    yield base + lowest.bit_length() - 1
                    mask ^= lowest
            from_ = 0
            year, month = (year + 1, 1) if month == 12 else (year, month + 1)

    def _days_to(self, day: int) -> Iterator[int]:
        if day < FIRST_DAY:
            return
        here = day_of(min(day, LAST_DAY))
        year, month, to = here.year, here.month, here.day
        while year >= date.min.year:
            mask = self._month(year, month)[0] & (1 << to + 1) - 1
            if mask:
                base = day_number(date(year, month, 1)) - 1
                while mask:
                    highest = mask.bit_length() - 1
                    yield base + highest
                    mask ^= 1 << highest
            to = 31
            year, month = (year - 1, 12) if month == 1 else (year, month - 1)

    def _month(self, year: int, month: int) -> tuple[int, int]:
        """The days of a month that match, as bits (bit 1: the first), and how many it has."""
        size = _size(year, month)
        if month not in self._fields.months:
            return 0, size
        weekday = date(year, month, 1).isoweekday() % 7
        mask = self._masks.get((weekday, size))
        if mask is None:
            mask = self._masks[weekday, size] = self._mask(weekday, size)
        return mask, size

    def _mask(self, weekday: int, size: int) -> int:
        """`weekday`: that of the first day."""
        fields = self._fields
        mask = 0
        for day in range(1, size + 1):
            by_date, by_weekday = day in fields.days, (weekday + day - 1) % 7 in fields.weekdays
            if (by_date or by_weekday) if fields.either else (by_date and by_weekday):
                mask |= 1 << day
        return mask


def _size(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
