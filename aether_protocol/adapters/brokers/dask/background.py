"""Work that is begun on the event loop and waited for by no caller; it ends with its broker.

Law: such work may end where the scheduler is away: what it did not do is done when the scheduler is back.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any

from aether_protocol.adapters.brokers.dask.cluster import AwayError

__all__ = ["DaskWork"]


class DaskWork:
    """The work of one broker."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin something, now."""
        task = asyncio.get_running_loop().create_task(_quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all of it."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def _quietly(work: Coroutine[Any, Any, None]) -> None:
    with contextlib.suppress(AwayError):
        await work
