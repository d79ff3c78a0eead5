"""What a schedule may hold, and what is said of one that holds something else (CRON-1)."""

from __future__ import annotations

import pytest

from aether_protocol.cron.fields import BadScheduleError, NeverFiresError, read_schedule
from aether_protocol.cron.schedule import check_schedule
from aether_protocol.errors import UsageError

LOWEST, HIGHEST = (0, 0, 1, 1, 0), (59, 23, 31, 12, 7)


def values(schedule: str, field: int) -> list[int]:
    fields = read_schedule(schedule)
    return sorted((fields.minutes, fields.hours, fields.days, fields.months, fields.weekdays)[field])


def one_field(word: str, field: int) -> list[int]:
    words = ["*"] * 5
    words[field] = word
    return values(" ".join(words), field)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("field", "word", "expected"),
    [
        (0, "*", list(range(60))),
        (0, "5", [5]),
        (0, "05", [5]),
        (0, "5-5", [5]),
        (0, "5-5/7", [5]),
        (0, "0-59", list(range(60))),
        (0, "*/20", [0, 20, 40]),
        (0, "*/90", [0]),
        (0, "50/5", [50, 55]),
        (0, "59/5", [59]),
        (0, "10-20/4,3,3,11-12", [3, 10, 11, 12, 14, 18]),
        (0, "*,5", list(range(60))),
        (1, "22-23,0-2", [0, 1, 2, 22, 23]),
        (2, "1-31", list(range(1, 32))),
        (2, "31", [31]),
        (2, "*/10", [1, 11, 21, 31]),
        (3, "JAN,jun-Aug", [1, 6, 7, 8]),
        (3, "*/5", [1, 6, 11]),
        (3, "2-dec/4", [2, 6, 10]),
        (4, "0", [0]),
        (4, "7", [0]),
        (4, "0,7", [0]),
        (4, "0-7", [0, 1, 2, 3, 4, 5, 6]),
        (4, "5-7", [0, 5, 6]),
        (4, "1-7/2", [0, 1, 3, 5]),
        (4, "7-7", [0]),
        (4, "sun", [0]),
        (4, "MON-SUN", [0, 1, 2, 3, 4, 5, 6]),
        (4, "FRI-sun", [0, 5, 6]),
        (4, "SUN-TUE", [0, 1, 2]),
        (4, "SUN-SUN", [0]),
        (4, "0-SUN", [0]),
        (4, "*/2", [0, 2, 4, 6]),
        (4, "5/2", [5]),
        (4, "7/2", [0, 2, 4, 6]),
    ],
)
def test_the_values_of_a_field(field: int, word: str, expected: list[int]) -> None:
    assert one_field(word, field) == expected


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("field", range(5))
def test_ranges_with_steps(field: int) -> None:
    low, high = LOWEST[field], HIGHEST[field]
    for first in range(low, high + 1, 1 if high < 24 else 5):
        words = [(f"{first}-{last}/{step}", last, step) for last in range(first, high + 1) for step in (1, 2, 7, 40)]
        for word, last, step in words:
            expected = {value % 7 if field == 4 else value for value in range(first, last + 1, step)}
            assert one_field(word, field) == sorted(expected), word


@pytest.mark.rule("CRON-1", "SPEC-7")
@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("@yearly", "0 0 1 1 *"),
        ("@annually", "0 0 1 1 *"),
        ("@monthly", "0 0 1 * *"),
        ("@weekly", "0 0 * * 0"),
        ("@daily", "0 0 * * *"),
        ("@midnight", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("  1\t2  3 4 5 ", "1 2 3 4 5"),
    ],
)
def test_other_spellings(name: str, schedule: str) -> None:
    assert read_schedule(name) == read_schedule(schedule)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("schedule", "either", "fixed"),
    [
        ("0 0 * * *", False, True),
        ("0 0 1 * *", False, True),
        ("0 0 * * 1", False, True),
        ("0 0 1 * 1", True, True),
        ("0 0 */2 * 1", False, True),
        ("0 0 1 * */2", False, True),
        ("0 0 *,1 * 1", False, True),
        ("0 0 1-31 * 1", True, True),
        ("0 0 1,* * 1", True, True),
        ("* 0 * * *", False, False),
        ("0 * * * *", False, False),
        ("*/5 0 * * *", False, False),
        ("0-59 0-23 * * *", False, True),
    ],
)
def test_what_begins_with_a_star(schedule: str, either: bool, fixed: bool) -> None:
    fields = read_schedule(schedule)
    assert (fields.either, fields.fixed) == (either, fixed)


