"""The Clock port: the only source of time, in microseconds since the epoch; and ids.

Law: every instant that the engine records, compares or decides by comes from this, so that a test can hold it. Two things do
not: leases, which the store measures by its own clock, and the length of a wait in an adapter, which the monotonic clock of the
machine measures.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol

IdKind = Literal["run", "engine"]


class TimerHandle(Protocol):
    def cancel(self) -> None: ...


class Clock(Protocol):
    def now(self) -> int:
        """Microseconds since the epoch."""
        ...

    def wall(self) -> int:
        """The machine's time as it is set at this moment, in microseconds since the epoch: it may jump, either way. For what
        processes hold against each other (leases); `now` is for all else."""
        ...

    def call_at(self, due_us: int, callback: Callable[[], None]) -> TimerHandle:
        """Call back once `now() >= due_us`, on the event loop's thread. Used for the engine's deadlines. A clock that can be
        set back calls back no later for that than it would have: who set the timer looks at the clock again."""
        ...

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        """Wait (`math.inf`: until cancelled); executors use it through their context.

        Of those that wake at one instant the lower `rank` comes first (document order); all of them come before the
        timers of `call_at`. Only a virtual clock can tell instants apart; a real one need not look at `rank`.
        """
        ...


class IdGenerator(Protocol):
    """Names for what is new, and seeds: the only source of chance of an engine."""

    def new_id(self, kind: IdKind, now_us: int, run: str | None = None) -> str:
        """Make an id that nothing else has. That of a `run` begins and ends with a letter or digit and has at most 128 letters,
        digits, hyphens, dots and underscores; those of one kind should sort by time. That of an `engine` is the name under
        which it holds its runs. `run`: the run that it is about, if any."""
        ...

    def seed(self, run: str) -> int:
        """Give a non-negative integer for the jitter of a run, which is recorded with it."""
        ...
