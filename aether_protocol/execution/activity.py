"""How much is going on in this process that needs no time to pass: what virtual time waits for."""

from __future__ import annotations

import asyncio


class Activity:
    """Counts the attempts that are `busy`: running, and not asleep on the clock."""

    __slots__ = ("_waiters", "busy")

    def __init__(self) -> None:
        self.busy = 0
        self._waiters: list[asyncio.Future[None]] = []

    def begin(self) -> None:
        """Count one more: it starts, or wakes."""
        self.busy += 1

    def end(self) -> None:
        """Count one less: it has ended, or sleeps on the clock."""
        self.busy -= 1
        if not self.busy and self._waiters:
            for future in self._waiters:
                if not future.done():
                    future.set_result(None)
            self._waiters.clear()

    async def quiet(self) -> None:
        """Return when none is busy."""
        while self.busy:
            future = asyncio.get_running_loop().create_future()
            self._waiters.append(future)
            await future
