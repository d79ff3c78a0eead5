"""Schedules as people read them: times in zones, what is odd about a fire, names, tables and what a scheduler tells."""

from __future__ import annotations

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aether_protocol.cli.exits import INTERRUPTED, PHASE_EXITS, worst
from aether_protocol.cli.instants import ZonedInstant
from aether_protocol.cli.paths import names_file
from aether_protocol.cli.render import journal
from aether_protocol.cli.render.journal import (
    Journal,
    JournalEntry,
    JournalHandler,
    applied_entry,
    began_entry,
    deleted_entry,
    ended_entry,
    failure_entry,
    fire_entry,
    leaving_entry,
    left_entry,
    left_out_entry,
    lost_entry,
    pages_ended_entry,
    pages_entry,
    recovered_entry,
    served_entry,
    serving_entry,
    stopping_entry,
    suspended_entry,
)
from aether_protocol.cli.render.schedules import fire_json, fire_line, next_text, record_json, show_records, show_schedules
from aether_protocol.cli.render.times import away, in_zone, span
from aether_protocol.cron.policy import run_name
from aether_protocol.cron.settings import CronSettings
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunSummary
from aether_protocol.ports.store.schedules import BACKFILLED, MISSED, SKIPPED, STARTED, TRIGGERED, FireRecord, StoredSchedule
from aether_protocol.service.schedules.dst_notes import oddity
from aether_protocol.service.schedules.find import ScheduleOverview, read_name
from aether_protocol.service.schedules.times import fires_of, zone_of
from tests.unit.cli.plans import everything
from tests.unit.cli.runs import PureRun

ROOT = Path(__file__).resolve().parents[3]
SECOND = 1_000_000
MINUTE, HOUR, DAY = 60 * SECOND, 3600 * SECOND, 86_400 * SECOND
BERLIN = ZoneInfo("Europe/Berlin")


def us(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp() * SECOND)


def stored(**changes: Any) -> StoredSchedule:
    settings = changes.pop("settings", CronSettings("30 2 * * *", "Europe/Berlin"))
    bare: dict[str, Any] = {"spec": "s", "document": "{}", "applied_at": 0, "changed_at": 0, "seen": 0, "next_at": None}
    return StoredSchedule("default", "nightly", settings, **{**bare, **changes})


def run_row(run_id: str, phase: str = "Succeeded", closed: bool = True) -> RunSummary:
    ended = SECOND if closed else None
    return RunSummary(run_id, "nightly", "default", None, {}, phase, "", 0, 0, ended, closed, 3, 1, 1, "d" * 64)


# --- times ---


@pytest.mark.parametrize(
    ("given_us", "text"),
    [(0, "0s"), (59 * SECOND, "59s"), (61 * SECOND, "1m 1s"), (2 * HOUR, "2h"), (2 * HOUR + 59 * SECOND, "2h"),
     (26 * HOUR + 5 * MINUTE, "1d 2h"), (400 * DAY, "400d")],
)
def test_spans(given_us: int, text: str) -> None:
    assert span(given_us) == text


@given(st.integers(SECOND, 10_000 * DAY))
def test_a_span_rounds_down_and_loses_less_than_its_smaller_unit(given_us: int) -> None:
    sizes = {"d": DAY, "h": HOUR, "m": MINUTE, "s": SECOND}
    parts = span(given_us).split(" ")
    value = sum(int(part[:-1]) * sizes[part[-1]] for part in parts)
    assert len(parts) <= 2
    assert 0 <= given_us - value < (sizes[parts[0][-1]] if len(parts) == 1 else sizes[parts[1][-1]])


def test_how_far_away_an_instant_is() -> None:
    assert away(3 * HOUR, 0) == "in 3h"
    assert away(0, 3 * HOUR) == "3h ago"
    assert away(0, SECOND - 1) == "now"


def test_an_instant_is_shown_in_its_zone_with_the_offset() -> None:
    assert in_zone(us("2026-07-01T00:30:00Z"), BERLIN) == "2026-07-01 02:30 CEST"
    assert in_zone(us("2026-07-01T00:30:05Z"), BERLIN) == "2026-07-01 02:30:05 CEST"
    assert in_zone(us("2026-01-01T00:00:00Z"), UTC) == "2026-01-01 00:00 UTC"


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999999Z"),  # a day of 23 hours
        ("2026-07-01T12:00", "2026-07-01T10:00:00Z", "2026-07-01T10:00:00Z"),
        ("2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z", "2026-07-01T12:00:00Z"),
    ],
)
def test_times_without_an_offset_are_the_schedules_own(text: str, first: str, last: str) -> None:
    moment = ZonedInstant().convert(text, None, None)
    assert (moment.first(BERLIN), moment.last(BERLIN)) == (us(first), us(last))


@pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01", "9999-12-31"])
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="neither a duration"):
        ZonedInstant().convert(text, None, None)


# --- what is odd about a fire ---


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("schedule", "zone", "at", "kind", "text"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z", "skipped", "the clock goes from 02:00 to 03:00"),
        ("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "only-first", "02:30 comes twice"),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T00:30:00Z", "first", "this is the first one"),
        ("*/30 * * * *", "Europe/Berlin", "2026-10-25T01:30:00Z", "second", "this is the second one"),
        ("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T15:30:00Z", "skipped", "the clock goes from 02:00 to 02:30"),
        ("0 12 30 12 *", "Pacific/Apia", "2011-12-30T10:00:00Z", "skipped", "from 2011-12-30 00:00 to 2011-12-31 00:00"),
    ],
)
def test_oddities(schedule: str, zone: str, at: str, kind: str, text: str) -> None:
    found = oddity(schedule, ZoneInfo(zone), us(at))
    assert found is not None
    assert (found.kind, text in found.text) == (kind, True), found


@pytest.mark.parametrize(
    ("schedule", "zone", "at"),
    [
        ("30 2 * * *", "Europe/Berlin", "2026-03-30T00:30:00Z"),
        ("0 3 * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),  # the first instant after the gap is its very time
        ("0 * * * *", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("30 2 * * *", "UTC", "2026-03-29T02:30:00Z"),
        ("30 3 * * *", "Europe/Berlin", "2026-10-25T02:30:00Z"),
    ],
)
def test_what_is_like_every_other_fire(schedule: str, zone: str, at: str) -> None:
    assert oddity(schedule, ZoneInfo(zone), us(at)) is None


@pytest.mark.rule("CRON-1")
def test_every_fire_of_a_day_that_is_odd_is_told_so() -> None:
    settings = CronSettings("30 1-3 * * *", "Europe/Berlin")
    begin = us("2026-03-28T23:00:00Z")
    kinds = [fire_json(settings, at)["oddity"] for at in fires_of(settings, begin, begin + DAY)]
    assert kinds == [None, "skipped", None]
    line = fire_line(settings, us("2026-03-29T01:00:00Z"), begin)
    assert line == "2026-03-29 03:00 CEST  in 2h  (for a time that is skipped: the clock goes from 02:00 to 03:00)"


def test_fires_lie_within_start_and_end_and_do_not_mind_that_it_is_suspended() -> None:
    begin = us("2026-01-01T00:00:00Z")
    settings = CronSettings("0 * * * *", start_at=begin + HOUR, end_at=begin + 3 * HOUR, suspend=True)
    assert list(fires_of(settings, begin - DAY)) == [begin + HOUR, begin + 2 * HOUR, begin + 3 * HOUR]
    assert list(fires_of(settings, begin + HOUR, begin + 2 * HOUR)) == [begin + 2 * HOUR]


def test_a_zone_that_this_machine_does_not_know_is_shown_as_utc() -> None:
    assert zone_of(CronSettings("0 * * * *", "Mars/Olympus")) is UTC


# --- names ---


def test_names_with_and_without_a_namespace() -> None:
    assert read_name("nightly", None) == ("default", "nightly")
    assert read_name("nightly", "ops") == ("ops", "nightly")
    assert read_name("ops/nightly", None) == read_name("ops/nightly", "ops") == ("ops", "nightly")


@pytest.mark.parametrize(("text", "namespace"), [("/nightly", None), ("ops/", None), ("", None), ("ops/nightly", "team")])
def test_what_is_no_name(text: str, namespace: str | None) -> None:
    with pytest.raises(UsageError):
        read_name(text, namespace)


def test_files_and_names_are_told_apart(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").touch()
    assert all(map(names_file, ["-", "a.yaml", "x/a.YML", "./a", "../a", "/a", "there"]))
    assert not any(map(names_file, ["nightly", "ops/nightly", "a" * 5000, "a\0b"]))


# --- tables ---


def test_a_list_shows_the_namespace_only_where_one_is_not_the_usual(capsys: pytest.CaptureFixture[str]) -> None:
    now = us("2026-07-01T00:00:00Z")
    fired = us("2026-06-30T00:30:00Z")
    one = stored(last_at=fired, next_at=now + 30 * MINUTE)
    runs = [run_row(run_name("default", "nightly", fired), "Failed"), run_row("t", "Running", closed=False)]
    show_schedules([ScheduleOverview(one, runs)], now)
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.split("  ")[0] == "NAME"
    assert "NAMESPACE" not in heading
    assert line.split() == [
        "nightly", "30", "2", "*", "*", "*", "Europe/Berlin", "2026-06-30", "02:30", "CEST", "✗", "Failed",
        "2026-07-01", "02:30", "CEST,", "in", "30m", "1",
    ]
    other = stored(next_at=None)
    other.namespace = "ops"
    show_schedules([ScheduleOverview(one, runs), ScheduleOverview(other, [])], now)
    heading, _, line = capsys.readouterr().out.splitlines()
    assert heading.split()[:2] == ["NAME", "NAMESPACE"]
    assert line.split() == ["nightly", "ops", "30", "2", "*", "*", "*", "Europe/Berlin", "never", "never", "0"]


def test_when_a_schedule_fires_next() -> None:
    suspended = CronSettings("0 * * * *", suspend=True)
    assert next_text(stored(settings=suspended), 0) == "suspended"
    assert next_text(stored(), 0) == "never"
    assert next_text(stored(next_at=HOUR), HOUR + 1) == "1970-01-01 02:00 CET, due"


def test_what_became_of_fires(capsys: pytest.CaptureFixture[str]) -> None:
    records = [
        FireRecord(3 * HOUR, STARTED, 3 * HOUR, "gone"),
        FireRecord(2 * HOUR, STARTED, 2 * HOUR, "kept"),
        FireRecord(HOUR, SKIPPED, HOUR, reason="concurrencyPolicy\nis Forbid"),
        FireRecord(HOUR, MISSED, HOUR, reason="missed: 200 fires", count=200, first=0),
    ]
    show_records(stored(), records, {"kept": run_row("kept")})
    _, *lines = capsys.readouterr().out.splitlines()
    assert [line.split()[-2:] for line in lines] == [
        ["deleted", "gone"], ["Succeeded", "kept"], ["is", "Forbid"], ["200", "fires"]
    ]
    assert lines[3].startswith("1970-01-01 01:00 CET to 1970-01-01 02:00 CET  missed")
    told = record_json(records[3], None)
    assert (told["first"], told["at"], told["count"], told["phase"]) == (
        "1970-01-01T00:00:00Z", "1970-01-01T01:00:00Z", 200, None
    )


# --- what a scheduler tells ---


def said(capsys: pytest.CaptureFixture[str], entry: JournalEntry, *, as_events: bool, quiet: bool = False) -> tuple[str, str]:
    Journal(lambda: 90 * MINUTE, as_events=as_events, quiet=quiet).tell(entry)
    told = capsys.readouterr()
    return told.out, told.err


def test_a_line_or_a_json_line_for_each_thing(capsys: pytest.CaptureFixture[str]) -> None:
    entry = fire_entry(stored(), FireRecord(HOUR, STARTED, HOUR, "nightly.19700101T010000Z"))
    out, err = said(capsys, entry, as_events=False)
    assert out == ""
    assert err == "1970-01-01 01:30:00 UTC  nightly: fire 1970-01-01 02:00 CET started, run nightly.19700101T010000Z\n"
    out, err = said(capsys, entry, as_events=True)
    assert err == ""
    assert json.loads(out) == {
        "at": "1970-01-01T01:30:00Z",
        "kind": "FireStarted",
        "schedule": {"name": "nightly", "namespace": "default"},
        "fire": "1970-01-01T01:00:00Z",
        "runId": "nightly.19700101T010000Z",
    }


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (FireRecord(HOUR, SKIPPED, 0, reason="run 'a' had not ended"), "skipped: run 'a' had not ended"),
        (FireRecord(HOUR, MISSED, 0, reason="missed: nobody was there"), "missed: nobody was there"),
        (FireRecord(HOUR, MISSED, 0, count=3, first=0), "3 fires from 1970-01-01 01:00 CET to 1970-01-01 02:00 CET missed"),
        (FireRecord(HOUR, TRIGGERED, 0, "id"), "nightly: triggered, run id"),
    ],
)
def test_what_became_of_a_fire_on_one_line(record: FireRecord, text: str) -> None:
    assert fire_entry(stored(), record).text.endswith(text)


def test_quiet_leaves_out_what_went_well(capsys: pytest.CaptureFixture[str]) -> None:
    fine = fire_entry(stored(), FireRecord(HOUR, STARTED, HOUR, "id"))
    assert said(capsys, fine, as_events=False, quiet=True) == ("", "")
    assert said(capsys, deleted_entry(["a"]), as_events=True, quiet=True) == ("", "")
    _, err = said(capsys, failure_entry("schedule default/x", "no zone"), as_events=False, quiet=True)
    assert err.endswith("schedule default/x: no zone\n")


def test_nothing_that_a_document_says_reaches_the_terminal_unescaped(capsys: pytest.CaptureFixture[str]) -> None:
    _, err = said(capsys, failure_entry("run x", "\x1b[31mred"), as_events=False)
    assert "\x1b" not in err
    JournalHandler(lambda: 0).emit(logging.makeLogRecord({"msg": "odd \x07", "levelno": logging.WARNING}))
    assert capsys.readouterr().err == "1970-01-01 00:00:00 UTC  warning: odd \\x07\n"


def test_a_warning_that_comes_again_and_again_is_told_once_a_minute(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0]
    handler = JournalHandler(lambda: now[0])
    for second, text in ((0, "gone"), (1, "gone"), (59, "gone"), (61, "gone"), (62, "back"), (63, "gone")):
        now[0] = second * SECOND
        handler.emit(logging.makeLogRecord({"msg": text}))
    assert [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()] == [
        "00:00:00 UTC  warning: gone", "00:01:01 UTC  warning: gone", "00:01:02 UTC  warning: back",
        "00:01:03 UTC  warning: gone",
    ]


def test_many_runs_are_named_in_part_and_told_in_full() -> None:
    entry = left_entry([f"run-{number}" for number in range(9)])
    assert entry.text.endswith("run-0, run-1, run-2, run-3, run-4, ...")
    assert len(entry.fields["leftRunIds"]) == 9


def test_the_page_of_events_has_every_kind_with_its_fields() -> None:
    page = (ROOT / "docs" / "reference" / "events.md").read_text("utf-8")
    (table,) = re.findall("<!-- journal.*?-->(.*?)<!-- /journal -->", page, re.S)
    rows = dict(re.findall(r"^\| `(\w+)` \|.*\| ([^|]*) \|$", table, re.M))
    state = PureRun(everything(), lambda machine, step: None).machine.state
    made = [fire_entry(stored(), FireRecord(0, kind, 0, "r")) for kind in (STARTED, TRIGGERED, BACKFILLED)]
    made += [fire_entry(stored(), FireRecord(0, kind, 0, count=101, first=0)) for kind in (SKIPPED, MISSED)]
    made += [left_out_entry(stored(), 0, "r", "why"), recovered_entry(state), suspended_entry(state, ["a"], "")]
    made += [ended_entry(state), lost_entry("r", "why"), failure_entry("r", "why"), deleted_entry(["r"])]
    made += [applied_entry(["created Workflow default/flow"])]
    served = serving_entry("http://127.0.0.1:1", "memory", local=True, cron=True, grpc_url="http://127.0.0.1:2")
    made += [served, stopping_entry(1), served_entry()]
    made += [pages_entry("http://127.0.0.1:1", "memory"), pages_ended_entry(["r"], "")]
    made += [began_entry("memory", [stored()]), leaving_entry(["r"], 1), left_entry(["r"])]
    source = Path(journal.__file__).read_text("utf-8")
    kinds = {*journal.KINDS.values(), *re.findall(r'JournalEntry\(\s*"(\w+)"', source)}
    assert {one.kind for one in made} == set(rows) == kinds
    for one in made:
        fields = set(one.fields) - ({"count", "first"} if one.kind == "FireSkipped" else set())
        assert fields == set(re.findall(r"`(\w+)`", rows[one.kind])), one.kind


# --- exit codes ---


def test_the_worst_of_several_codes() -> None:
    assert worst([]) == 0
    assert worst([0, 7, 6, 5, 1]) == 1
    assert worst([1, 4]) == 4
    assert worst([4, 9, 1]) == 9
    assert worst([0, 7]) == 7


@given(st.lists(st.sampled_from([*PHASE_EXITS.values(), INTERRUPTED]), min_size=1))
def test_the_worst_is_one_of_them_whatever_their_order(codes: list[int]) -> None:
    assert worst(codes) in codes
    assert worst(codes) == worst(codes[::-1])
    assert (worst(codes) == 0) is (set(codes) == {0})
