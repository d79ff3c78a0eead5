"""Threads for foreign code, for whichever adapter needs one.

Law: a caller never has to wait for such a thread. The threads are daemons, so code that never returns keeps neither the event
loop nor the interpreter from ending; a caller that is cancelled continues at once, and what its thread still says is dropped.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aether_protocol.errors import why

T = TypeVar("T")

LIMIT: Final = 64
KEEP_S: Final = 10.0  # how long a thread without work is kept


class Threads:
    """At most `limit` threads that are made as they are needed; calls beyond that wait in their order."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._calls: deque[_Call] = deque()
        self._changed = threading.Condition()
        self._idle = 0
        self._count = 0

    async def call(self, function: Callable[[], T]) -> T:
        """What `function` gives, or raises, in a thread. One that is cancelled before its turn is not called at all."""
        loop = asyncio.get_running_loop()
        call = _Call(function, loop.create_future())
        with self._changed:
            self._calls.append(call)
            if self._idle >= len(self._calls):
                self._changed.notify()
            elif self._count < self._limit:
                self._count += 1
                threading.Thread(target=self._work, name="aether-thread", daemon=True).start()
        given: T = await call.future
        return given

    def _work(self) -> None:
        while True:
            with self._changed:
                self._idle += 1
                has_work = self._changed.wait_for(lambda: self._calls, KEEP_S)
                self._idle -= 1
                if not has_work:
                    self._count -= 1
                    return
                call = self._calls.popleft()
            call.run()
            del call  # an idle thread holds nothing alive


class _Call:
    """A call on its way to a thread and back."""

    __slots__ = ("_context", "_function", "future")

    def __init__(self, function: Callable[[], Any], future: asyncio.Future[Any]) -> None:
        self._function = function
        self._context = contextvars.copy_context()
        self.future = future

    def run(self) -> None:
        if self.future.cancelled():
            return
        try:
            value, error = self._context.run(self._function), None
        except BaseException as raised:  # no exception of a thread may end the loop
            value, error = None, raised
        with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who waits
            self.future.get_loop().call_soon_threadsafe(self._end, value, error)

    def _end(self, value: Any, error: BaseException | None) -> None:
        if self.future.done():
            return
        if error is None:
            self.future.set_result(value)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            self.future.set_exception(error)
        else:
            self.future.set_exception(LostError(error))


class LostError(Exception):
    """Stands for an exception that would end the event loop (SystemExit, KeyboardInterrupt) or that a future cannot carry."""

    def __init__(self, error: BaseException) -> None:
        text, name = why(error), type(error).__name__
        super().__init__(text if text == name else f"{name}: {text}")
        self.__cause__ = error


_shared = Threads()


async def in_thread(function: Callable[[], T]) -> T:
    """Call `function` in one of the threads that everybody shares."""
    return await _shared.call(function)
