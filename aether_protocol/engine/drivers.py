"""The drivers of one loop: which of them is in a turn, which waits for the store, which waits for work; and what of their turns
the store does not have yet.

Law: one driver at a time decides; the others wait for the store, or for work. A driver is woken where there is work and none
would see to it, so a loop whose store takes one append at a time is one driver that never waits for another. What must not
meet a write of this engine is done `alone`: no driver is in a turn then, and none begins one.

Of one run one append is on its way; the steps that its machine makes meanwhile follow in the next. A reply is given once all is
stored that was there when its entry was handled, of whatever run, and in the order of the entries.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.inbox import Reply, acknowledge

T = TypeVar("T")


class Drivers:
    """`most` drivers; `has_work` says whether there is something that a driver would take up. `closed`: one does something
    alone, the others park. `parked`: what those that wait for work wait on."""

    def __init__(self, most: int, has_work: Callable[[], bool]) -> None:
        self.most = most
        self.closed = False
        self._has_work = has_work
        self._active = most  # drivers that neither are parked nor wait for the store
        self.parked: list[asyncio.Future[None]] = []
        self._others_parked: asyncio.Future[None] | None = None  # the one that wants to be alone waits on this
        self._at_rest: list[asyncio.Future[None]] = []  # who waits for all to park

    @property
    def resting(self) -> bool:
        """All drivers are parked."""
        return len(self.parked) == self.most

    async def run(self, drive: Callable[[], Coroutine[Any, Any, None]], broke: Callable[[Exception], None]) -> None:
        """Let all drive, until the first one breaks: `broke` is called with what it raised."""
        try:
            if self.most == 1:
                await drive()
                return
            async with asyncio.TaskGroup() as drivers:
                for _ in range(self.most):
                    drivers.create_task(drive(), name="aether-driver")
        except Exception as raised:
            broke(raised.exceptions[0] if isinstance(raised, ExceptionGroup) else raised)
        finally:
            self.end()

    def wake(self) -> None:
        """There is work: wake a driver, unless one is at it."""
        while self.parked and not self._active:
            parked = self.parked.pop()
            if not parked.done():
                self._active += 1
                parked.set_result(None)

    async def park(self) -> None:
        """Wait for work."""
        self._active -= 1
        parked: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.parked.append(parked)
        if self.resting:
            self.end()
        elif self._others_parked is not None and len(self.parked) == self.most - 1:
            self._others_parked.set_result(None)
            self._others_parked = None
        await parked

    async def storing(self, writes: Awaitable[T]) -> T:
        """Wait for the store. Another driver takes up what there is to do meanwhile."""
        self._active -= 1
        if self.parked and not self.closed and self._has_work():
            self.wake()
        try:
            return await writes
        finally:
            self._active += 1

    async def pass_on(self) -> None:
        """Let another driver take up what there is, before this one continues."""
        if self.parked and not self.closed:
            self._active -= 1
            self.wake()
            self._active += 1
            await asyncio.sleep(0)

    @asynccontextmanager
    async def alone(self) -> AsyncIterator[None]:
        """Hold while no other driver is in a turn. For one that is in none itself, where no other is `alone`."""
        self.closed = True
        try:
            if len(self.parked) < self.most - 1:
                self._others_parked = asyncio.get_running_loop().create_future()
                await self._others_parked
            yield
        finally:
            self.closed = False

    def rest(self) -> asyncio.Future[None]:
        """Give what is done once all drivers are parked, or none drives any more."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._at_rest.append(future)
        return future

    def end(self) -> None:
        """The loop is at rest, or is no more."""
        for future in self._at_rest:
            if not future.done():
                future.set_result(None)
        self._at_rest.clear()


class Unstored:
    """`ready`: runs with steps to be stored of which no append is on its way, beside those that were touched just now.
    `replies` wait. Where one append at most is on its way only replies come here, and all is stored when they are given."""

    def __init__(self) -> None:
        self.ready: list[ActiveRun] = []
        self._round = 0  # of entries that are handled together
        self._since: dict[ActiveRun, int] = {}  # of each run with unstored steps, the round of the oldest
        self._next: dict[ActiveRun, int] = {}  # the same, of the steps that follow those that are on their way
        self.replies: deque[tuple[int, ActiveRun, Reply, str | None]] = deque()

    def begin(self) -> list[ActiveRun]:
        """Begin a round; the runs that wait to be stored, which are the caller's from now on."""
        self._round += 1
        ready, self.ready = self.ready, []
        return ready

    def touch(self, run: ActiveRun) -> bool:
        """Note the first of new steps of a run; False where they follow an append that is on its way."""
        if run in self._since:
            self._next.setdefault(run, self._round)
            return False
        self._since[run] = self._round
        return True

    def promise(self, run: ActiveRun, reply: Reply, refused: str | None) -> None:
        """Give a reply to an entry of this round, in its turn."""
        self.replies.append((self._round, run, reply, refused))

    def settle(self, runs: Iterable[ActiveRun]) -> None:
        """Note that appends of these runs are no longer on their way, stored or not."""
        since, later = self._since, self._next
        for run in runs:
            if later and run in later:
                next_round = later.pop(run)
                if run.steps:
                    since[run] = next_round
                    self.ready.append(run)
                    continue
            since.pop(run, None)

    def reply(self) -> None:
        """Give the replies whose time has come."""
        if self.replies:
            oldest = min(self._since.values(), default=self._round + 1)
            while self.replies and self.replies[0][0] < oldest:
                _, run, reply, refused = self.replies.popleft()
                acknowledge(run, reply, refused)
