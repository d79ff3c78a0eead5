"""Delete artifacts that no run names any more, as a server does by itself: soon after runs were deleted, and now and then.

Law: no caller waits for it, and nothing of it is reported to one, since what is freed may be of any namespace. What was
kept within the grace (an hour) stays, so that a deletion may free some of it only by a later look.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Final

from aether_protocol.engine.artifacts import GRACE_US, collect
from aether_protocol.errors import AetherError
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store

LOOK_S: Final = 3600.0  # between two looks without a deletion: what is younger than the grace, and what broke off
LAST_S: Final = GRACE_US / 1_000_000 + 60.0  # after the last deletion: what was within the grace
PAUSE_S: Final = 30.0  # after a look: many deletions are dealt with together


class ArtifactUpkeep:
    """Frees artifacts.

    Args:
        store: whose runs name them.
        repository: keeps them.
        clock: says when.
        failed: called with what was tried, and the error, where they cannot be freed now.
    """

    def __init__(
        self, store: Store, repository: ArtifactRepository, clock: Clock, failed: Callable[[str, AetherError], None]
    ) -> None:
        self._store = store
        self._repository = repository
        self._clock = clock
        self._failed = failed
        self._asked = asyncio.Event()
        self._own: asyncio.Task[None] | None = None

    def runs_deleted(self) -> None:
        """Note that runs were deleted: what they alone named may go."""
        self._asked.set()

    def begin(self) -> None:
        """Note that runs were deleted, where nothing calls `serve`: a task of this loop frees what they named, and ends once
        what was kept within the grace is freed too."""
        self._asked.set()
        if self._own is None or self._own.done():
            self._own = asyncio.get_running_loop().create_task(self._serve_a_while(), name="aether-artifacts")

    async def _serve_a_while(self) -> None:
        while True:
            again = self._asked.is_set()
            self._asked.clear()
            await self._free()
            if not again:
                return
            await asyncio.sleep(PAUSE_S)
            await _first_of(self._asked, timeout_s=LAST_S)

    async def _free(self) -> None:
        try:
            await collect(self._store, self._repository, self._clock.wall())
        except AetherError as error:
            self._failed("artifacts that no run names", error)

    async def serve(self, stopping: asyncio.Event) -> None:
        """Free what no run names, until `stopping` is set."""
        while not stopping.is_set():
            await _first_of(stopping, self._asked, timeout_s=LOOK_S)
            if stopping.is_set():
                return
            self._asked.clear()
            await self._free()
            await _first_of(stopping, timeout_s=PAUSE_S)


async def _first_of(*events: asyncio.Event, timeout_s: float) -> None:
    """Wait until one of the events is set, or for so long."""
    waiting = [asyncio.ensure_future(one.wait()) for one in events]
    try:
        await asyncio.wait(waiting, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one in waiting:
            one.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*waiting, return_exceptions=True)
