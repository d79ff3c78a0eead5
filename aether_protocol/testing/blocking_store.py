"""A store over a network as virtual time needs it: its answers are there when they are asked for.

Law: on a virtual clock nothing waits for the machine, else a test would take a store that is slow for an engine at rest. Every
call is carried out on a loop of its own, in a thread, and the caller stands still until it is done.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast

from aether_protocol.ports.store import Store
from aether_protocol.testing.gate import GatedStore

_LIMIT_S: Final = 60.0  # of one call


class BlockingLoop:
    """A loop in a thread. It is the `Gate` of the stores that `wrap` gives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def wrap(self, store: Store) -> Store:
        """Give the store whose calls are carried out here."""
        return GatedStore(store, self)

    def carry_out(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Carry work out here, while the caller waits."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(_LIMIT_S)

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        """Carry a call out here. Virtual time passes elsewhere: who waits for a change only looks."""
        if name == "changes.wait":
            return False
        return self.carry_out(cast("Coroutine[Any, Any, Any]", call()))

    def close(self) -> None:
        """End the loop with its thread."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
