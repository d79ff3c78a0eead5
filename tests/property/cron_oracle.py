"""Fire times by brute force, from the text of CRON-1 and nothing else: the wall clock of a zone is looked at in every minute.

Law: shares no code with aether_protocol.cron. It reads the schedules that tests write (no checks), in time that
is proportional to the window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

EPOCH = datetime(1970, 1, 1)
LOWEST = (0, 0, 1, 1, 0)
HIGHEST = (59, 23, 31, 12, 6)
WEEKDAYS = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
NAMES = {name: str(value) for first, names in enumerate((WEEKDAYS, MONTHS)) for value, name in enumerate(names, first)}

Clock = Sequence[tuple[int, datetime]]  # instants in seconds, each with what the wall clock shows


@dataclass(frozen=True)
class Oracle:
    """The five fields of a schedule, as sets of numbers."""

    fields: tuple[frozenset[int], ...]
    either: bool
    fixed: bool

    def matches(self, wall: datetime) -> bool:
        minutes, hours = self.fields[:2]
        return wall.second == 0 and wall.minute in minutes and wall.hour in hours and self.matches_day(wall)

    def matches_day(self, wall: datetime) -> bool:
        _, _, days, months, weekdays = self.fields
        by_date, by_weekday = wall.day in days, wall.isoweekday() % 7 in weekdays
        return wall.month in months and ((by_date or by_weekday) if self.either else (by_date and by_weekday))

    def fires(self, clock: Clock, step: int = 60) -> Iterator[int]:
        """The instants of `clock` that fire; `step` seconds lie between two of them."""
        if not self.fixed:
            yield from (instant for instant, wall in clock if self.matches(wall))
            return
        shown: set[datetime] = set()
        before = clock[0][1] - timedelta(seconds=step)
        for instant, wall in clock:
            due = False
            expected = before + timedelta(seconds=step)
            while expected < wall:  # left out by the clock
                due = due or (expected not in shown and self.matches(expected))
                shown.add(expected)
                expected += timedelta(seconds=step)
            if wall not in shown and self.matches(wall):
                due = True
            shown.add(wall)
            before = wall
            if due:
                yield instant


def oracle(schedule: str) -> Oracle:
    words = schedule.upper().split()
    return Oracle(
        tuple(frozenset(values(word, field)) for field, word in enumerate(words)),
        either=not words[2].startswith("*") and not words[4].startswith("*"),
        fixed=not words[0].startswith("*") and not words[1].startswith("*"),
    )


def values(word: str, field: int) -> Iterable[int]:
    for entry in word.split(","):
        body, _, step = entry.partition("/")
        if body == "*":
            low, high = LOWEST[field], HIGHEST[field]
        else:
            first, _, last = body.partition("-")
            low = int(NAMES.get(first, first))
            high = int(NAMES.get(last, last)) if last else (HIGHEST[field] if step else low)
            if last == "SUN":
                high = 7
        for value in range(low, high + 1, int(step or 1)):
            yield value % 7 if field == 4 else value


def wall_clock(zone: ZoneInfo, start: int, end: int, step: int = 60) -> Clock:
    """What the clock of `zone` shows at `start`, at `end`, and every `step` seconds between."""
    return [
        (instant, (EPOCH + timedelta(seconds=instant)).replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None))
        for instant in range(start, end + 1, step)
    ]
