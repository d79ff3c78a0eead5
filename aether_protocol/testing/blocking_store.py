"""A store over a network as virtual time needs it: its answers are there when they are asked for.

Law: on a virtual clock nothing waits for the machine, else a test would take a store that is slow for an engine at rest. Every
call is carried out on a loop of its own, and that of the caller stands still until it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, cast

from aether_protocol.ports.store import Store
from aether_protocol.testing.gate import GatedStore

_LIMIT_S: Final = 60.0  # of one call


class BlockingLoop:
    """A loop that moves only while something is carried out on it. It is the `Gate` of the stores that `wrap` gives."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def wrap(self, store: Store) -> Store:
        """Give the store whose calls are carried out here."""
        return GatedStore(store, self)

    def carry_out(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Carry work out here, while the caller waits, and its loop with it. In one thread: to hand a call over to another and
        back takes longer than the call where a machine is busy."""
        outer = asyncio._get_running_loop()
        asyncio._set_running_loop(None)
        try:
            return self._loop.run_until_complete(asyncio.wait_for(work, _LIMIT_S))
        finally:
            asyncio._set_running_loop(outer)

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        """Carry a call out here. Virtual time passes elsewhere: who waits for a change only looks."""
        if name == "changes.wait":
            return False
        return self.carry_out(cast("Coroutine[Any, Any, Any]", call()))

    def close(self) -> None:
        """End the loop with what is left on it."""

        async def end() -> None:
            left = asyncio.all_tasks() - {asyncio.current_task()}
            for task in left:
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)
            await asyncio.sleep(0)  # connections that were dropped are closed by then

        self._loop.run_until_complete(end())
        self._loop.close()
