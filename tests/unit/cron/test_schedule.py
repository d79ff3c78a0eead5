"""Fire times by example (CRON-1); tests/property/test_cron.py has the proof."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from aether_protocol.cron.schedule import BadScheduleError, fire_times

SECOND = 1_000_000
YEAR = 366 * 86_400 * SECOND


def us(text: str, zone: str) -> int:
    moment = datetime.fromisoformat(text)
    return int((moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))).timestamp()) * SECOND


def fires(schedule: str, zone: str, after: str, many: int) -> list[str]:
    """The next fires as the clock of the zone shows them."""
    found = islice(fire_times(schedule, zone).between(us(after, zone), us("2200-01-01", "UTC")), many)
    return [datetime.fromtimestamp(fire / SECOND, ZoneInfo(zone)).isoformat() for fire in found]


CASES = [
    # plain days
    ("*/15 * * * *", "UTC", "2026-05-01T10:07", ["2026-05-01T10:15:00+00:00", "2026-05-01T10:30:00+00:00"]),
    ("30 2 * * MON-FRI", "UTC", "2026-05-01T02:30", ["2026-05-04T02:30:00+00:00", "2026-05-05T02:30:00+00:00"]),
    ("0 0 1 1 *", "Asia/Tokyo", "2026-05-01", ["2027-01-01T00:00:00+09:00", "2028-01-01T00:00:00+09:00"]),
    ("0 0 29 2 *", "UTC", "2096-03-01", ["2104-02-29T00:00:00+00:00", "2108-02-29T00:00:00+00:00"]),
    ("0 0 29 2 */7", "UTC", "2026-01-01", ["2032-02-29T00:00:00+00:00", "2060-02-29T00:00:00+00:00"]),
    # both fields of days: either, unless one begins with a star
    ("0 0 13 * FRI", "UTC", "2026-02-12", ["2026-02-13T00:00:00+00:00", "2026-02-20T00:00:00+00:00"]),
    ("0 0 */13 * FRI", "UTC", "2026-02-12", ["2026-02-27T00:00:00+00:00", "2026-03-27T00:00:00+00:00"]),
    # clocks are set forward: 02:00 to 03:00
    ("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
    ("0,20,40 2 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]),
    ("30 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T03:00:00+02:00", "2026-03-29T03:30:00+02:00"]),
    ("0 2,3 * * *", "Europe/Berlin", "2026-03-29T00:00", ["2026-03-29T03:00:00+02:00", "2026-03-30T02:00:00+02:00"]),
    ("30 * * * *", "Europe/Berlin", "2026-03-29T01:00", ["2026-03-29T01:30:00+01:00", "2026-03-29T03:30:00+02:00"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-03-28T12:00", ["2026-03-30T02:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
    ("30 2 29 3 *", "Europe/Berlin", "2026-01-01", ["2026-03-29T03:00:00+02:00", "2027-03-29T02:30:00+02:00"]),
    # clocks are set back: 03:00 to 02:00
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),
    ("0,30 2 * * *", "Europe/Berlin", "2026-10-25T02:15+02:00", ["2026-10-25T02:30:00+02:00", "2026-10-26T02:00:00+01:00"]),
    ("30 2 * * *", "Europe/Berlin", "2026-10-25T02:15+01:00", ["2026-10-26T02:30:00+01:00", "2026-10-27T02:30:00+01:00"]),
    ("30 * * * *", "Europe/Berlin", "2026-10-25T02:00+02:00", ["2026-10-25T02:30:00+02:00", "2026-10-25T02:30:00+01:00"]),
    ("*/30 2 * * *", "Europe/Berlin", "2026-10-25T02:15+02:00", ["2026-10-25T02:30:00+02:00", "2026-10-25T02:00:00+01:00"]),
    ("0 0 * * *", "America/Havana", "2026-10-31T12:00", ["2026-11-01T00:00:00-04:00", "2026-11-02T00:00:00-05:00"]),
    ("0 0 * * *", "America/Havana", "2026-03-07T12:00", ["2026-03-08T01:00:00-04:00", "2026-03-09T00:00:00-04:00"]),
    ("45 */24 1 11 *", "America/Havana", "2026-10-01", ["2026-11-01T00:45:00-04:00", "2026-11-01T00:45:00-05:00"]),
    # by half an hour
    ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00", ["2026-10-04T02:30:00+11:00", "2026-10-05T02:15:00+11:00"]),
    ("45 1 * * *", "Australia/Lord_Howe", "2026-04-05T00:00", ["2026-04-05T01:45:00+11:00", "2026-04-06T01:45:00+10:30"]),
    ("45 * * * *", "Australia/Lord_Howe", "2026-04-05T01:00", ["2026-04-05T01:45:00+11:00", "2026-04-05T01:45:00+10:30"]),
    # a day that never was, and a schedule for it
    ("0 9 * * *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-29T09:00:00-10:00", "2011-12-31T00:00:00+14:00"]),
    ("0 9 30 12 *", "Pacific/Apia", "2011-12-29T00:00", ["2011-12-31T00:00:00+14:00", "2012-12-30T09:00:00+14:00"]),
    ("0 * 30 * *", "Pacific/Apia", "2011-12-29T00:00", ["2012-01-30T00:00:00+14:00", "2012-01-30T01:00:00+14:00"]),
    # to the second
    ("0 0 * * *", "Europe/Amsterdam", "1937-06-30T12:00", ["1937-07-01T00:00:28+01:20", "1937-07-02T00:00:00+01:20"]),
    ("30 0 7 1 *", "Africa/Monrovia", "1972-01-06T12:00", ["1972-01-07T00:44:30+00:00", "1973-01-07T00:30:00+00:00"]),
]


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(("schedule", "zone", "after", "expected"), CASES)
def test_the_next_two_fires(schedule: str, zone: str, after: str, expected: list[str]) -> None:
    assert fires(schedule, zone, after, 2) == expected
    times = fire_times(schedule, zone)
    [first, second] = islice(times.between(us(after, zone), us("2200-01-01", "UTC")), 2)
    assert times.after(us(after, zone)) == first
    assert times.after(first) == second
    assert times.last(us(after, zone), second - 1) == first
    assert times.last(us(after, zone), second) == second
    assert times.last(us(after, zone), first - 1) is None
    assert times.count(us(after, zone), second) == 2


@pytest.mark.rule("CRON-1")
def test_instants_between_seconds() -> None:
    times = fire_times("* * * * *", "UTC")
    minute = us("2026-05-01T10:00", "UTC")
    assert times.after(minute - 1) == minute
    assert times.after(minute) == minute + 60 * SECOND
    assert times.after(minute + 1) == minute + 60 * SECOND
    assert list(times.between(minute - 1, minute)) == [minute]
    assert list(times.between(minute, minute + 60 * SECOND - 1)) == []
    assert times.last(minute - 1, minute + 1) == minute
    assert times.last(minute, minute + 1) is None
    assert times.count(minute - 1, minute - 1) == 0
    assert times.count(minute, minute - YEAR) == 0


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Apia"])
def test_beyond_the_calendar_there_is_nothing_and_no_error(zone: str) -> None:
    times = fire_times("0 0 1 1 *", zone)
    late, early = us("9999-06-01", "UTC"), -(10**19)
    assert times.after(late) is None
    assert times.after(10**19) is None
    assert list(times.between(late, 10**19)) == []
    assert times.count(late, 10**19) == 0
    first = times.after(early)
    assert first is not None
    assert datetime.fromisoformat("0002-01-01T00:00+00:00").timestamp() - first / SECOND < 86_400
    assert times.last(early, 10**19) == times.last(early, late)
    assert times.last(early, early + 1) is None
    assert times.last(10**19, 2 * 10**19) is None


@pytest.mark.rule("CRON-1")
def test_a_bounded_count() -> None:
    times = fire_times("* * * * *", "Europe/Berlin")
    start = us("2026-01-01", "UTC")
    assert times.count(start, start + 90 * 60 * SECOND, 100) == 90
    assert times.count(start, start + 900 * YEAR, 101) == 101


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "../UTC", "Europe", "a" * 300])
def test_a_zone_that_there_is_not(zone: str) -> None:
    with pytest.raises(BadScheduleError, match="is not a time zone") as caught:
        fire_times("@daily", zone)
    assert caught.value.hint is not None
    assert "Europe/Vienna" in caught.value.hint
    assert caught.value.field is None


def test_a_machine_without_any_zones_knows_utc(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> ZoneInfo:
        raise AssertionError(f"asked for {name}")

    monkeypatch.setattr("zoneinfo.ZoneInfo", none)
    assert fire_times("17 3 * * *", "UTC").after(0) == (3 * 60 + 17) * 60 * SECOND


def took(work: Callable[[], Any], many: int) -> float:
    """Seconds of one of `many` calls, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(many):
            work()
        best = min(best, (time.process_time() - begin) / many)
    return best


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe"])
def test_cost(zone: str) -> None:
    """A hundred times what it takes on an idle machine is still fine; walking through all fires would not be."""
    now = us("2026-05-01", "UTC")
    often, rarely = fire_times("* * * * *", zone), fire_times("0 0 29 2 */7", zone)
    assert took(lambda: often.after(now), 200) < 0.001
    assert took(lambda: rarely.after(now), 20) < 0.005
    assert took(lambda: often.last(now - 10 * YEAR, now), 200) < 0.001
    assert took(lambda: rarely.last(now - 60 * YEAR, now), 20) < 0.005
    assert took(lambda: often.count(now - 3 * YEAR, now), 20) < 0.02
    assert took(lambda: list(islice(often.between(now - 40 * YEAR, now), 10)), 20) < 0.005
