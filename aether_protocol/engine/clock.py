"""The real clock, on the running event loop.

Law: `now` never goes back and never jumps: it is the machine's time when the clock was made plus what has passed since,
so durations are right even where somebody sets the machine's clock.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable

from aether_protocol.ports.clock import TimerHandle

_LONGEST_S = 86_400.0  # event loops do not like to wait for weeks: longer waits are cut up


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


class _Alarm:
    """Calls back at `due` and not before: loops may wake a little early, and long waits are cut up."""

    def __init__(self, clock: SystemClock, due_us: int, callback: Callable[[], None]) -> None:
        self._clock = clock
        self._due_us = due_us
        self._callback = callback
        self._loop = asyncio.get_running_loop()
        self._handle: asyncio.TimerHandle | None = None
        self._arm()

    def _arm(self) -> None:
        wait_s = max((self._due_us - self._clock.now()) / 1_000_000, 0.0)
        self._handle = self._loop.call_later(min(wait_s, _LONGEST_S), self._ring)

    def _ring(self) -> None:
        if self._clock.now() < self._due_us:
            self._arm()
        else:
            self._callback()

    def cancel(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
