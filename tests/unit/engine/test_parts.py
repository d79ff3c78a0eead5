"""The small parts: ids, timers, the system clock."""

from __future__ import annotations

import asyncio
import math
import re
import uuid

import pytest

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds, uuid7
from aether_protocol.engine.timers import Timers
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.testing.clock import ManualClock, pass_time
from tests.unit.engine.plans import dag, plan, task

TIMEOUT, BACKOFF = TimerKind.TIMEOUT, TimerKind.BACKOFF


def test_run_ids_are_uuids_that_sort_by_time() -> None:
    ids = [uuid7(1_700_000_000_000_000 + step * 1_000) for step in range(50)]
    assert ids == sorted(ids)
    assert all(uuid.UUID(one).version == 7 and uuid.UUID(one).variant == uuid.RFC_4122 for one in ids)
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", ids[0])
    assert len({RandomIds().new_id("run", 5) for _ in range(100)}) == 100
    assert RandomIds().seed("run") >= 0


class Bench:
    """Timers on a manual clock, and what was due."""

    def __init__(self) -> None:
        self.clock = ManualClock(0)
        self.due: list[tuple[int, TimerKind, int]] = []
        on_due = lambda run, node, kind, due: self.due.append((node, kind, due))  # noqa: E731
        self.timers = Timers(self.clock, on_due, self.clock.now)
        self.run = ActiveRun("r", 1, plan(dag(task("a"))))

    def pass_to(self, instant: int) -> None:
        asyncio.run(pass_time(self.clock, until_us=instant))


def test_timers_ring_once_at_their_instant() -> None:
    bench = Bench()
    bench.timers.set(bench.run, -1, TIMEOUT, 30)
    bench.timers.set(bench.run, -1, TIMEOUT, 20)
    bench.pass_to(19)
    assert bench.due == []
    bench.pass_to(100)
    assert bench.due == [(-1, TIMEOUT, 20)]
    assert bench.clock.next_due() is None


def test_what_was_cleared_does_not_ring_and_the_clock_forgets_it() -> None:
    bench = Bench()
    bench.timers.set(bench.run, -1, TIMEOUT, 20)
    bench.timers.clear(bench.run, -1, TIMEOUT)
    bench.timers.clear(bench.run, 5, BACKOFF)
    bench.timers.tidy()
    assert bench.clock.next_due() is None
    bench.timers.set(bench.run, -1, TIMEOUT, 40)
    bench.timers.drop(bench.run)
    bench.timers.tidy()
    assert bench.clock.next_due() is None


def test_cleared_timers_do_not_pile_up() -> None:
    bench = Bench()
    for instant in range(10_000):
        bench.timers.set(bench.run, -1, TIMEOUT, 1_000_000 + instant)
    assert len(bench.timers._heap) < 1_000
    bench.pass_to(2_000_000)
    assert bench.due == [(-1, TIMEOUT, 1_009_999)]


def test_the_system_clock_calls_back_in_time_and_sleeps() -> None:
    async def go() -> None:
        clock = SystemClock()
        called: list[int] = []
        due = clock.now() + 2_000
        done = asyncio.Event()

        def ring() -> None:
            called.append(clock.now())
            done.set()

        clock.call_at(due, ring)
        clock.call_at(due, lambda: called.append(-1)).cancel()
        await done.wait()
        await clock.sleep(-1)
        assert called[0] >= due
        assert -1 not in called
        endless = asyncio.ensure_future(clock.sleep(math.inf))
        await clock.sleep(0)
        assert not endless.done()
        endless.cancel()
        with pytest.raises(asyncio.CancelledError):
            await endless

    asyncio.run(go())
