"""Examples of what is due on a schedule (CRON-2..6); the laws are in tests/property/test_cron_policy.py."""

from __future__ import annotations

import time
from datetime import datetime

import pytest

from aether_protocol.cron.policy import Decision, Missed, Skip, decide, expired, first_seen, next_fire, run_name
from aether_protocol.cron.schedule import BadScheduleError
from aether_protocol.cron.settings import CronSettings, decode_settings, encode_settings
from aether_protocol.engine.submission import check_run_id

SECOND = 1_000_000


def at(text: str) -> int:
    """An instant of 1 May 2026, or of the day given."""
    return int(datetime.fromisoformat(text if "T" in text else f"2026-05-01T{text}Z").timestamp()) * SECOND


HOURLY = CronSettings("0 * * * *")


@pytest.mark.rule("CRON-3")
def test_a_fire_on_time_is_started() -> None:
    assert decide(HOURLY, at("10:30:00"), at("11:00:00"), []) == Decision(at("11:00:00"), at("12:00:00"), at("11:00:00"))


@pytest.mark.rule("CRON-3")
def test_between_two_fires_nothing_is_due() -> None:
    assert decide(HOURLY, at("11:00:00"), at("11:59:59"), []) == Decision(at("11:59:59"), at("12:00:00"))


@pytest.mark.rule("CRON-3")
def test_of_late_fires_the_latest_is_started_and_the_others_are_missed() -> None:
    decision = decide(HOURLY, at("10:30:00"), at("13:59:00"), [])
    assert decision.start == at("13:00:00")
    assert decision.missed == Missed(2, at("11:00:00"), at("12:00:00"), [at("11:00:00"), at("12:00:00")])


@pytest.mark.rule("CRON-3")
@pytest.mark.parametrize(("late_s", "started"), [(0, True), (59, True), (60, True), (61, False)])
def test_a_late_fire_is_started_within_the_deadline_only(late_s: int, started: bool) -> None:
    one = CronSettings("0 * * * *", deadline_s=60)
    decision = decide(one, at("10:30:00"), at("11:00:00") + late_s * SECOND, [])
    assert decision.start == (at("11:00:00") if started else None)
    assert (decision.missed is None) is started


@pytest.mark.rule("CRON-3")
def test_more_than_a_hundred_missed_fires_are_a_number() -> None:
    one = CronSettings("* * * * *")
    hundred = decide(one, at("08:00:00"), at("09:41:00"), []).missed
    assert hundred is not None
    assert (hundred.count, len(hundred.times)) == (100, 100)
    more = decide(one, at("08:00:00"), at("09:42:00"), []).missed
    assert more == Missed(101, at("08:01:00"), at("09:41:00"), [])


@pytest.mark.rule("CRON-3")
def test_three_years_of_minutes_are_decided_at_once() -> None:
    one = CronSettings("* * * * *", timezone="Europe/Vienna")
    begin = time.process_time()
    decision = decide(one, at("2023-05-01T00:00:00Z"), at("2026-05-01T00:00:30Z"), [])
    assert time.process_time() - begin < 0.5
    assert decision.start == at("2026-05-01T00:00:00Z")
    assert decision.missed == Missed(1096 * 1440 - 1, at("2023-05-01T00:01:00Z"), at("2026-04-30T23:59:00Z"), [])


@pytest.mark.rule("CRON-4")
def test_allow_starts_beside_unfinished_runs() -> None:
    decision = decide(HOURLY, at("10:30:00"), at("11:00:00"), ["old"])
    assert (decision.start, decision.cancel, decision.skips) == (at("11:00:00"), [], [])


@pytest.mark.rule("CRON-4")
def test_forbid_skips_for_good_and_says_why() -> None:
    one = CronSettings("0 * * * *", policy="Forbid")
    decision = decide(one, at("10:30:00"), at("11:00:00"), ["old", "older"])
    why = "concurrencyPolicy is Forbid, and run 'old' and 1 more had not ended"
    assert decision == Decision(at("11:00:00"), at("12:00:00"), skips=[Skip(at("11:00:00"), why)])
    assert decide(one, decision.seen, at("11:00:01"), []).start is None  # the run has ended, and the fire is gone
    assert decide(one, decision.seen, at("12:00:00"), []).start == at("12:00:00")


@pytest.mark.rule("CRON-3", "CRON-4")
def test_a_fire_past_its_deadline_is_missed_and_not_skipped() -> None:
    one = CronSettings("0 * * * *", policy="Forbid", deadline_s=10)
    decision = decide(one, at("10:30:00"), at("11:00:11"), ["old"])
    assert (decision.skips, decision.missed) == ([], Missed(1, at("11:00:00"), at("11:00:00"), [at("11:00:00")]))


@pytest.mark.rule("CRON-4")
def test_replace_cancels_all_unfinished_runs_and_starts() -> None:
    one = CronSettings("0 * * * *", policy="Replace", deadline_s=10)
    decision = decide(one, at("10:30:00"), at("11:00:00"), ["old", "older"])
    assert (decision.start, decision.cancel) == (at("11:00:00"), ["old", "older"])
    assert decide(one, at("10:30:00"), at("11:30:00"), ["old"]).cancel == []  # nothing is started, so nothing gives way


