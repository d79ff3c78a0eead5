"""A client for code without an event loop: every method waits for its answer, every feed is an iterator.

Theory of operation. A thread of its own runs an event loop with a client of `local.connect` in it; a call is scheduled there,
and its answer is waited for. So a blocking client can be used from any thread, also where another event loop runs.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from aether_protocol.errors import UsageError
from aether_protocol.service.local import connect

if TYPE_CHECKING:
    from aether_protocol.service.local import LocalClient
    from aether_protocol.service.remote import RemoteClient

    AnyClient = LocalClient | RemoteClient

_PARTS = ("runs", "inspect", "plans", "extracts", "control", "schedules", "documents", "store")
_Answer = TypeVar("_Answer")


class BlockingPart:
    """A part of a client, as `service.client` describes it: the same methods, which return what those give."""

    def __init__(self, part: object, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._part = part
        self._wait = wait

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._part, name)

        def call(*arguments: Any, **named: Any) -> Any:
            given = method(*arguments, **named)
            return self._wait(given) if inspect.iscoroutine(given) else self._iterate(given)

        return call

    def _iterate(self, feed: AsyncIterator[_Answer]) -> Iterator[_Answer]:
        try:
            while True:
                yield self._wait(anext(feed))  # type: ignore[arg-type]
        except StopAsyncIteration:
            return
        finally:
            self._wait(feed.aclose())  # type: ignore[attr-defined]


class BlockingClient:
    """All parts of a client (`runs`, `inspect`, `plans`, `extracts`, `control`, `schedules`, `documents`, `store`); a
    context manager."""

    runs: BlockingPart
    inspect: BlockingPart
    plans: BlockingPart
    extracts: BlockingPart
    control: BlockingPart
    schedules: BlockingPart
    documents: BlockingPart
    store: BlockingPart

    def __init__(self, make: Callable[[], AnyClient]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = Thread(target=self._loop.run_forever, name="aether-client", daemon=True)
        self._thread.start()
        self._open = True
        try:
            self._client = self._wait(_made(make))
        except BaseException:
            self._stop()
            raise
        for name in _PARTS:
            setattr(self, name, BlockingPart(getattr(self._client, name), self._wait))

    def _wait(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        if not self._open:
            work.close()
            raise UsageError("the client is closed")
        return asyncio.run_coroutine_threadsafe(_awaited(work), self._loop).result()

    def close(self) -> None:
        """Close the way to the store. Runs stay as they are."""
        if self._open:
            self._wait(self._client.close())
            self._stop()

    def _stop(self) -> None:
        self._open = False
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect_blocking(store: str | None = None, **options: Any) -> BlockingClient:
    """Make a client for code without an event loop.

    Args:
        store: the URL of a store or a server; by default as `connect` finds it.
        options: as those of `connect`.

    Raises:
        UsageError: the URL is wrong.
        PortError: the store cannot be used.
    """
    return BlockingClient(lambda: connect(store, **options))


async def _made(make: Callable[[], AnyClient]) -> AnyClient:
    return make()


async def _awaited(work: Coroutine[Any, Any, _Answer]) -> _Answer:
    return await work
