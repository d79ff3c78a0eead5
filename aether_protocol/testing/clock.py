"""Virtual time, a Clock that stands still until it is moved; and ids that are the same each time a test runs.

Law: time moves in `advance` only, and never past something that is due. At one instant sleepers wake before timers fire
(a deadline is missed only by what is not there when its instant is over). Sleepers of one instant wake together, sorted
by their rank, then by when they fell asleep; timers fire one by one in the order in which they were set.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import math
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from aether_protocol.ports.clock import IdKind
from aether_protocol.testing.settling import Settling, settle

DEFAULT_START_US: Final = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


class _Timer:
    """A callback to come; `callback` is None once it was cancelled or has fired."""

    __slots__ = ("callback",)

    def __init__(self, callback: Callable[[], None]) -> None:
        self.callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self.callback = None


class ManualClock:
    """See `ports.clock.Clock`; a test moves it. `start_us`: where it starts, in microseconds since the epoch.

    `set_by`: by how much the clock of the machine was set meanwhile, in microseconds.
    """

    def __init__(self, start_us: int = DEFAULT_START_US) -> None:
        self.set_by = 0
        self._now = start_us
        self._numbers = itertools.count()
        self._timers: list[tuple[int, int, _Timer]] = []
        self._sleepers: list[tuple[int, int, tuple[int, ...], asyncio.Future[None]]] = []

    def now(self) -> int:
        return self._now

    def wall(self) -> int:
        return self._now + self.set_by

    def call_at(self, due_us: int, callback: Callable[[], None]) -> _Timer:
        timer = _Timer(callback)
        heapq.heappush(self._timers, (due_us, next(self._numbers), timer))
        return timer

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        """Wait until the clock was moved by `seconds` (none: until the next `wake`); `math.inf` waits for ever."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not math.isinf(seconds):
            due = self._now + max(0, round(seconds * 1_000_000))
            heapq.heappush(self._sleepers, (due, next(self._numbers), rank, future))
        await future

    def next_due(self) -> int | None:
        """The instant of the next sleeper or timer, in microseconds; None where there is none."""
        while self._sleepers and self._sleepers[0][3].done():
            heapq.heappop(self._sleepers)
        while self._timers and self._timers[0][2].callback is None:
            heapq.heappop(self._timers)
        dues = [heap[0][0] for heap in (self._sleepers, self._timers) if heap]
        return min(dues, default=None)

    def wake(self) -> bool:
        """Wake all sleepers that are due now; whether there was one."""
        due: list[tuple[tuple[int, ...], int, asyncio.Future[None]]] = []
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, number, order, future = heapq.heappop(self._sleepers)
            if not future.done():
                due.append((order, number, future))
        due.sort(key=lambda entry: entry[:2])
        for _, _, future in due:
            future.set_result(None)
        return bool(due)

    def fire(self) -> bool:
        """Fire the first timer that is due now; whether there was one."""
        while self._timers and self._timers[0][0] <= self._now:
            timer = heapq.heappop(self._timers)[2]
            callback, timer.callback = timer.callback, None
            if callback is not None:
                callback()
                return True
        return False

    def fire_all(self) -> None:
        """Fire the timers that are due now, those that come to be due by them, too."""
        while self.fire():
            pass

    def advance(self, to_us: int) -> None:
        """Move to instant `to_us`; what is due then waits for `wake` and `fire`.

        Raises:
            ValueError: something is due before that instant, or it has passed.
        """
        due = self.next_due()
        if due is not None and due < to_us:
            raise ValueError(f"something is due {to_us - due} microseconds before that instant")
        if to_us < self._now:
            raise ValueError("time does not run backwards")
        self._now = to_us

    def step(self, until_us: int | None = None) -> bool:
        """Let the next thing happen: wake a sleeper, else fire a timer that is due, else move to the next instant at which
        something is due, if that is not later than `until_us`; False where nothing is left."""
        if self.wake() or self.fire():
            return True
        due = self.next_due()
        if due is None or (until_us is not None and due > until_us):
            return False
        self.advance(due)
        return True


class SkewedClock:
    """See `ports.clock.Clock`: `clock` as one machine shows it, `offset` microseconds ahead of it (negative: behind)."""

    def __init__(self, clock: ManualClock, offset: int = 0) -> None:
        self._clock = clock
        self.offset = offset

    def now(self) -> int:
        return self._clock.now() + self.offset

    def wall(self) -> int:
        return self.now()

    def call_at(self, due_us: int, callback: Callable[[], None]) -> _Timer:
        return self._clock.call_at(max(due_us - self.offset, self._clock.now()), callback)

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        await self._clock.sleep(seconds, rank)


class SequentialIds:
    """See `ports.clock.IdGenerator`: run-1, run-2, ..., engine-1, ... and always the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._made: Counter[IdKind] = Counter()

    def new_id(self, kind: IdKind, now_us: int, run: str | None = None) -> str:
        self._made[kind] += 1
        return f"{kind}-{self._made[kind]}"

    def seed(self, run: str) -> int:
        return self._seed


class Course:
    """What happens while time passes: the parts that come to rest, and what a test brings in from outside.

    At one instant sleepers wake first, then comes what `before_timers` does, then timers fire, then what `after_timers` does;
    between any two of these everything comes to rest. Override what a test needs.
    """

    async def rest(self) -> bool:
        """Return once nothing can happen before time passes. False: time stops here."""
        return True

    async def before_timers(self) -> bool:
        """Do one thing that is due. False: nothing is."""
        return False

    async def after_timers(self) -> bool:
        """Do one thing that is due and comes last. False: nothing is."""
        return False

    async def next_due(self) -> int | None:
        """Give the instant of the next thing from outside; None: there is none to come."""
        return None


class _Parts(Course):
    def __init__(self, parts: Sequence[Settling], stopped: Callable[[], bool] | None) -> None:
        self._parts = parts
        self._stopped = stopped

    async def rest(self) -> bool:
        await settle(*self._parts)
        return self._stopped is None or not self._stopped()


async def follow(clock: ManualClock, course: Course, until_us: int | None = None) -> None:
    """Let virtual time pass: the one loop that does.

    Args:
        clock: the clock of everything that takes part.
        course: what comes to rest before time moves, and what happens besides.
        until_us: the instant at which the clock stands in the end; None: once nothing is left to happen.
    """
    while await course.rest():
        if clock.wake() or await course.before_timers() or clock.fire() or await course.after_timers():
            continue
        due = min((due for due in (clock.next_due(), await course.next_due()) if due is not None), default=None)
        if due is None or (until_us is not None and due > until_us):
            if until_us is not None:
                clock.advance(max(until_us, clock.now()))
            return
        clock.advance(due)


async def pass_time(
    clock: ManualClock,
    *parts: Settling,
    until_us: int | None = None,
    stopped: Callable[[], bool] | None = None,
) -> None:
    """Let virtual time pass, as fast as these parts can take it.

    Args:
        clock: the clock of all of them.
        parts: what has to come to rest before time moves (`settling.parts_of` an engine).
        until_us: the instant at which the clock stands in the end; None: once nothing is left to happen.
        stopped: asked after each rest; time stands still once it is true (an engine was killed). None: never.
    """
    await follow(clock, _Parts(parts, stopped), until_us)
