"""Acknowledges results whose run this engine does not have, where no engine will ever want them.

Law: such a result is acknowledged once its run has ended or is unknown; otherwise it is left for the engine that has the run.
"""

from __future__ import annotations

import asyncio
import contextlib

from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.broker import Stored
from aether_protocol.ports.store import Store


class LateResults:
    """Looks up the runs of late results in the store, beside the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, run_id: str, stored: Stored) -> None:
        """Acknowledge a result by `stored`, at once or when the store has answered, or leave it."""
        if not self._store.durable:
            stored()
            return
        task = asyncio.get_running_loop().create_task(self._look_up(run_id, stored), name="aether-late-result")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def close(self) -> None:
        """Leave what the store has not answered yet."""
        for task in self._asking:
            task.cancel()

    async def _look_up(self, run_id: str, stored: Stored) -> None:
        with contextlib.suppress(PortError, BusyError):
            row = await self._store.runs.row(run_id)
            if row is None or row.closed:
                stored()
