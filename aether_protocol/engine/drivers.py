"""The drivers of one loop: which of them is in a turn, which waits for the store, which waits for work.

Law: one driver at a time decides; the others wait for the store, or for work. A driver is woken where there is work and none
would see to it, so a loop whose store takes one append at a time is one driver that never waits for another. What must not
meet a write of this engine is done `alone`: no driver is in a turn then, and none begins one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

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