FAULTS = [
    # out of bounds
    ("60 * * * *", 0, 0, "minute '60' is not within 0 to 59", "give 0 to 59"),
    ("0 24 * * *", 1, 2, "hour '24' is not within 0 to 23", "give 0 to 23"),
    ("0 0 0 * *", 2, 4, "day of month '0' is not within 1 to 31", "give 1 to 31"),
    ("0 0 32 * *", 2, 4, "day of month '32' is not within 1 to 31", "give 1 to 31"),
    ("0 0 * 0 *", 3, 6, "month '0' is not within 1 to 12", "give 1 to 12, or JAN to DEC"),
    ("0 0 * * 8", 4, 8, "day of week '8' is not within 0 to 7", "give 0 to 7 (0 and 7 are Sunday), or SUN to SAT"),
    ("0,30,61 * * * *", 0, 5, "minute '61' is not within 0 to 59", "give 0 to 59"),
    ("0 0-24 * * *", 1, 2, "hour '24' is not within 0 to 23", "give 0 to 23"),
    ("*/0 * * * *", 0, 0, "minute '*/0' has a step of nothing", "a step is 1 or more"),
    # names
    ("0 0 * JAM *", 3, 6, "month 'JAM' is not a month", "give 1 to 12, or JAN to DEC"),
    ("0 0 * * MO", 4, 8, "day of week 'MO' is not a day of week", "give 0 to 7 (0 and 7 are Sunday), or SUN to SAT"),
    ("0 MON * * *", 1, 2, "hour 'MON' is not a number", "give 0 to 23"),
    # ranges that go past the end
    ("0 22-2 * * *", 1, 2, "hour '22-2' ends before it begins", "write 22-23,0-2"),
    ("0 23-0 * * *", 1, 2, "hour '23-0' ends before it begins", "write 23,0"),
    ("0 22-2/2 * * *", 1, 2, "hour '22-2/2' ends before it begins", "write the values: 22,0,2"),
    ("0 0 25-5 * *", 2, 4, "day of month '25-5' ends before it begins", "write 25-31,1-5"),
    ("0 0 * NOV-FEB *", 3, 6, "month 'NOV-FEB' ends before it begins", "write NOV-DEC,JAN-FEB"),
    ("0 0 * 11-2/2 *", 3, 6, "month '11-2/2' ends before it begins", "write the values: 11,1"),
    ("0 0 * * FRI-MON", 4, 8, "day of week 'FRI-MON' ends before it begins", "write FRI-SUN,MON"),
    ("0 0 * * SAT-TUE", 4, 8, "day of week 'SAT-TUE' ends before it begins", "write SAT-SUN,MON-TUE"),
    ("0 0 * * 5-1", 4, 8, "day of week '5-1' ends before it begins", "write 5-7,1"),
    ("0 0 * * 5-0", 4, 8, "day of week '5-0' ends before it begins", "write 5-7"),
    ("0 0 * * 5-0/2", 4, 8, "day of week '5-0/2' ends before it begins", "write 5-7/2"),
    ("0 0 * * 7-3", 4, 8, "day of week '7-3' ends before it begins", "write 0-3"),
    ("0 0 * * 5-1/2", 4, 8, "day of week '5-1/2' ends before it begins", "write the values: 5,0"),
    # what other crons know
    ("0 0 ? * *", 2, 4, "day of month '?' is not understood", "write * instead of ?"),
    ("0 0 * * 5#2", 4, 8, "day of week '5#2' is not understood", "the nth weekday of a month has no spelling"),
    ("0 0 L * *", 2, 4, "day of month 'L' is not understood", "last days and nearest weekdays have no spelling"),
    ("0 0 L-3 * *", 2, 4, "day of month 'L-3' is not understood", "last days and nearest weekdays have no spelling"),
    ("0 0 15W * *", 2, 4, "day of month '15W' is not understood", "last days and nearest weekdays have no spelling"),
    ("0 0 LW * *", 2, 4, "day of month 'LW' is not understood", "last days and nearest weekdays have no spelling"),
    ("0 0 * * FRIL", 4, 8, "day of week 'FRIL' is not understood", "last days and nearest weekdays have no spelling"),
    ("H * * * *", 0, 0, "minute 'H' is not understood", "times by hash or by chance have no spelling"),
    ("H/15 * * * *", 0, 0, "minute 'H/15' is not understood", "times by hash or by chance have no spelling"),
    ("0 r(1-5) * * *", 1, 2, "hour 'r(1-5)' is not understood", "times by hash or by chance have no spelling"),
    # forms
    ("0  1,,2 * * *", 1, 5, "hour '1,,2' has an empty place in its list", "leave out the comma that is too many"),
    ("0 1- * * *", 1, 2, "hour '1-' is not understood", "a field takes numbers, names (JAN, MON), *, lists"),
    ("0 -1 * * *", 1, 2, "hour '-1' is not understood", "a field takes numbers"),
    ("0 1-2-3 * * *", 1, 2, "hour '1-2-3' is not understood", "a field takes numbers"),
    ("0 *-3 * * *", 1, 2, "hour '*-3' is not understood", "a field takes numbers"),
    ("1.5 * * * *", 0, 0, "minute '1.5' is not understood", "a field takes numbers"),
    ("\u0661 * * * *", 0, 0, "minute '\u0661' is not understood", "a field takes numbers"),
    ("0 0 * *\n *", 3, 6, "month '*\\n' is not understood", "a field takes numbers"),
    # not five fields
    ("", None, 0, "'' has 0 fields", "give five: minute hour day month weekday"),
    ("5", None, 0, "'5' has 1 field", "give five: minute hour day month weekday"),
    ("* * * *", None, 0, "'* * * *' has 4 fields", "give five: minute hour day month weekday"),
    ("0 0 0 * * *", None, 0, "'0 0 0 * * *' has 6 fields", "there are none for seconds and years"),
    ("0 0 0 * * * 2026", None, 0, "'0 0 0 * * * 2026' has 7 fields", "there are none for seconds and years"),
    ("@reboot", None, 0, "'@reboot' is not a schedule", "there are @yearly, "),
    ("@Daily", None, 0, "'@Daily' is not a schedule", "there are @yearly, "),
    ("0," * 200 + "0 * * * *", None, 0, "a schedule of 409 characters is too long", "use ranges and steps: at most 256"),
]


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(("schedule", "field", "offset", "message", "hint"), FAULTS, ids=[row[0][:20] for row in FAULTS])
def test_faults_say_where_and_what_to_do(schedule: str, field: int | None, offset: int, message: str, hint: str) -> None:
    with pytest.raises(BadScheduleError) as caught:
        read_schedule(schedule)
    error = caught.value
    assert (error.message, error.field, error.offset) == (message, field, offset)
    assert error.hint is not None
    assert hint in error.hint
    assert check_schedule(schedule) == (error.message, error.hint)
    assert isinstance(error, UsageError)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("word", ["22-23,0-2", "22,0,2", "FRI-SUN,MON", "NOV-DEC,JAN-FEB", "SAT-SUN,MON-TUE"])
