"""Virtual time: what comes first at one instant, and that time never runs past what is due."""

from __future__ import annotations

import asyncio
import math

import pytest

from aether_protocol.testing.clock import DEFAULT_START_US, ManualClock, pass_time

SECOND = 1_000_000


async def sleeper(clock: ManualClock, seconds: float, rank: tuple[int, ...], told: list[str], name: str) -> None:
    await clock.sleep(seconds, rank)
    told.append(name)


def test_sleepers_wake_before_timers_and_in_the_order_of_their_rank() -> None:
    async def scene() -> list[str]:
        clock, told = ManualClock(), list[str]()
        clock.call_at(clock.now() + 2 * SECOND, lambda: told.append("timer"))
        tasks = [
            asyncio.create_task(sleeper(clock, 2, (0, 2), told, "second")),
            asyncio.create_task(sleeper(clock, 2, (0, 1), told, "first")),
            asyncio.create_task(sleeper(clock, 1, (0, 9), told, "early")),
        ]
        await pass_time(clock, until_us=clock.now() + 2 * SECOND)
        await asyncio.gather(*tasks)
        return told

    assert asyncio.run(scene()) == ["early", "first", "second", "timer"]


def test_time_stands_where_it_was_told_to() -> None:
    async def scene() -> int:
        clock = ManualClock()
        await pass_time(clock, until_us=clock.now() + 7)
        return clock.now() - DEFAULT_START_US

    assert asyncio.run(scene()) == 7


def test_what_was_cancelled_does_not_happen() -> None:
    async def scene() -> list[str]:
        clock, told = ManualClock(), list[str]()
        clock.call_at(clock.now() + SECOND, lambda: told.append("timer")).cancel()
        task = asyncio.create_task(sleeper(clock, 1, (), told, "sleeper"))
        forever = asyncio.create_task(sleeper(clock, math.inf, (), told, "for ever"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        assert clock.next_due() is None
        await pass_time(clock, until_us=clock.now() + 10 * SECOND)
        forever.cancel()
        return told

    assert asyncio.run(scene()) == []


def test_time_does_not_run_past_what_is_due_nor_backwards() -> None:
    clock = ManualClock()
    clock.call_at(clock.now() + 5, lambda: None)
    with pytest.raises(ValueError, match="something is due 1 microseconds before"):
        clock.advance(clock.now() + 6)
    with pytest.raises(ValueError, match="does not run backwards"):
        clock.advance(clock.now() - 1)


def test_a_sleep_of_no_time_lasts_until_the_next_wake() -> None:
    async def scene() -> list[str]:
        clock, told = ManualClock(), list[str]()
        task = asyncio.create_task(sleeper(clock, 0, (), told, "now"))
        await asyncio.sleep(0)
        assert told == []
        assert clock.wake()
        await task
        return told

    assert asyncio.run(scene()) == ["now"]


def test_time_stands_still_once_it_is_told_to() -> None:
    async def go() -> None:
        clock = ManualClock()
        began, fired = clock.now(), []
        for second in (1, 2, 3):
            clock.call_at(began + second * SECOND, lambda second=second: fired.append(second))  # type: ignore[misc]
        await pass_time(clock, until_us=began + 9 * SECOND, stopped=lambda: fired == [1, 2])
        assert (fired, clock.now()) == ([1, 2], began + 2 * SECOND)
        await pass_time(clock)
        assert (fired, clock.now(), clock.step()) == ([1, 2, 3], began + 3 * SECOND, False)

    asyncio.run(go())