@pytest.mark.rule("CRON-2")
def test_start_at_and_end_at_count_themselves() -> None:
    one = CronSettings("0 * * * *", start_at=at("11:00:00"), end_at=at("13:00:00"))
    decision = decide(one, at("08:30:00"), at("15:30:00"), [])
    assert (decision.start, decision.next_at) == (at("13:00:00"), None)
    assert decision.missed is not None
    assert decision.missed.times == [at("11:00:00"), at("12:00:00")]
    assert next_fire(one, at("08:30:00")) == at("11:00:00")


@pytest.mark.rule("CRON-2")
def test_a_schedule_applied_at_the_very_instant_of_a_fire_fires() -> None:
    seen = first_seen(at("11:00:00"))
    assert decide(HOURLY, seen, at("11:00:00"), []).start == at("11:00:00")
    assert decide(HOURLY, first_seen(at("11:00:00") + 1), at("11:30:00"), []).start is None


@pytest.mark.rule("CRON-2")
def test_suspended_nothing_is_due_and_nothing_is_made_up_for() -> None:
    asleep = decide(CronSettings("0 * * * *", suspend=True), at("10:30:00"), at("13:30:00"), ["old"])
    assert asleep == Decision(at("13:30:00"), None)
    assert decide(HOURLY, asleep.seen, at("14:00:00"), []) == Decision(at("14:00:00"), at("15:00:00"), at("14:00:00"))


@pytest.mark.rule("CRON-6")
def test_a_clock_that_is_set_back_repeats_nothing() -> None:
    seen = decide(HOURLY, at("10:30:00"), at("11:00:05"), []).seen
    assert decide(HOURLY, seen, at("10:59:00"), []) == Decision(seen, at("12:00:00"))
    assert decide(HOURLY, seen, at("11:00:05"), []) == Decision(seen, at("12:00:00"))


def test_a_schedule_that_comes_to_its_end_has_no_next_fire() -> None:
    assert next_fire(CronSettings("* * * * *"), at("9999-12-31T23:59:59Z")) is None


def test_a_schedule_that_cannot_be_read_is_an_error() -> None:
    with pytest.raises(BadScheduleError, match="minute '61' is not within 0 to 59"):
        decide(CronSettings("61 * * * *"), 0, 1, [])


@pytest.mark.rule("CRON-5")
def test_the_history_limits_count_each_kind_alone() -> None:
    one = CronSettings("0 * * * *", keep_succeeded=2, keep_failed=1)
    ended = [("f3", False), ("s4", True), ("f2", False), ("s3", True), ("s2", True), ("f1", False), ("s1", True)]
    assert expired(one, ended) == ["s1", "f1", "s2", "f2"]
    assert expired(CronSettings("0 * * * *", keep_succeeded=0, keep_failed=0), ended[:2]) == ["s4", "f3"]
    assert expired(one, []) == []


@pytest.mark.rule("CRON-6")
@pytest.mark.parametrize(
    ("namespace", "name", "moment", "run_id"),
    [
        ("default", "nightly", "2026-03-29T01:00:00Z", "nightly.20260329T010000Z"),
        ("sales", "nightly", "2026-03-29T01:00:00Z", "sales.nightly.20260329T010000Z"),
        ("default", "old", "0999-01-02T03:04:05Z", "old.09990102T030405Z"),
    ],
)
def test_the_id_of_a_fires_run(namespace: str, name: str, moment: str, run_id: str) -> None:
    assert run_name(namespace, name, at(moment)) == run_id


@pytest.mark.rule("CRON-6")
def test_a_long_id_is_cut_and_stays_its_own() -> None:
    long = [run_name("n" * 63, "x" * 62 + last, at("11:00:00")) for last in "ab"]
    assert [len(run_id) for run_id in long] == [128, 128]
    assert long[0] != long[1]
    assert long[0].endswith(".20260501T110000Z")
    for run_id in long:
        check_run_id(run_id)
    assert "_" not in run_name("n" * 47, "x" * 63, at("11:00:00"))  # exactly as long as ids may be


def test_an_instant_within_a_second_is_not_lost_from_the_id() -> None:
    assert run_name("default", "a", at("11:00:00") + 1) == "a.20260501T110000.000001Z"


@pytest.mark.rule("SPEC-7")
def test_the_record_of_settings_has_the_names_of_documents() -> None:
    one = CronSettings("@daily", "Europe/Vienna", 1, 2, "Replace", 60, 5, 6, True)
    record = {
        "schedule": "@daily",
        "timezone": "Europe/Vienna",
        "startAt": 1,
        "endAt": 2,
        "concurrencyPolicy": "Replace",
        "startingDeadlineSeconds": 60,
        "successfulJobsHistoryLimit": 5,
        "failedJobsHistoryLimit": 6,
        "suspend": True,
    }
    assert encode_settings(one) == record
    assert decode_settings(record) == one
    assert decode_settings({"schedule": "@daily"}) == CronSettings("@daily")