def test_what_hints_tell_to_write_can_be_written(word: str) -> None:
    field = 3 if "NOV" in word else 4 if word[0].isalpha() else 1
    assert one_field(word, field)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ("0 0 31 2 *", "'0 0 31 2 *' never fires: there is no day 31 in month '2'"),
        ("0 0 30 2 *", "'0 0 30 2 *' never fires: there is no day 30 in month '2'"),
        ("0 0 31 FEB,4-6/2 */2", "'0 0 31 FEB,4-6/2 */2' never fires: there is no day 31 in months 'FEB,4-6/2'"),
    ],
)
def test_a_schedule_that_never_fires(schedule: str, message: str) -> None:
    with pytest.raises(NeverFiresError) as caught:
        read_schedule(schedule)
    assert (caught.value.message, caught.value.field, caught.value.offset) == (message, 2, 4)
    assert check_schedule(schedule) is not None


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize("schedule", ["0 0 29 2 *", "0 0 29 2 */7", "0 0 30,1 2 *", "0 0 31 2 MON", "0 0 31 2,3 *"])
def test_a_schedule_that_fires_now_and_then(schedule: str) -> None:
    assert check_schedule(schedule) is None


@pytest.mark.rule("CRON-1")
def test_a_schedule_of_256_characters_is_read() -> None:
    schedule = ",".join(["*/2"] * 62) + "  * * * *"
    assert len(schedule) == 256
    assert values(schedule, 0) == list(range(0, 60, 2))
    assert check_schedule(" " + schedule) is not None
