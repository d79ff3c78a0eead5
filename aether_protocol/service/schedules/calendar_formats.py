"""A schedule in the words of other schedulers: the five fields of a crontab, and OnCalendar of systemd.

Law: pure. Where the clock of a zone runs evenly, what is written here means exactly the times of the schedule; when clocks
are changed, others have rules of their own.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from itertools import pairwise
from typing import Final

from aether_protocol.cron.fields import SHORTHANDS, Fields, read_schedule

_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")
_NAMES: Final[Mapping[str, int]] = {
    **{name: number for number, name in enumerate(_MONTHS, 1)},
    **{name.upper(): number for number, name in enumerate(_WEEKDAYS)},
}
_LASTS: Final = (59, 23, 31, 12, 6)
_STEP: Final = re.compile(r"([0-9]+)/([0-9]+)")


def crontab_fields(schedule: str) -> str:
    """The five fields as every cron reads them: numbers for names, no shorthand, no `5/15` (which is 5 alone to many)."""
    words = SHORTHANDS.get(schedule, schedule).split()
    return " ".join(",".join(_term(term, field) for term in word.split(",")) for field, word in enumerate(words))


def _term(term: str, field: int) -> str:
    numbers = re.sub(r"[A-Za-z]+", lambda name: str(_NAMES[name[0].upper()]), term)
    first, dash, rest = numbers.partition("-")
    if dash and field == 4 and rest.partition("/")[0] == "0" and first != "0":  # MON-SUN
        numbers = f"{first}-7{rest[1:]}"
    if step := _STEP.fullmatch(numbers):
        begin = int(step[1]) % 7 if field == 4 else int(step[1])
        return f"{begin}-{_LASTS[field]}/{step[2]}" if begin != _LASTS[field] else str(begin)
    return numbers


def calendars(schedule: str, timezone: str) -> list[str]:
    """OnCalendar expressions that together mean the schedule: two, where either a day of the month or a weekday will do."""
    fields = read_schedule(schedule)
    time = f"{_listed(fields.hours, 0, 23)}:{_listed(fields.minutes, 0, 59)}:00 {timezone}"
    if fields.either:
        return [_days(fields, days=True, weekdays=False) + time, _days(fields, days=False, weekdays=True) + time]
    return [_days(fields, days=True, weekdays=True) + time]


def _days(fields: Fields, *, days: bool, weekdays: bool) -> str:
    months = _listed(fields.months, 1, 12)
    of_month = _listed(fields.days, 1, 31) if days else "*"
    named = ""
    if weekdays and len(fields.weekdays) < 7:
        named = ",".join(_WEEKDAYS[day] for day in sorted(fields.weekdays, key=lambda day: (day - 1) % 7)) + " "
    return f"{named}*-{months}-{of_month} "


def _listed(values: Collection[int], low: int, high: int) -> str:
    """`*`, a step (`0/15`), or the values with their ranges (`8..18`)."""
    ordered = sorted(values)
    if len(ordered) == high - low + 1:
        return "*"
    gaps = {after - before for before, after in pairwise(ordered)}
    if len(ordered) > 2 and len(gaps) == 1 and (gap := gaps.pop()) > 1 and ordered[-1] + gap > high:
        return f"{ordered[0]:02}/{gap}"
    return ",".join(f"{start:02}" if start == end else f"{start:02}..{end:02}" for start, end in _ranges(ordered))


def _ranges(ordered: list[int]) -> list[tuple[int, int]]:
    ranges: list[tuple[int, int]] = []
    for value in ordered:
        if ranges and ranges[-1][1] == value - 1:
            ranges[-1] = (ranges[-1][0], value)
        else:
            ranges.append((value, value))
    return ranges
