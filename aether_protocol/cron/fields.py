"""The text of a schedule: five fields, or one of the @ names (CRON-1, SPEC-7).

Law: what a schedule may hold is decided here, with the field and the place of every fault. croniter only expands terms
that have passed: left to itself it knows more (seconds, years, `L W # ? R H`), reads `5-5` as every value and goes round
the end of a field in ranges.

A range may end with SUN after another day (MON-SUN), which is 7 there. `N/S` counts from N to the last value of the field;
the last weekday is 6, Saturday, and 7 is 0.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from msgspec import Struct

from aether_protocol.errors import UsageError

MOST_CHARACTERS: Final = 256
_GENERAL: Final = "a field takes numbers, names (JAN, MON), *, lists (1,15), ranges (1-5) and steps (*/10)"
SHORTHANDS: Final = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_MONTHS: Final = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")
_WEEKDAYS: Final = ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")
_LONGEST: Final = {2: 29, 4: 30, 6: 30, 9: 30, 11: 30}

_WORD: Final = "[^ \t]+"
_TERM: Final = r"(?:\*|([0-9]+|[A-Za-z]+)(?:-([0-9]+|[A-Za-z]+))?)(?:/([0-9]+))?"
# What other kinds of cron know, and what to write here instead.
_FOREIGN: Final = (
    (r".*\?.*", "write * instead of ?"),
    (r".*#.*", "the nth weekday of a month has no spelling: schedule every one, and let the workflow check the date"),
    (
        r"([0-9]+|[A-Z]{3})?L|LW|WL|[0-9]*W|L-[0-9]+",
        "last days and nearest weekdays have no spelling: schedule all that it may be, and let the workflow check the date",
    ),
    (r"[HR](\(.*)?(/.*)?", "times by hash or by chance have no spelling: choose one"),
)


class _Kind(NamedTuple):
    name: str
    low: int
    high: int  # what may be written
    last: int  # where `*` and `N/S` end
    names: tuple[str, ...] = ()

    @property
    def hint(self) -> str:
        if self.name == "month":
            return "give 1 to 12, or JAN to DEC"
        if self.name == "day of week":
            return "give 0 to 7 (0 and 7 are Sunday), or SUN to SAT"
        return f"give {self.low} to {self.high}"


_KINDS: Final = (
    _Kind("minute", 0, 59, 59),
    _Kind("hour", 0, 23, 23),
    _Kind("day of month", 1, 31, 31),
    _Kind("month", 1, 12, 12, _MONTHS),
    _Kind("day of week", 0, 7, 6, _WEEKDAYS),
)


class BadScheduleError(UsageError):
    """A schedule that cannot be read or never fires, or a zone that there is none of.

    `field` is the number of the faulty field, from 0 (None: no single one); `offset` counts characters of the schedule.
    """

    def __init__(self, message: str, *, hint: str | None = None, field: int | None = None, offset: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.field = field
        self.offset = offset


class NeverFiresError(BadScheduleError):
    """A schedule of days that no calendar has."""


class Fields(Struct, frozen=True):
    """The five fields as values; weekdays count from Sunday, 0.

    `either`: a day needs to match in one of its two fields only, as neither begins with `*`. `fixed`: neither minute nor
    hour begins with `*`, so that each local time fires once (CRON-1).
    """

    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    either: bool
    fixed: bool


class _Place(NamedTuple):
    """Where in a schedule a term stands."""

    field: int
    offset: int
    word: str

    def bad(self, what: str, hint: str) -> BadScheduleError:
        return BadScheduleError(f"{_KINDS[self.field].name} {what}", hint=hint, field=self.field, offset=self.offset)


def read_schedule(schedule: str) -> Fields:
    """The fields of `schedule`. Raises BadScheduleError, NeverFiresError."""
    words = _words(schedule)
    texts = [
        ",".join(dict.fromkeys(_checked_terms(_Place(field, match.start(), match.group()))))
        for field, match in enumerate(words)
    ]
    minutes, hours, days, months, weekdays = _expand(texts)
    stars = [match.group().startswith("*") for match in words]
    either = not stars[2] and not stars[4]
    longest = max(_LONGEST.get(month, 31) for month in months)
    if not either and min(days) > longest:
        of = "months" if len(months) > 1 else "month"
        raise NeverFiresError(
            f"{schedule!r} never fires: there is no day {min(days)} in {of} {words[3].group()!r}",
            hint=f"give a day up to {longest}",
            field=2,
            offset=words[2].start(),
        )
    return Fields(
        minutes=minutes,
        hours=hours,
        days=days,
        months=months,
        weekdays=weekdays,
        either=either,
        fixed=not stars[0] and not stars[1],
    )


def _words(schedule: str) -> list[re.Match[str]]:
    if len(schedule) > MOST_CHARACTERS:
        raise BadScheduleError(
            f"a schedule of {len(schedule)} characters is too long", hint=f"use ranges and steps: at most {MOST_CHARACTERS}"
        )
    if schedule.startswith("@"):
        known = ", ".join(SHORTHANDS)
        hint = f"there are {known}; or give five fields: minute hour day month weekday"
        if schedule not in SHORTHANDS:
            raise BadScheduleError(f"{schedule!r} is not a schedule", hint=hint)
        schedule = SHORTHANDS[schedule]
    words = list(re.finditer(_WORD, schedule))
    if len(words) != 5:
        hint = "give five: minute hour day month weekday"
        if len(words) in (6, 7):
            hint += "; there are none for seconds and years"
        raise BadScheduleError(f"{schedule!r} has {len(words)} field{'s' * (len(words) != 1)}", hint=hint)
    return words


def _checked_terms(place: _Place) -> list[str]:
    """The terms of one field as croniter reads them rightly: numbers alone, and no range of one value."""
    kind = _KINDS[place.field]
    terms = []
    offset = place.offset
    for term in place.word.split(","):
        terms.append(_checked(kind, term, place._replace(offset=offset)))
        offset += len(term) + 1
    return terms


def _checked(kind: _Kind, term: str, place: _Place) -> str:
    if not term:
        raise place.bad(f"{place.word!r} has an empty place in its list", "leave out the comma that is too many")
    for form, hint in _FOREIGN:
        if re.fullmatch(form, term, re.IGNORECASE):
            raise place.bad(f"{term!r} is not understood", hint)
    match = re.fullmatch(_TERM, term)
    if match is None:
        raise place.bad(f"{term!r} is not understood", _GENERAL)
    low, high, step = match.groups()
    if step is not None and int(step) == 0:
        raise place.bad(f"{term!r} has a step of nothing", "a step is 1 or more")
    if low is None:
        first, last = kind.low, kind.last
    elif high is None:
        first = last = _value(kind, low, place)
        if step is not None:
            last = kind.last
            first = 0 if first > last else first
    else:
        first, last = _value(kind, low, place), _value(kind, high, place)
        if first > 0 and high.upper() == "SUN":
            last = 7
        if first > last:
            raise place.bad(f"{term!r} ends before it begins", _round_the_end(kind, match, first, last))
    if first == last:
        return str(first)
    return f"{first}-{last}" if step is None else f"{first}-{last}/{step}"


def _value(kind: _Kind, text: str, place: _Place) -> int:
    if text.isdigit():
        value = int(text)
        if not kind.low <= value <= kind.high:
            raise place.bad(f"{text!r} is not within {kind.low} to {kind.high}", kind.hint)
        return value
    if text.upper() not in kind.names:
        raise place.bad(f"{text!r} is not a {kind.name if kind.names else 'number'}", kind.hint)
    return kind.names.index(text.upper()) + kind.low


def _round_the_end(kind: _Kind, term: re.Match[str], first: int, last: int) -> str:
    """How to write a range that goes past the end of the field."""
    low, high, step = term.groups()
    if kind.high == 7 and 0 in (first % 7, last):  # Sunday by the number of the other end of the week
        return f"write {f'{low}-7' if last == 0 else f'0-{high}'}{f'/{step}' if step else ''}"
    if step is not None:
        size = kind.last - kind.low + 1
        values = range(first, last + size + 1, int(step))
        return "write the values: " + ",".join(str((value - kind.low) % size + kind.low) for value in values)
    named = bool(kind.names) and not (low + high).isdigit()
    begin, end = (1, 7) if kind.high == 7 else (kind.low, kind.high)
    begins = kind.names[begin - kind.low] if named else str(begin)
    ends = kind.names[(end - kind.low) % len(kind.names)] if named else str(end)
    return f"write {low if first == end else f'{low}-{ends}'},{high if last == begin else f'{begins}-{high}'}"


def _expand(texts: list[str]) -> list[frozenset[int]]:
    from croniter import croniter  # only what has a schedule pays for it

    expanded, _ = croniter.expand(" ".join(texts))
    every = (range(kind.low, kind.last + 1) for kind in _KINDS)
    return [frozenset(whole) if "*" in some else frozenset(map(int, some)) for some, whole in zip(expanded, every, strict=True)]
