"""The fire times of a schedule in a time zone (CRON-1).

Law: one walk over the stretches in which the zone's clock runs evenly gives them all. Where neither minute nor hour begins
with `*`, wall-clock times that a stretch shows for the second time do not count, and those that were left out just before
it count as its first instant; other schedules fire wherever the wall clock matches.

Where the wall clock shows no match from one instant on to FARTHEST before the end of the stretch, the walk continues shortly
before the match that an even clock would show next: offsets differ by less than FARTHEST, so that nothing lies between, and
clocks that are set back at the end show nothing again that matches.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import tzinfo
from functools import lru_cache
from typing import Final

from aether_protocol.cron.calendar import WallTimes
from aether_protocol.cron.fields import BadScheduleError, Fields, NeverFiresError, read_schedule
from aether_protocol.cron.zones import FARTHEST, FIRST, LAST, Stretch, find_zone, stretch_at

__all__ = ["BadScheduleError", "FireTimes", "NeverFiresError", "check_schedule", "fire_times"]

_SECOND: Final = 1_000_000


class FireTimes:
    """When a schedule fires. Instants are microseconds since the epoch; fires lie within the years 1 to 9999."""

    __slots__ = ("_fixed", "_times", "_zone")

    def __init__(self, fields: Fields, zone: tzinfo) -> None:
        self._fixed = fields.fixed
        self._times = WallTimes(fields)
        self._zone = zone

    def after(self, instant: int) -> int | None:
        """The first fire after `instant`; None where there is none any more."""
        found = next(self._from(instant // _SECOND + 1), None)
        return None if found is None else found * _SECOND

    def between(self, after: int, upto: int) -> Iterator[int]:
        """The fires after `after`, up to and with `upto`, in order and only as they are asked for."""
        end = upto // _SECOND
        for found in self._from(after // _SECOND + 1):
            if found > end:
                return
            yield found * _SECOND

    def last(self, after: int, upto: int) -> int | None:
        """The latest of the fires that `between` gives, found from the end."""
        low, instant = max(after // _SECOND + 1, FIRST), min(upto // _SECOND, LAST - 1)
        while instant >= low:
            stretch = stretch_at(self._zone, instant)
            start = max(low, stretch.start)
            time, made_up = self._enter(stretch, start)
            found = self._times.last(instant + stretch.offset)
            if found is not None and found >= time:
                return (found - stretch.offset) * _SECOND
            if made_up:
                return start * _SECOND
            if found is None:
                near = low
            else:
                near = found - stretch.offset + FARTHEST
            instant = min(near, start - 1) if instant - start > FARTHEST else start - 1
        return None

    def count(self, after: int, upto: int, limit: int | None = None) -> int:
        """How many fires `between` gives, at most `limit`. It costs some microseconds a year."""
        instant, end = max(after // _SECOND + 1, FIRST), min(upto // _SECOND + 1, LAST)
        total = 0
        while instant < end and (limit is None or total < limit):
            stretch = stretch_at(self._zone, instant)
            time, made_up = self._enter(stretch, instant)
            total += made_up + self._times.count(time, min(stretch.end, end) + stretch.offset)
            instant = stretch.end
        return total if limit is None else min(total, limit)

    def _from(self, instant: int) -> Iterator[int]:
        """All fires from `instant` on, in seconds."""
        instant = max(instant, FIRST)
        while instant < LAST:
            stretch = stretch_at(self._zone, instant)
            end, offset = stretch.end, stretch.offset
            time, made_up = self._enter(stretch, instant)
            if made_up:
                yield instant
            for found in self._times.since(time):
                fire = found - offset
                if fire >= end:
                    break
                yield fire
                instant = fire
            else:
                return
            instant = max(fire - FARTHEST, end) if end - instant > FARTHEST else end

    def _enter(self, stretch: Stretch, instant: int) -> tuple[int, bool]:
        """The wall-clock time from which `stretch` counts for one who enters it at `instant`, and whether that instant is
        a fire for times that were left out before; it is not to be counted again then."""
        time = instant + stretch.offset
        if not self._fixed or stretch.high == time:
            return time, False
        if stretch.high > time:
            return stretch.high, False
        if instant > stretch.start:
            return time, False
        left_out = self._times.first(stretch.high)
        return (time + 1, True) if left_out is not None and left_out < time else (time, False)


@lru_cache(maxsize=256)
def fire_times(schedule: str, timezone: str) -> FireTimes:
    """The fire times of `schedule` in the IANA zone `timezone`. Raises BadScheduleError."""
    return FireTimes(read_schedule(schedule), find_zone(timezone))


def check_schedule(schedule: str) -> tuple[str, str] | None:
    """What is wrong with `schedule` in any zone, and what to do about it."""
    try:
        read_schedule(schedule)
    except BadScheduleError as error:
        return error.message, error.hint or ""
    return None
