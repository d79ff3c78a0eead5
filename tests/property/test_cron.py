"""Fire times against a brute-force oracle, against cronsim, and against themselves (CRON-1).

What is covered: every change of the clock of every IANA zone from 2020 to 2030, with schedules that aim at it; odd changes
of the past, to the second; random schedules in random zones from 1975 to 2100; random days in the far future.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import groupby, islice, pairwise
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from cronsim import CronSim
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.cron.fields import NeverFiresError, read_schedule
from aether_protocol.cron.schedule import FireTimes, fire_times
from tests.property.cron_oracle import EPOCH, Clock, Oracle, oracle, wall_clock

SECOND = 1_000_000
HOUR, DAY = 3600, 86_400
ZONES = sorted(available_timezones())
fields_of = cache(read_schedule)
oracle_of = cache(oracle)

Change = tuple[int, int, int]  # the instant, and the offsets before and from it on


def instant(year: int, month: int = 1, day: int = 1, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp())


def offset(zone: ZoneInfo, at: int) -> int:
    found = datetime.fromtimestamp(at, zone).utcoffset()
    assert found is not None
    return int(found.total_seconds())


def changes(zone: ZoneInfo, start: int, end: int) -> Iterator[Change]:
    """Every change of the clock; none on record is closer to the next one than four days."""
    while start < end:
        after = min(start + 2 * DAY, end)
        old, new = offset(zone, start), offset(zone, after)
        if old != new:
            low, high = start, after
            while high - low > 1:
                middle = (low + high) // 2
                low, high = (middle, high) if offset(zone, middle) == old else (low, middle)
            yield high, old, new
        start = after


def aimed_at(change: Change) -> list[str]:
    """Schedules of every kind that have to do with a change of the clock."""
    at, old, new = change
    before, after = (EPOCH + timedelta(seconds=at + offset) for offset in (old, new))
    middle = min(before, after) + abs(after - before) / 2
    weekday = middle.isoweekday()
    return [
        "0-59 0-23 * * *",
        "* * * * *",
        "*/15 * * * *",
        "7,37 * * * *",
        f"* {middle.hour} * * *",
        f"{before.minute} {before.hour} * * *",
        f"{after.minute} {after.hour} * * *",
        f"{middle.minute} {middle.hour} {middle.day} {middle.month} *",
        f"1,31 {before.hour},{after.hour},{middle.hour} * * {weekday}",
        f"0 {middle.hour} {middle.day} * {(weekday + 1) % 7}",
        f"*/20 {middle.hour} {before.day} * *",
        f"10-50/20 {middle.hour} */2 * *",
        f"{(middle.minute + 15) % 60} */24 {after.day} {after.month} *",
        f"*/25 {middle.hour} {before.day} {after.month} *",
    ]


def check(times: FireTimes, expected: list[int], start: int, end: int, told: Any) -> None:
    """All four questions about the fires from `start` on, up to and with `end`."""
    after, upto = (start - 1) * SECOND, end * SECOND
    assert [fire // SECOND for fire in times.between(after, upto)] == expected, told
    assert times.count(after, upto) == len(expected), told
    assert times.last(after, upto) == (expected[-1] * SECOND if expected else None), told
    chain: list[int] = []
    at = times.after(after)
    while at is not None and at <= upto and len(chain) < 30:
        chain.append(at // SECOND)
        at = times.after(at)
    assert chain == expected[:30], told


class Around:
    """The clock around one change, and what schedules give there; the same change is common to many zones."""

    def __init__(self, zone: ZoneInfo, change: Change, step: int = 60, room: int = 2 * HOUR) -> None:
        at, old, new = change
        shift = abs(new - old)
        self.step = step
        self.start, self.end = at - room, at + shift + room
        self.probes = [at - 60, at, at + shift // 2 // 60 * 60, at + shift - 60, at + shift]
        self.clock: Clock = wall_clock(zone, self.start - shift, self.end, step)  # from where a time may have been shown
        self.fires: dict[str, list[int]] = {}

    def expected(self, schedule: str) -> list[int]:
        if schedule not in self.fires:
            fires = oracle_of(schedule).fires(self.clock, self.step)
            self.fires[schedule] = [fire for fire in fires if fire >= self.start]
        return self.fires[schedule]

    def check_times(self, name: str, schedules: list[str]) -> None:
        """The fires themselves, in a zone that has this change too."""
        zone = ZoneInfo(name)
        for schedule in schedules:
            found = FireTimes(fields_of(schedule), zone).between((self.start - 1) * SECOND, self.end * SECOND)
            assert [fire // SECOND for fire in found] == self.expected(schedule), (name, schedule)

    def check(self, name: str, schedules: list[str]) -> None:
        """Every question, from near and from far."""
        zone = ZoneInfo(name)
        for schedule in schedules:
            times, expected = FireTimes(fields_of(schedule), zone), self.expected(schedule)
            check(times, expected, self.start, self.end, (name, schedule))
            sooner = (self.start - 30 * DAY) * SECOND
            if (many := times.count(sooner, self.start * SECOND - 1)) < 100:  # coming from far away
                found = list(times.between(sooner, self.end * SECOND))[many:]
                assert found == [fire * SECOND for fire in expected], (name, schedule)
            for probe in self.probes:
                next_one = next((fire for fire in expected if fire >= probe), None)
                after = times.after((probe - 1) * SECOND)
                assert after == next_one * SECOND if next_one else after is None or after > self.end * SECOND, (name, schedule)
                latest = next((fire for fire in reversed(expected) if fire <= probe), None)
                last = times.last((self.start - 1) * SECOND, probe * SECOND)
                assert last == (latest * SECOND if latest else None), (name, schedule, probe)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("year", range(2020, 2031))
def test_around_every_change_of_every_zone(year: int) -> None:
    known: dict[Change, Around] = {}
    for name in ZONES:
        zone = ZoneInfo(name)
        for change in changes(zone, instant(year), instant(year + 1)):
            if change in known:
                known[change].check_times(name, aimed_at(change))
            else:
                known[change] = Around(zone, change)
                known[change].check(name, aimed_at(change))
    assert len(known) > 10


ODD = [
    ("Pacific/Apia", 2011, "crossed the date line: no 30 December"),
    ("Pacific/Kwajalein", 1993, "crossed the date line by a day, forward"),
    ("Pacific/Kwajalein", 1969, "crossed the date line, back: most of a day came twice"),
    ("Australia/Lord_Howe", 2026, "half an hour"),
    ("Antarctica/Troll", 2026, "two hours"),
    ("Africa/Casablanca", 2026, "back and forth for Ramadan"),
    ("Asia/Pyongyang", 2018, "half an hour, for good"),
    ("America/Caracas", 2007, "half an hour, back"),
    ("Africa/Cairo", 2014, "four changes in a year"),
    ("Atlantic/Azores", 2026, "midnight comes twice or not at all"),
    ("America/Havana", 2026, "midnight comes twice or not at all"),
    ("Africa/Freetown", 1939, "two changes within four days"),
]
TO_THE_SECOND = [
    ("Europe/Amsterdam", 1937, "28 seconds forward"),
    ("Africa/Monrovia", 1972, "44 minutes and 30 seconds forward"),
    ("Europe/Dublin", 1916, "an hour less 34 minutes and 39 seconds"),
    ("Africa/Niamey", 1911, "68 minutes and 28 seconds back, over the new year of UTC"),
    ("Asia/Kolkata", 1905, "8 minutes and 50 seconds forward"),
    ("America/New_York", 1883, "3 minutes and 58 seconds back"),
]


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(("name", "year", "what"), ODD)
def test_around_odd_changes(name: str, year: int, what: str) -> None:
    found = list(changes(ZoneInfo(name), instant(year), instant(year + 1)))
    assert found, what
    for change in found:
        Around(ZoneInfo(name), change).check(name, aimed_at(change))


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(("name", "year", "what"), TO_THE_SECOND)
def test_around_changes_to_the_second(name: str, year: int, what: str) -> None:
    found = [one for one in changes(ZoneInfo(name), instant(year), instant(year + 1)) if any(part % 60 for part in one)]
    assert found, what
    for change in found:
        Around(ZoneInfo(name), change, step=1, room=15 * 60).check(name, aimed_at(change))


LOWEST, HIGHEST = (0, 0, 1, 1, 0), (59, 23, 31, 12, 7)
NAMES = {3: ["jan", "Feb", "JUN", "DEC"], 4: ["SUN", "mon", "Wed", "SAT"]}


@st.composite
def entries(draw: st.DrawFn, field: int) -> str:
    low, high = LOWEST[field], HIGHEST[field]
    first = draw(st.integers(low, high))
    last = draw(st.integers(first, high))
    step = draw(st.integers(1, high + 1))
    kinds = [f"{first}", f"{first:02}", f"{first}-{last}", f"{first}-{last}/{step}", f"*/{step}"]
    if first < 7 or field != 4:
        kinds.append(f"{first}/{step}")
    return draw(st.sampled_from(kinds + NAMES.get(field, []) + (["MON-SUN", "fri-sun"] if field == 4 else [])))


def one_field(field: int) -> st.SearchStrategy[str]:
    return st.just("*") | entries(field) | st.lists(entries(field), min_size=1, max_size=3).map(",".join)


def fires_ever(schedule: str) -> bool:
    try:
        fields_of(schedule)
    except NeverFiresError:
        return False
    return True


SCHEDULES = st.tuples(*map(one_field, range(5))).map(" ".join).filter(fires_ever)
OFTEN = st.tuples(one_field(0), one_field(1), st.just("*"), st.just("*"), one_field(4)).map(" ".join)
INSTANTS = st.integers(instant(1975), instant(2100))


@pytest.mark.rule("CRON-1")
@settings(max_examples=200)
@given(SCHEDULES | OFTEN, st.sampled_from(ZONES), INSTANTS, st.integers(0, 2 * DAY))
def test_anywhere(schedule: str, name: str, start: int, size: int) -> None:
    zone = ZoneInfo(name)
    clock = wall_clock(zone, start // 60 * 60 - DAY, start + size)
    expected = [fire for fire in oracle_of(schedule).fires(clock) if fire >= start]
    check(fire_times(schedule, name), expected, start, start + size, None)


def next_day(rule: Oracle, day: date) -> date:
    """The first day from `day` on that matches, looked at one by one."""
    while not rule.matches_day(datetime(day.year, day.month, day.day)):
        day += timedelta(days=1)
    return day


RARE = st.tuples(one_field(0), one_field(1), one_field(2), entries(3), one_field(4)).map(" ".join).filter(fires_ever)
VERY_RARE = st.sampled_from(["0 0 29 2 *", "30 2 29 2 *", "0 0 29 2 */7", "15 1 29 feb */7", "0 0 31 * */7", "59 23 31 12 */6"])


@pytest.mark.rule("CRON-1")
@settings(max_examples=100)
@given(RARE | VERY_RARE, st.sampled_from(ZONES), INSTANTS)
def test_far_away(schedule: str, name: str, start: int) -> None:
    """The next fire is the first one on the first days that match, however far away they are; and `last` finds it again."""
    rule, times, zone = oracle_of(schedule), fire_times(schedule, name), ZoneInfo(name)
    found = times.after((start - 1) * SECOND)
    assert found is not None
    day = datetime.fromtimestamp(start, zone).date() - timedelta(days=1)
    for _ in range(4):  # the first days may have ended, or have lost those hours
        day = next_day(rule, day)
        noon = instant(day.year, day.month, day.day, 12) - offset(zone, instant(day.year, day.month, day.day, 12))
        fires = [fire for fire in rule.fires(wall_clock(zone, noon - 2 * DAY, noon + 2 * DAY)) if fire >= start]
        if fires:
            break
        day += timedelta(days=1)
    assert found == fires[0] * SECOND
    upto = found + 60 * SECOND
    *_, latest = times.between(found - 1, upto)
    assert times.last((start - 1) * SECOND, upto) == latest
    assert times.last(found - 40 * 366 * DAY * SECOND, found) == found
    assert times.count((start - 1) * SECOND, found) == 1


@pytest.mark.rule("CRON-1")
@settings(max_examples=100)
@given(SCHEDULES | RARE, st.sampled_from(ZONES), st.lists(st.integers(instant(1890), instant(2150)), min_size=2, max_size=5))
def test_what_is_cut_in_pieces_is_the_same(schedule: str, name: str, cuts: list[int]) -> None:
    times = fire_times(schedule, name)
    at = [cut * SECOND for cut in sorted(cuts)]
    assert times.count(at[0], at[-1]) == sum(times.count(a, b) for a, b in pairwise(at))
    assert times.count(at[0], at[-1], 5) == min(5, times.count(at[0], at[-1]))
    last = times.last(at[0], at[-1])
    assert last == max((one for a, b in pairwise(at) if (one := times.last(a, b)) is not None), default=None)
    first = next(times.between(at[0], at[-1]), None)
    assert (first is None) == (last is None) == (times.count(at[0], at[-1]) == 0)
    if first is not None and last is not None:
        assert at[0] < first <= last <= at[-1]
        assert times.after(at[0]) == first
        assert times.count(first, last) == times.count(at[0], at[-1]) - 1
        beyond = times.after(last)
        assert beyond is None or beyond > at[-1]


BOTH = st.tuples(
    st.sampled_from(["*", "*/7", "3,17,40", "5-9", "0-59", "30-59/9", "0"]),
    st.sampled_from(["*", "*/3", "2", "1,3-5", "0-23/3", "0"]),
    st.sampled_from(["*", "*/2", "25-31", "1,15", "2-30/7"]),
    st.sampled_from(["*", "*/3", "2-6/2", "1,3-5", "MAR,OCT", "APR-NOV"]),
    st.sampled_from(["*", "*/2", "0,6", "MON-FRI", "5-7", "SUN"]),
).map(" ".join)


@pytest.mark.rule("CRON-1")
@settings(max_examples=300)
@given(BOTH, st.sampled_from(ZONES) | st.just("UTC"), st.integers(instant(2000), instant(2036)), st.integers(-DAY, DAY))
def test_as_cronsim_where_it_has_the_same_rule(schedule: str, name: str, start: int, near: int) -> None:
    """cronsim reads `N/S` and `N-N/S` in its own way (not used here), gives the instant after a gap for each time in it, goes
    back to the first pass where it begins in the second one, and loses an hour or so of the schedules that fire at every
    match on the day of a change: those are compared without."""
    zone = ZoneInfo(name)
    change = next(changes(zone, start, start + 300 * DAY), None)
    fixed = oracle_of(schedule).fixed
    if change is not None and fixed:
        start = change[0] + near
    theirs = [int(fire.timestamp()) for fire, _ in groupby(islice(CronSim(schedule, datetime.fromtimestamp(start, zone)), 99))]
    theirs = [fire for fire in theirs if fire > start]
    ours = [fire // SECOND for fire in islice(fire_times(schedule, name).between(start * SECOND, 10**18), len(theirs))]
    if not fixed:
        until = next(changes(zone, start - DAY, max(theirs) + DAY), (max(theirs) + 2 * DAY, 0, 0))[0] - DAY
        theirs, ours = ([fire for fire in fires if fire < until] for fires in (theirs, ours))
    assert ours == theirs
