"""Acknowledges results whose run this engine does not have, where no engine will ever want them.

Law: such a result is acknowledged once its run has ended or is unknown; otherwise it is left for the engine that has the run.
What comes of a run while that is looked up gets the same answer.
"""

from __future__ import annotations

import asyncio
import logging

from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.broker import Stored
from aether_protocol.ports.store import Store

_log = logging.getLogger("aether_protocol")


class LateResults:
    """Looks up the runs of late results in the store, beside the loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting: dict[str, list[Stored]] = {}  # by run, while it is looked up
        self._asking: set[asyncio.Task[None]] = set()

    def take(self, run_id: str, stored: Stored) -> None:
        """Acknowledge a result by `stored`, at once or when the store has answered, or leave it."""
        if not self._store.durable:
            stored()
            return
        waiting = self._waiting.get(run_id)
        if waiting is not None:
            waiting.append(stored)
            return
        self._waiting[run_id] = [stored]
        task = asyncio.get_running_loop().create_task(self._look_up(run_id), name="aether-late-result")
        self._asking.add(task)
        task.add_done_callback(self._asking.discard)

    def close(self) -> None:
        """Leave what the store has not answered yet."""
        for task in self._asking:
            task.cancel()

    async def _look_up(self, run_id: str) -> None:
        is_over = False
        try:
            row = await self._store.runs.row(run_id)
            is_over = row is None or row.closed
        except (PortError, BusyError):
            pass
        except Exception:
            _log.exception("run %s of a late result could not be looked up", run_id)
        finally:
            waiting = self._waiting.pop(run_id)
        if is_over:
            for stored in waiting:
                stored()
