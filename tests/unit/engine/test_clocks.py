"""The real clocks, with the machine's time under control: a steady one that ignores jumps, and one that follows them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import time_machine

from aether_protocol.engine.clock import SystemClock, WallClock

START = 1_767_225_600  # 2026-01-01T00:00:00Z
HOUR = 3_600
US = 1_000_000
SOON_S = 10.0  # of real time: what would take an hour by itself has happened by then
LOOK_S = 0.005


def within(seconds: float, body: Callable[[], object]) -> object:
    async def go() -> object:
        async with asyncio.timeout(seconds):
            return await body()  # type: ignore[misc]

    return asyncio.run(go())


def test_the_wall_clock_is_the_machines_and_the_steady_one_is_not() -> None:
    with time_machine.travel(START, tick=False) as machine:
        steady, wall = SystemClock(), WallClock()
        begin = steady.now()
        assert wall.now() == START * US
        machine.shift(HOUR)
        assert wall.now() == (START + HOUR) * US
        assert 0 <= steady.now() - begin < HOUR * US
        machine.shift(-2 * HOUR)
        assert wall.now() == (START - HOUR) * US
        assert steady.now() >= begin


def test_an_alarm_of_the_wall_clock_rings_when_the_machines_time_jumps_there() -> None:
    async def body() -> int:
        rung: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        wall = WallClock(LOOK_S)
        wall.call_at((START + HOUR) * US, lambda: rung.set_result(wall.now()))
        await asyncio.sleep(3 * LOOK_S)
        assert not rung.done()
        machine.shift(HOUR)
        return await rung

    with time_machine.travel(START, tick=False) as machine:
        assert within(SOON_S, body) == (START + HOUR) * US


def test_an_alarm_of_the_wall_clock_waits_for_a_clock_that_was_set_back() -> None:
    async def body() -> int:
        rung: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        wall = WallClock(LOOK_S)
        machine.shift(-HOUR)
        wall.call_at(START * US, lambda: rung.set_result(wall.now()))
        await asyncio.sleep(5 * LOOK_S)
        assert not rung.done()
        machine.shift(HOUR)
        return await rung

    with time_machine.travel(START, tick=False) as machine:
        assert within(SOON_S, body) == START * US


def test_an_alarm_that_was_cancelled_is_silent() -> None:
    async def body() -> list[int]:
        rung: list[int] = []
        wall = WallClock(LOOK_S)
        wall.call_at((START + 1) * US, lambda: rung.append(1)).cancel()
        machine.shift(HOUR)
        await asyncio.sleep(5 * LOOK_S)
        return rung

    with time_machine.travel(START, tick=False) as machine:
        assert within(SOON_S, body) == []


def test_a_sleep_by_the_wall_clock_ends_with_a_jump_ahead() -> None:
    async def body() -> None:
        sleeping = asyncio.ensure_future(WallClock(LOOK_S).sleep(HOUR))
        await asyncio.sleep(3 * LOOK_S)
        assert not sleeping.done()
        machine.shift(HOUR)
        await sleeping

    with time_machine.travel(START, tick=False) as machine:
        within(SOON_S, body)


def test_a_clock_that_is_set_back_makes_no_sleep_longer() -> None:
    async def body() -> float:
        begin = time.monotonic()
        sleeping = asyncio.ensure_future(WallClock(LOOK_S).sleep(10 * LOOK_S))
        await asyncio.sleep(LOOK_S)
        machine.shift(-HOUR)
        await sleeping
        return time.monotonic() - begin

    with time_machine.travel(START, tick=False) as machine:
        took = within(SOON_S, body)
    assert isinstance(took, float)
    assert took >= 9 * LOOK_S


@pytest.mark.parametrize("seconds", [0, -1])
def test_a_sleep_of_nothing_is_over_at_once(seconds: float) -> None:
    within(SOON_S, lambda: WallClock().sleep(seconds))


def test_an_endless_sleep_ends_when_it_is_cancelled() -> None:
    async def body() -> bool:
        sleeping = asyncio.ensure_future(WallClock(LOOK_S).sleep(float("inf")))
        machine.shift(100 * HOUR)
        await asyncio.sleep(3 * LOOK_S)
        assert not sleeping.done()
        sleeping.cancel()
        await asyncio.wait({sleeping})
        return sleeping.cancelled()

    with time_machine.travel(START, tick=False) as machine:
        assert within(SOON_S, body) is True
