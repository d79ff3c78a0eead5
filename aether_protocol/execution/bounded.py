"""Calls to the outside that must not hold up the loop: bounded in time, and free where they need not wait.

Law: a call that answers at once costs neither a task nor a timer; one that waits is cancelled after its limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Generator
from typing import Any, Generic, TypeVar

from aether_protocol.errors import PortError

T = TypeVar("T")


async def bounded(call: Coroutine[Any, Any, T], limit_s: float, what: str) -> T:
    """Await `call`, for `limit_s` seconds at most. Raises PortError after that, and what the call raises."""
    try:
        waits_for = call.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    try:
        async with asyncio.timeout(limit_s) as limit:
            return await _Rest(call, waits_for)
    except TimeoutError:
        if not limit.expired():
            raise
        raise PortError(f"{what} did not answer within {limit_s:g} s") from None


class _Rest(Generic[T]):
    """The rest of a coroutine that has begun, and waits for `waits_for`."""

    def __init__(self, call: Coroutine[Any, Any, T], waits_for: Any) -> None:
        self._call = call
        self._waits_for = waits_for

    def __await__(self) -> Generator[Any, Any, T]:
        waits_for = self._waits_for
        while True:
            given, raised = None, None
            try:
                given = yield waits_for
            except BaseException as error:  # a cancellation, as a rule
                raised = error
            try:
                waits_for = self._call.send(given) if raised is None else self._call.throw(raised)
            except StopIteration as done:
                result: T = done.value
                return result
