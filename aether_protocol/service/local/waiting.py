"""Wait for something on a clock, for a limited time. Apart from its caller, so that a list of runs imports no event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from aether_protocol.ports.clock import Clock


async def within(clock: Clock, seconds: float | None, waiting: Coroutine[Any, Any, None]) -> bool:
    """Await `waiting`, for so many seconds of `clock` at most; False where that was not enough, and it was given up."""
    if seconds is None:
        await waiting
        return True
    joining, sleeping = asyncio.ensure_future(waiting), asyncio.ensure_future(clock.sleep(seconds))
    try:
        await asyncio.wait({joining, sleeping}, return_when=asyncio.FIRST_COMPLETED)
        if joining.done():
            joining.result()
        return joining.done()
    finally:
        for one in (joining, sleeping):
            one.cancel()
        await asyncio.gather(joining, sleeping, return_exceptions=True)
