"""A call in a process of this machine, linked to its broker by a socket: what it says goes there at once, orders come back.

Law: the socket lies in a folder that its user alone may enter, and each call names the token of its order. Where the link ends
before the call does, its broker is gone, and the attempt stops: no other engine could hear of it. Where there is no link
(the process is on another machine), the call carries its attempt out all the same: what it says comes with its end, and nothing
can stop it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from aether_protocol.errors import PortError
from aether_protocol.worker import pipes
from aether_protocol.worker.hosted.host import Ending, News, Order, Stop, host

FLUSH_S: Final = 2.0  # how long an end waits until its broker has read what was said before it
MOST_KEPT: Final = 2**20  # characters of logs that come with the end, the newest


class _Link:
    """See `worker.hosted.host.Way`. `kept` is what could not be said, for there is no way to the broker."""

    def __init__(self, path: str, token: str) -> None:
        self._path = path
        self._token = token
        self._writer: asyncio.StreamWriter | None = None
        self._reading: asyncio.Task[None] | None = None
        self.kept: deque[News] = deque()
        self._size = 0

    async def open(self, stop: Stop) -> None:
        try:
            reader, self._writer = await asyncio.open_unix_connection(self._path)
        except OSError:
            return
        self._writer.write(pipes.frame({"token": self._token}))
        self._reading = asyncio.create_task(self._read(reader, stop), name="aether-link")

    @staticmethod
    async def _read(reader: asyncio.StreamReader, stop: Stop) -> None:
        while await pipes.read(reader) is not None:  # the one order that there is
            stop()
        stop()  # the broker is gone, or has heard all that there was to say

    def hear(self, news: News) -> None:
        if self._writer is not None:
            self._writer.write(pipes.frame(news))
            return
        self.kept.append(news)
        self._size += len(news.get("text", ""))
        while self._size > MOST_KEPT:
            self._size -= len(self.kept.popleft().get("text", ""))

    async def close(self) -> None:
        if self._writer is None or self._reading is None:
            return
        with contextlib.suppress(OSError, TimeoutError):
            self._writer.write_eof()
            async with asyncio.timeout(FLUSH_S):
                await asyncio.shield(self._reading)
        self._reading.cancel()
        self._writer.close()


def carry_out(body: bytes, path: str) -> bytes:
    """Carry out an order of a broker, in a thread or a process of its executor.

    Args:
        body: the order, as JSON.
        path: where the broker listens on this machine.

    Returns:
        The ending as JSON; `kept` in it is what could not be said before.
    """
    order = msgspec.json.decode(body, type=Order)
    link = _Link(path, order.token)
    try:
        return _ended(host().carry_out(order, link), link.kept)
    except PortError as error:
        return _ended(Ending(end="returned", reason=error.message), ())


def _ended(ending: Ending, kept: Iterable[News]) -> bytes:
    body: dict[str, Any] = {**msgspec.to_builtins(ending), "kept": list(kept)}
    return msgspec.json.encode(body)
