"""An event loop that never waits: where it would, it reports that all is quiet.

Law: nothing in a simulation waits for the machine, so the moment at which the loop would block is the moment at which virtual
time may move, whatever runs on the loop.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

_T = TypeVar("_T")


class _Selector(selectors.SelectSelector):
    """Stands for the loop's own; its `select` says whether anything is ready to run."""

    def __init__(self) -> None:
        super().__init__()
        self.quiet: asyncio.Future[None] | None = None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout <= 0:
            return []
        if self.quiet is not None and not self.quiet.done():
            self.quiet.set_result(None)
            return []
        return super().select(timeout)



class QuietLoop:
    """`run` a coroutine; inside, `await quiet()` returns once nothing else can run."""

    def __init__(self) -> None:
        self._selector = _Selector()

    def run(self, main: Coroutine[Any, Any, _T]) -> _T:
        with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(self._selector)) as runner:
            return runner.run(main)

    def report_to(self, report: Callable[[BaseException], None]) -> None:
        """Let errors in callbacks, and in tasks for which nothing waits, be reported. Call it while the loop runs."""

        def failed(_: asyncio.AbstractEventLoop, told: dict[str, Any]) -> None:
            if "exception" in told:
                report(told["exception"])

        asyncio.get_running_loop().set_exception_handler(failed)

    async def quiet(self) -> None:
        self._selector.quiet = asyncio.get_running_loop().create_future()
        await self._selector.quiet
