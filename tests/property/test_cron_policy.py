"""The laws of schedules: each fire is decided once, whatever the clock does and however often one looks (CRON-2..6)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aether_protocol.cron.policy import MOST_TIMES, Decision, decide, expired, first_seen, next_fire, run_name
from aether_protocol.cron.schedule import fire_times
from aether_protocol.cron.settings import CronSettings, decode_settings, encode_settings
from aether_protocol.engine.submission import check_run_id

SECOND = 1_000_000
HOUR = 3600 * SECOND
START = int(datetime(2026, 3, 28, 12, tzinfo=UTC).timestamp()) * SECOND  # half a day before clocks change in Europe

SCHEDULES = st.sampled_from(
    ["* * * * *", "*/10 * * * *", "0 * * * *", "30 2 * * *", "0,30 1-3 * * *", "0 0 * * SUN", "0 0 1 4 *", "0 0 29 2 *"]
)
INSTANTS = st.integers(START - 3 * HOUR, START + 40 * HOUR) | st.integers(-2, 40).map(lambda hour: START + hour * HOUR)
SETTINGS = st.builds(
    CronSettings,
    schedule=SCHEDULES,
    timezone=st.sampled_from(["UTC", "Europe/Vienna"]),
    start_at=st.none() | INSTANTS,
    end_at=st.none() | INSTANTS,
    policy=st.sampled_from(["Allow", "Forbid", "Replace"]),
    deadline_s=st.none() | st.sampled_from([1, 60, 599, 3600]),
    keep_succeeded=st.integers(0, 4),
    keep_failed=st.integers(0, 4),
)
RUNS = st.lists(st.sampled_from(["a", "b", "c"]), unique=True)
LOOKS = st.lists(st.tuples(INSTANTS, RUNS), max_size=8)


def within(one: CronSettings, after: int, upto: int) -> list[int]:
    """The fires that are to be decided (CRON-2)."""
    fires = fire_times(one.schedule, one.timezone).between(after, upto)
    return [
        fire for fire in fires if (one.start_at is None or one.start_at <= fire) and (one.end_at is None or fire <= one.end_at)
    ]


def decided(one: CronSettings, before: int, decision: Decision) -> list[int]:
    """All fires that a decision tells of, the missed ones as it counts them."""
    told = [skip.at for skip in decision.skips] + ([] if decision.start is None else [decision.start])
    if decision.missed is None:
        return told
    missed = decision.missed
    times = missed.times
    if missed.count > MOST_TIMES:
        assert times == []
        times = [fire for fire in within(one, before, missed.last) if fire >= missed.first]
    assert (len(times), times[0], times[-1]) == (missed.count, missed.first, missed.last)
    return times + told


def play(one: CronSettings, seen: int, looks: Sequence[tuple[int, list[str]]]) -> tuple[int, list[int], list[Decision]]:
    """Look again and again, each time with what the look before left to be kept."""
    fires: list[int] = []
    decisions = []
    for now, unfinished in looks:
        decision = decide(one, seen, now, unfinished)
        fires += decided(one, seen, decision)
        decisions.append(decision)
        assert decision.seen >= seen
        seen = decision.seen
    return seen, fires, decisions


@pytest.mark.rule("CRON-2", "CRON-3", "CRON-6")
@settings(max_examples=200)
@given(SETTINGS, INSTANTS, LOOKS)
def test_every_fire_is_decided_once(one: CronSettings, applied: int, looks: list[tuple[int, list[str]]]) -> None:
    """Started, skipped or missed: one of the three, in order, whatever the clock does; and none outside of the window."""
    seen, fires, _ = play(one, first_seen(applied), looks)
    latest = max([now for now, _ in looks], default=applied - 1)
    assert fires == within(one, applied - 1, latest)
    assert seen == max(latest, applied - 1)


@pytest.mark.rule("CRON-3", "CRON-4")
@settings(max_examples=200)
@given(SETTINGS, INSTANTS, INSTANTS, RUNS)
def test_what_becomes_of_the_latest(one: CronSettings, applied: int, now: int, unfinished: list[str]) -> None:
    decision = decide(one, first_seen(applied), now, unfinished)
    due = within(one, applied - 1, now)
    if not due:
        assert (decision.start, decision.skips, decision.missed, decision.cancel) == (None, [], None, [])
        return
    late = one.deadline_s is not None and now - due[-1] > one.deadline_s * SECOND
    skipped = not late and one.policy == "Forbid" and bool(unfinished)
    assert decision.start == (None if late or skipped else due[-1])
    assert [skip.at for skip in decision.skips] == ([due[-1]] if skipped else [])
    assert (decision.missed.count if decision.missed else 0) == len(due) - (not late)
    assert decision.cancel == (unfinished if one.policy == "Replace" and not late else [])
    for skip in decision.skips:
        assert "Forbid" in skip.reason
        assert repr(unfinished[0]) in skip.reason


@pytest.mark.rule("CRON-3")
@settings(max_examples=200)
@given(SETTINGS, st.lists(INSTANTS, min_size=2, max_size=6).map(sorted))
def test_looking_more_often_loses_nothing_but_lateness(one: CronSettings, nows: list[int]) -> None:
    """What one late look decides, several looks decide as well; the last fire comes to the same, and more are started."""
    _, at_once, [single] = play(one, nows[0] - 1, [(nows[-1], [])])
    _, in_pieces, several = play(one, nows[0] - 1, [(now, []) for now in nows])
    assert in_pieces == at_once
    started = [decision.start for decision in several if decision.start is not None]
    assert started == sorted(set(started))
    if single.start is not None:
        assert single.start in started
    assert several[-1].next_at == single.next_at


@pytest.mark.rule("CRON-2", "CRON-3")
@settings(max_examples=100)
@given(SETTINGS, INSTANTS)
def test_who_looks_when_told_misses_nothing(one: CronSettings, applied: int) -> None:
    seen, at = first_seen(applied), next_fire(one, first_seen(applied))
    started: list[int] = []
    while at is not None and len(started) < 50:
        decision = decide(one, seen, at, [])
        assert (decision.start, decision.missed, decision.skips) == (at, None, [])
        started.append(at)
        seen, at = decision.seen, decision.next_at
    upto = started[-1] if at is not None else START + 10_000 * 24 * HOUR
    assert started == within(one, applied - 1, upto)


@pytest.mark.rule("CRON-2")
@settings(max_examples=50)
@given(SETTINGS, INSTANTS, INSTANTS, INSTANTS)
def test_what_passes_while_suspended_is_not_made_up_for(one: CronSettings, applied: int, now: int, later: int) -> None:
    suspended = decode_settings({**encode_settings(one), "suspend": True})
    decision = decide(suspended, first_seen(applied), now, ["a"])
    assert decision == Decision(max(applied - 1, now), None)
    assert next_fire(suspended, now) is None
    _, fires, _ = play(one, decision.seen, [(later, [])])
    assert fires == within(one, max(applied - 1, now), later)


@pytest.mark.rule("SPEC-7")
@given(SETTINGS)
def test_settings_go_through_json(one: CronSettings) -> None:
    record = encode_settings(one)
    assert decode_settings(json.loads(json.dumps(record))) == one


@pytest.mark.rule("CRON-5")
@given(SETTINGS, st.lists(st.booleans(), max_size=20))
def test_the_oldest_beyond_the_limits_go(one: CronSettings, succeeded: list[bool]) -> None:
    newest_first = [(str(number), fine) for number, fine in enumerate(succeeded)]
    old = expired(one, newest_first)
    assert [int(run_id) for run_id in old] == sorted(map(int, old), reverse=True)
    for fine, limit in ((True, one.keep_succeeded), (False, one.keep_failed)):
        runs = [run_id for run_id, ended_so in newest_first if ended_so is fine]
        assert [run_id for run_id in runs if run_id not in old] == runs[:limit]


LABELS = st.from_regex(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", fullmatch=True)
LONG = st.builds(lambda end: "x" * (63 - len(end)) + end, st.from_regex(r"[a-z0-9]{1,3}", fullmatch=True))
OWNERS = st.tuples(st.just("default") | LABELS | LONG, LABELS | LONG)
FIRES = st.integers(START // SECOND, START // SECOND + 10**9).map(lambda second: second * SECOND)


@pytest.mark.rule("CRON-6")
@given(st.lists(st.tuples(OWNERS, FIRES), min_size=2, max_size=5, unique=True))
def test_every_fire_has_a_run_id_of_its_own(fires: list[tuple[tuple[str, str], int]]) -> None:
    names = [run_name(*owner, at) for owner, at in fires]
    for name in names:
        check_run_id(name)
    assert len(set(names)) == len(names)
    for ((owner, at), name), (_, other) in pairwise(zip(fires, names, strict=True)):
        assert run_name(*owner, at) == name != other
