"""Server-sent events: how feeds are written, resumed and ended.

Law: a message has whole pieces and the number of its last one as `id`; so a reader who comes again with it (`Last-Event-ID`, or
`?after=`) misses nothing and gets nothing twice. A stream that is complete says so (`event: end`), one that cannot go on says
why (`event: problem`); one that just ends was cut, and is to be resumed. A comment keeps a silent stream alive. What a stream
holds is released as soon as its reader has gone, or the server stops.

What comes after a silence is written at once. What comes within PAUSE_S after that goes together, for most of what a message
costs is to write it; and what several readers get is made once (`engine.stream`, `feeds.SharedChanges`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec
from litestar import Litestar, Request
from litestar.datastructures import Cookie
from litestar.response import Stream
from litestar.response.streaming import ASGIStreamingResponse
from litestar.types import Receive, Send

from aether_protocol.errors import AetherError, UsageError
from aether_protocol.server.answers import EVENT_STREAM
from aether_protocol.server.problems import describe

HEARTBEAT_S: Final = 15.0  # of silence: proxies cut what says nothing for a minute
MOST_TO_A_MESSAGE: Final = 500  # pieces
PAUSE_S: Final = 0.02  # between two writes to a reader
MOST_TOGETHER: Final = 64 * 1024  # bytes, which are written without a pause

_log = logging.getLogger("aether_protocol")

_HEADERS: Final = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
_END: Final = b"event: end\ndata: {}\n\n"

Piece = TypeVar("Piece")
_encode: Final = msgspec.json.Encoder().encode


class OpenStreams:
    """The streams of a server that are open. They would hold up its end, since they have none of their own."""

    def __init__(self) -> None:
        self._pumps: set[asyncio.Future[None]] = set()

    def add(self, pump: asyncio.Future[None]) -> None:
        """Note a stream."""
        self._pumps.add(pump)
        pump.add_done_callback(self._pumps.discard)

    def __len__(self) -> int:
        return len(self._pumps)

    def end(self) -> None:
        """End all of them; their readers resume them elsewhere, or once the server is back."""
        for pump in self._pumps:
            pump.cancel()


def resume_point(request: Request[Any, Any, Any], after: int | None) -> int | None:
    """Say after which piece a stream begins: `Last-Event-ID`, else what the URL says. Raises UsageError."""
    last = request.headers.get("last-event-id")
    if not last:
        return after
    if not (last.isascii() and last.isdigit() and len(last) < 19):
        raise UsageError(f"Last-Event-ID {last!r} is not the number of a message", hint="give the `id` of the last one")
    return int(last)


def message(number: int, data: bytes) -> bytes:
    """Write a message: the number of its last piece, and the JSON of all."""
    return b"id: %d\ndata: %b\n\n" % (number, data)


def written(batch: Sequence[Piece], number: Callable[[Piece], int], write: Callable[[Piece], Any]) -> Iterator[bytes]:
    """Write a batch as messages.

    Args:
        batch: not empty.
        number: gives the number of a piece.
        write: makes JSON of a piece.
    """
    for start in range(0, len(batch), MOST_TO_A_MESSAGE):
        part = batch[start : start + MOST_TO_A_MESSAGE]
        yield message(number(part[-1]), _encode([write(piece) for piece in part]))


async def messages(
    batches: AsyncIterator[Piece], write: Callable[[Piece], Iterable[bytes]]
) -> AsyncGenerator[bytes, None]:
    """Give the messages of a feed, and how it ended.

    Args:
        batches: what it gives; it is closed at the end.
        write: makes messages of a batch.
    """
    try:
        async for batch in batches:
            for one in write(batch):
                yield one
        yield _END
    except AetherError as error:
        yield b"event: problem\ndata: %b\n\n" % _encode(describe(error)[1])
    except Exception as error:
        _log.error("internal error in a stream of events", exc_info=error)
        yield b"event: problem\ndata: %b\n\n" % _encode(describe(error)[1])
    finally:
        await batches.aclose()  # type: ignore[attr-defined]


class EventStreamResponse(Stream):
    """An answer of server-sent events."""

    def __init__(self, content: AsyncGenerator[bytes, None], streams: OpenStreams) -> None:
        super().__init__(content, media_type=EVENT_STREAM, headers=dict(_HEADERS))
        self._content = content
        self._streams = streams

    def to_asgi_response(
        self,
        app: Any,
        request: Request[Any, Any, Any],
        *,
        cookies: Iterable[Cookie] | None = None,
        headers: dict[str, str] | None = None,
        is_head_response: bool = False,
        **_: Any,
    ) -> EventStreamBody:
        """Make the response."""
        body = EventStreamBody(
            iterator=self._content,
            cookies=cookies,
            headers={**(headers or {}), **self.headers},
            media_type=self.media_type,
            is_head_response=is_head_response,
            status_code=200,
        )
        body.streams = self._streams
        return body


class EventStreamBody(ASGIStreamingResponse):
    """A response whose body is written by a task of its own, with comments while that is silent."""

    __slots__ = ("streams",)

    streams: OpenStreams

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Write until the messages end, the reader has gone, or the server stops."""
        writer = _Writer(send)
        messages: Any = self.iterator
        pump, pace, left = (asyncio.ensure_future(one) for one in (writer.pour(messages), writer.pace(), _left(receive)))
        self.streams.add(pump)
        try:
            await asyncio.wait({pump, left}, return_when=asyncio.FIRST_COMPLETED)
            has_left = left.done()
        finally:
            for task in (pump, pace, left):
                task.cancel()
            await asyncio.gather(pump, pace, left, return_exceptions=True)
            await messages.aclose()
        if not has_left:
            await writer.finish()


class _Writer:
    """Writes messages, and comments between them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._gathered = [b": aether\n\n"]  # so that the reader, and what lies between, sees that it is connected
        self._size = 0
        self._filled = asyncio.Event()
        self._filled.set()
        self._writing = asyncio.Lock()

    async def pour(self, chunks: AsyncIterator[bytes]) -> None:
        """Gather what there is to be written, and write it where it is much."""
        async for chunk in chunks:
            self._gathered.append(chunk)
            self._size += len(chunk)
            self._filled.set()
            if self._size >= MOST_TOGETHER:
                await self._write()
        await self._write()

    async def pace(self) -> None:
        """Write what is gathered, with a pause after it; a comment after each silence."""
        while True:
            try:
                async with asyncio.timeout(HEARTBEAT_S):
                    await self._filled.wait()
            except TimeoutError:
                self._gathered.append(b":\n\n")
            await self._write()
            await asyncio.sleep(PAUSE_S)

    async def finish(self) -> None:
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write(self) -> None:
        async with self._writing:
            chunk, self._gathered, self._size = b"".join(self._gathered), [], 0
            self._filled.clear()
            if chunk:
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})


async def _left(receive: Receive) -> None:
    """Return once the reader has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def end_streams(app: Litestar) -> None:
    """End the streams of a server that stops: a server that closes waits for its requests, and these have no end."""
    streams: OpenStreams = app.state.streams
    streams.end()
