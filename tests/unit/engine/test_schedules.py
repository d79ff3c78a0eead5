"""Schedules are applied and changed: what is new, what stays, what is refused (CRON-2, CRON-6)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.cron.settings import CronSettings
from aether_protocol.engine.schedules import ChangedSpecError, NoFireError, ScheduleSpec, apply, plan_change, set_suspended
from aether_protocol.errors import AetherError, BusyError, UsageError
from aether_protocol.ports.store import Store
from aether_protocol.ports.store.schedules import StoredSchedule
from aether_protocol.testing.contracts.store.tools import tiny_plan

MINUTE = 60_000_000
HOUR = 60 * MINUTE
HOURLY = CronSettings("0 * * * *")
NOW = 10 * HOUR + 30 * MINUTE  # since the epoch

pytestmark = pytest.mark.rule("CRON-2", "CRON-6")


def given(**changes: Any) -> ScheduleSpec:
    return replace(ScheduleSpec("default", "nightly", HOURLY, "a" * 64, "text", tiny_plan()), **changes)


@pytest.fixture(params=["memory", "sqlite"])
def play(request: pytest.FixtureRequest) -> Callable[[Callable[[Store], Coroutine[Any, Any, None]]], None]:
    """Run a body on an empty store."""

    def play_it(body: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
        async def go() -> None:
            store: Store = MemoryStore() if request.param == "memory" else open_sqlite(":memory:")
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(go())

    return play_it


Play = Callable[[Callable[[Store], Coroutine[Any, Any, None]]], None]


async def refused(store: Store, application: ScheduleSpec, now: int, kind: type[AetherError], **how: Any) -> str:
    """Why applying is refused; nothing was stored."""
    before = await store.schedules.find()
    with pytest.raises(kind) as told:
        await apply(store.schedules, application, now, **how)
    assert await store.schedules.find() == before
    return told.value.message


def test_a_new_schedule_counts_from_its_application_on(play: Play) -> None:
    async def body(store: Store) -> None:
        made, what = await apply(store.schedules, given(), NOW)
        assert (what, made.applied_at, made.changed_at, made.next_at, made.version) == ("created", NOW, NOW, 11 * HOUR, 1)
        at_the_hour, _ = await apply(store.schedules, given(name="other"), 11 * HOUR)
        assert at_the_hour.next_at == 11 * HOUR, "the very instant counts"

    play(body)


def test_the_same_once_more_changes_nothing(play: Play) -> None:
    async def body(store: Store) -> None:
        made, _ = await apply(store.schedules, given(), NOW)
        assert await apply(store.schedules, given(), NOW + 5 * HOUR) == (made, "unchanged")

    play(body)


def test_other_settings_begin_anew_at_the_change(play: Play) -> None:
    async def body(store: Store) -> None:
        await apply(store.schedules, given(), NOW)
        changed, what = await apply(store.schedules, given(settings=CronSettings("*/20 * * * *")), NOW + 5 * HOUR)
        assert (what, changed.applied_at, changed.changed_at) == ("updated", NOW, NOW + 5 * HOUR)
        assert changed.next_at == NOW + 5 * HOUR + 10 * MINUTE, "11 to 15 o'clock are not made up for"

    play(body)


def test_another_text_or_template_leaves_the_times_as_they_are(play: Play) -> None:
    async def body(store: Store) -> None:
        made, _ = await apply(store.schedules, given(), NOW)
        changed, what = await apply(store.schedules, given(document="# a comment"), NOW + 5 * HOUR)
        assert (what, changed.next_at, changed.changed_at) == ("updated", made.next_at, NOW)
        other = replace(tiny_plan(), digest="1" * 64, name="other")
        changed, what = await apply(store.schedules, given(document="# a comment", plan=other), NOW + 5 * HOUR)
        assert (what, changed.next_at) == ("updated", made.next_at)
        assert (await store.schedules.plan("default", "nightly")).name == "other"

    play(body)


def test_what_it_runs_cannot_be_changed_but_replaced(play: Play) -> None:
    async def body(store: Store) -> None:
        first, _ = await apply(store.schedules, given(), NOW)
        other = given(spec="b" * 64, settings=CronSettings("30 * * * *"))
        assert "workflowSpec" in await refused(store, other, NOW + HOUR, ChangedSpecError)
        made, what = await apply(store.schedules, other, NOW + HOUR, replaces=True)
        assert (what, made.generation, made.spec, made.applied_at) == ("replaced", 2, "b" * 64, NOW + HOUR)
        assert made.next_at == NOW + HOUR, "11:30, the instant of the change"
        assert first.generation == 1

    play(body)


@pytest.mark.rule("CRON-1")
@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (CronSettings("0 * * * *", end_at=NOW - 1), "endAt is in the past"),
        (CronSettings("0 * * * *", end_at=NOW + 29 * MINUTE), "has no fire from now on"),
        (CronSettings("0 0 1 1 *", start_at=HOUR, end_at=20 * HOUR, suspend=True), "has no fire from now on"),
    ],
)
def test_a_schedule_that_fires_no_more_is_refused(play: Play, settings: CronSettings, told: str) -> None:
    async def body(store: Store) -> None:
        assert told in await refused(store, given(settings=settings), NOW, NoFireError)
        await apply(store.schedules, given(), NOW)
        assert told in await refused(store, given(settings=settings), NOW, NoFireError)

    play(body)


def test_suspending_twice_is_one_change(play: Play) -> None:
    async def body(store: Store) -> None:
        await apply(store.schedules, given(), NOW)
        held, changed = await set_suspended(store.schedules, "default", "nightly", True, NOW + MINUTE)
        assert (held.settings.suspend, held.next_at, changed) == (True, None, True)
        assert await set_suspended(store.schedules, "default", "nightly", True, NOW + 2 * MINUTE) == (held, False)
        again, changed = await set_suspended(store.schedules, "default", "nightly", False, NOW + 3 * HOUR)
        assert (again.next_at, changed) == (14 * HOUR, True)
        with pytest.raises(UsageError, match="unknown"):
            await set_suspended(store.schedules, "default", "other", True, NOW)

    play(body)


def test_a_clock_that_was_set_back_repeats_nothing(play: Play) -> None:
    async def body(store: Store) -> None:
        made, _ = await apply(store.schedules, given(), NOW)
        dealt = await store.schedules.put(replace(made, seen=12 * HOUR, next_at=13 * HOUR))
        back, _ = await set_suspended(store.schedules, "default", "nightly", True, NOW)
        on, _ = await set_suspended(store.schedules, "default", "nightly", False, NOW)
        assert (dealt.seen, back.seen, on.seen, on.next_at) == (12 * HOUR, 12 * HOUR, 12 * HOUR, 13 * HOUR)

    play(body)


def test_of_two_who_apply_at_once_one_is_told(play: Play) -> None:
    async def body(store: Store) -> None:
        first = await plan_change(store.schedules, given(), NOW)
        second = await plan_change(store.schedules, given(), NOW)
        await store.schedules.put(first.schedule, first.plan)
        with pytest.raises(BusyError):
            await store.schedules.put(second.schedule, second.plan)
        found: list[StoredSchedule] = await store.schedules.find()
        assert len(found) == 1

    play(body)
