"""What `aether cron export` writes means the times of the schedule: to a crontab's rules and to systemd's (as we read them, and
as systemd itself does where it is installed).

Law: days and times are compared in a zone whose clock runs evenly, over four years, among them a leap year.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.cron.fields import SHORTHANDS, read_schedule
from aether_protocol.cron.schedule import fire_times
from aether_protocol.service.schedules.calendar_formats import calendars, crontab_fields
from tests.property.cron_oracle import Oracle, oracle
from tests.property.test_cron import SCHEDULES

FIRST = date(2027, 1, 1)
DAYS = [FIRST + timedelta(days=number) for number in range(4 * 365 + 1)]
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
BOUNDS = {"month": (1, 12), "day": (1, 31), "hour": (0, 23), "minute": (0, 59)}
EXPRESSION = re.compile(r"(?:(?P<weekdays>[A-Za-z,]+) )?\*-(?P<month>\S+)-(?P<day>\S+) (?P<hour>\S+):(?P<minute>\S+):00 \S+")
ONE_OF_EACH = [
    "0 0 13 * FRI", "*/15 * * * *", "7 3 */10 * MON", "30 2 1-7,22 JAN,JUL *", "0 12 * * MON-SUN", "5/20 8-18/2 * * 1-5",
    "0 0 29 2 *", "59 23 31 12 7", "* * 1 * */2", "1,2,3,59 0,23 28-31 * 6,0",
]

systemd = cache(lambda: shutil.which("systemd-analyze"))


def listed(text: str, name: str) -> set[int]:
    """The values of one part of an expression: `*`, numbers, ranges `8..18`, steps `0/15`."""
    low, high = BOUNDS[name]
    found: set[int] = set()
    for term in text.split(","):
        body, _, step = term.partition("/")
        first, dots, last = body.partition("..")
        begin, end = (low, high) if body == "*" else (int(first), int(last) if dots else high if step else int(first))
        found |= set(range(begin, end + 1, int(step or 1)))
    assert found <= set(range(low, high + 1))
    return found


def meant(expression: str) -> tuple[set[date], set[tuple[int, int]]]:
    """The days and the times of an OnCalendar expression."""
    parts = EXPRESSION.fullmatch(expression)
    assert parts is not None, expression
    weekdays = set((parts["weekdays"] or ",".join(WEEKDAYS)).split(","))
    months, days = listed(parts["month"], "month"), listed(parts["day"], "day")
    on = {day for day in DAYS if day.month in months and day.day in days and WEEKDAYS[day.weekday()] in weekdays}
    return on, {(h, m) for h in listed(parts["hour"], "hour") for m in listed(parts["minute"], "minute")}


def wanted(rule: Oracle) -> tuple[set[date], set[tuple[int, int]]]:
    days = {day for day in DAYS if rule.matches_day(datetime(day.year, day.month, day.day))}
    return days, {(hour, minute) for hour in rule.fields[1] for minute in rule.fields[0]}


@settings(max_examples=200)
@given(SCHEDULES)
def test_on_calendar_means_the_schedule(schedule: str) -> None:
    days, times = wanted(oracle(schedule))
    several = [meant(expression) for expression in calendars(schedule, "UTC")]
    assert set().union(*(on for on, _ in several)) == days
    assert all(at == times for _, at in several)


@settings(max_examples=400)
@given(SCHEDULES)
def test_a_crontab_means_the_schedule_and_needs_no_more_than_plain_cron(schedule: str) -> None:
    line = crontab_fields(schedule)
    assert read_schedule(line) == read_schedule(schedule)
    terms = [term for word in line.split(" ") for term in word.split(",")]
    assert len(line.split(" ")) == 5
    assert all(re.fullmatch(r"\*(/\d+)?|\d+(-\d+(/\d+)?)?", term) for term in terms), line


@pytest.mark.parametrize("schedule", sorted(SHORTHANDS))
def test_shorthands(schedule: str) -> None:
    assert read_schedule(crontab_fields(schedule)) == read_schedule(schedule)
    assert meant(calendars(schedule, "UTC")[0])[0] == wanted(oracle(SHORTHANDS[schedule]))[0]


def elapses(expressions: list[str], count: int) -> Iterator[datetime]:
    """When systemd says that these elapse next, in order and each instant once."""
    program = systemd()
    assert program is not None
    found = set()
    for expression in expressions:
        command = [program, "calendar", f"--iterations={count}", "--base-time=2027-01-01 00:00:00 UTC", expression]
        told = subprocess.run(command, capture_output=True, text=True, env={"TZ": "UTC", "LC_ALL": "C"}, check=True).stdout
        for moment in re.findall(r"(?:Next elapse|Iter\. #\d+): \w{3} (\S+ \S+) UTC", told):
            found.add(datetime.strptime(f"{moment}+0000", "%Y-%m-%d %H:%M:%S%z"))
    yield from sorted(found)[:count]


@pytest.mark.parametrize("schedule", ONE_OF_EACH)
def test_one_of_each_kind_also_by_systemd_where_it_is_there(schedule: str) -> None:
    expressions = calendars(schedule, "UTC")
    days, times = wanted(oracle(schedule))
    assert set().union(*(meant(one)[0] for one in expressions)) == days
    assert all(meant(one)[1] == times for one in expressions)
    if systemd() is not None:
        begin = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
        fires = islice(fire_times(schedule, "UTC").between(begin, begin + 100 * 365 * 86_400_000_000), 12)
        assert list(elapses(expressions, 12)) == [datetime.fromtimestamp(at // 1_000_000, UTC) for at in fires]


def test_a_zone_is_named() -> None:
    assert calendars("30 2 * * MON-FRI", "Europe/Berlin") == ["Mon,Tue,Wed,Thu,Fri *-*-* 02:30:00 Europe/Berlin"]
    assert calendars("0 0 13 * FRI", "UTC") == ["*-*-13 00:00:00 UTC", "Fri *-*-* 00:00:00 UTC"]


@given(st.sampled_from(["MON-SUN", "5-SUN", "SAT-SUN"]))
def test_weeks_that_end_with_a_sunday(days: str) -> None:
    assert "-7" in crontab_fields(f"0 0 * * {days}")
