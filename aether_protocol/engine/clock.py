"""The real clocks, on the running event loop: one that is steady, one that is right.

Law: `SystemClock.now` never goes back and never jumps: it is the machine's time when the clock was made plus what has passed
since, so durations are right even where the machine's clock is set. `WallClock.now` is the machine's time, whatever
happens to it: for callers that follow the time of day for weeks, on a machine that sleeps or whose clock is corrected.
`LeaseAge` trusts neither of an engine's two clocks: it goes by the faster one.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.store.runs import NEVER

_LONGEST_S: Final = 86_400.0  # event loops do not like to wait for weeks: longer waits are cut up
_LOOK_S: Final = 1.0  # between two looks at a clock that may jump


class SystemClock:
    """Microseconds since the epoch; see `ports.clock.Clock`."""

    def __init__(self) -> None:
        self._offset_ns = time.time_ns() - time.monotonic_ns()

    def now(self) -> int:
        return (time.monotonic_ns() + self._offset_ns) // 1000

    def wall(self) -> int:
        return time.time_ns() // 1000

    def call_at(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        return _Alarm(self, due_us, callback)

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        if seconds == math.inf:
            await asyncio.get_running_loop().create_future()
        await asyncio.sleep(max(seconds, 0.0))


class WallClock:
    """Microseconds since the epoch, as the machine's clock says; see `ports.clock.Clock`.

    It may jump either way. No wait lasts longer than `look_s` seconds at a time, so that a waiter detects that soon;
    and a jump delays no alarm, so that its caller detects that the clock was set back.
    """

    def __init__(self, look_s: float = _LOOK_S) -> None:
        self._look_s = look_s

    def now(self) -> int:
        return time.time_ns() // 1000

    def wall(self) -> int:
        return self.now()

    def call_at(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        return _Alarm(self, due_us, callback, self._look_s)

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        """Sleep until so much time has passed, or the machine's clock has advanced by that much, whichever is first: a clock
        that was set back delays no waiter, and after a sleep of the machine waiters wake at once."""
        if seconds == math.inf:
            await asyncio.get_running_loop().create_future()
        end, due = time.monotonic() + seconds, time.time() + seconds
        while True:
            left = min(end - time.monotonic(), due - time.time())
            if left <= 0:
                return
            await asyncio.sleep(min(left, self._look_s))


class Sending(Struct, frozen=True):
    """When a call is sent that may take a lease: `at` in microseconds of its LeaseAge, after so many `lapses`."""

    at: int
    lapses: int


class LeaseAge:
    """How old a lease of `lease_us` (None: it never ends) is at the most: the store never has it for older.

    It has a time of its own, in microseconds, of which as much passes as on the faster one of the engine's clock and the
    machine's. `urgent`: the lease is to be renewed now, however young it is, for one of them was set back, and the store's
    perhaps too.
    """

    def __init__(self, clock: Clock, lease_us: int | None) -> None:
        self.urgent = False
        self._clock = clock
        self._lease_us = lease_us
        self._now = 0
        self._begun = 0
        self._seen = clock.now(), clock.wall()

    def look(self, least: int = 0) -> int:
        """Look at the clocks and give the time, which is `least` by now, whatever they show."""
        now, wall = self._clock.now(), self._clock.wall()
        passed, by_wall = now - self._seen[0], wall - self._seen[1]
        self._seen = now, wall
        self._now = max(self._now + max(passed, by_wall, 0), least)
        self.urgent = self.urgent or min(passed, by_wall) < 0
        return self._now

    def begin(self, at: int) -> None:
        """Let it begin at that time, or where it began if that was later."""
        self.look()
        self._begun = max(self._begun, at)

    @property
    def left(self) -> int:
        """How much is left of the lease; 0 where it is over."""
        return NEVER if self._lease_us is None else max(self._begun + self._lease_us - self._now, 0)

    @property
    def is_over(self) -> bool:
        """Whether others may have the lease."""
        return self.left == 0


class _Alarm:
    """Calls back at `due` and not before, or once as much time has passed as was left until then: loops may wake a little
    early, long waits are cut up, and the machine's clock may be set back meanwhile."""

    def __init__(self, clock: Clock, due_us: int, callback: Callable[[], None], longest_s: float = _LONGEST_S) -> None:
        self._clock = clock
        self._due_us = due_us
        self._callback = callback
        self._longest_s = longest_s
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._latest = time.monotonic() + self._left_s()
        self._arm()

    def _left_s(self) -> float:
        return max((self._due_us - self._clock.now()) / 1_000_000, 0.0)

    def _arm(self) -> None:
        wait_s = min(self._left_s(), max(self._latest - time.monotonic(), 0.0))
        self._handle = self._loop.call_later(min(wait_s, self._longest_s), self._ring)

    def _ring(self) -> None:
        if self._clock.now() < self._due_us and time.monotonic() < self._latest:
            self._arm()
        else:
            self._callback()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
