"""How much one caller may ask: requests in a time, the size of headers, and how long it may take to bring a request.

Law: no connection waits for headers, and no request for a body, for longer than it is bounded here; what is remembered of
callers is bounded too.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

from aether_protocol.server.problems import ApiError

if TYPE_CHECKING:
    from litestar.types import Receive

MOST_HEADER_BYTES: Final = 32 * 1024
MOST_STREAMS: Final = 1_000  # that one caller follows at once
HEADERS_S: Final = 20.0  # from the first byte of a request, or the beginning of a connection, to the end of its headers
IDLE_S: Final = 30.0  # between two pieces of a body
BODY_S: Final = 60.0  # for a body as a whole; of bytes (artifacts) only the pieces are bounded
_MOST_KEYS: Final = 10_000


class RateBounds(Struct, frozen=True):
    """Requests a second, and how many at once after a silence.

    Args:
        each_second, burst: of a caller with a token. Workers are not bounded: they talk in batches.
        unknown_each_second, unknown_burst: of an address, without a token that counts.
    """

    each_second: float = 100.0
    burst: float = 300.0
    unknown_each_second: float = 5.0
    unknown_burst: float = 50.0


class RateLimiter:
    """Counts requests by caller: a bucket that fills by time, and is emptied by requests.

    Args:
        bounds: how fast, and how much.
        now: gives the time in seconds.
    """

    def __init__(self, bounds: RateBounds | None = None, now: Callable[[], float] = monotonic) -> None:
        self._bounds = bounds or RateBounds()
        self._now = now
        self._buckets: dict[str, tuple[float, float]] = {}  # what was left, and when

    def take(self, key: str, *, is_known: bool) -> int | None:
        """Count a request; None: it may pass, else after how many seconds the next one may."""
        bounds = self._bounds
        rate, burst = (
            (bounds.each_second, bounds.burst) if is_known else (bounds.unknown_each_second, bounds.unknown_burst)
        )
        now = self._now()
        left, at = self._buckets.pop(key, (burst, now))
        left = min(burst, left + (now - at) * rate)
        passes = left >= 1
        self._buckets[key] = (left - 1 if passes else left, now)
        if len(self._buckets) > _MOST_KEYS:
            del self._buckets[next(iter(self._buckets))]  # that of the caller that was silent for longest
        return None if passes else ceil((1 - left) / rate)


def http_protocol() -> type[Any]:
    """Return the HTTP protocol of uvicorn, but for connections that are opened, or kept open, and bring no whole headers within
    HEADERS_S: these are closed. Each holds a descriptor, of which there are few."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    base: Any = AutoHTTPProtocol

    class BoundedHttpProtocol(base):  # type: ignore[misc]
        _due: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self._watch()

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            self._watch()

        def connection_lost(self, error: Exception | None) -> None:
            if self._due is not None:
                self._due.cancel()
            super().connection_lost(error)

        def _awaits_headers(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _watch(self) -> None:
            if self._due is None and self._awaits_headers():
                self._due = self.loop.call_later(HEADERS_S, self._give_up)
            elif self._due is not None and not self._awaits_headers():
                self._due.cancel()
                self._due = None

        def _give_up(self) -> None:
            self._due = None
            if self._awaits_headers() and not self.transport.is_closing():
                self.transport.close()

    return BoundedHttpProtocol


class StreamCounter:
    """Counts the streams that each caller follows: each holds a connection for as long as its reader likes.

    Args:
        most: how many a caller may follow at once.
    """

    def __init__(self, most: int = MOST_STREAMS) -> None:
        self.most = most
        self._open: dict[str, int] = {}

    @contextmanager
    def counted(self, reader: str, *, counts: bool) -> Iterator[bool]:
        """Count a request for as long as the block runs, where it `counts`; gives whether the reader may have it."""
        is_one_more = counts and self._open.get(reader, 0) < self.most
        if is_one_more:
            self._open[reader] = self._open.get(reader, 0) + 1
        try:
            yield is_one_more or not counts
        finally:
            if is_one_more:
                self._open[reader] -= 1
                if not self._open[reader]:
                    del self._open[reader]


def network_of(address: str) -> str:
    """Return whose address this is: one of IPv6 is of a network of 64 bits, in which its owner may take any."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv4Address) or found.ipv4_mapped is not None:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))


def bounded(receive: Receive, *, is_bytes: bool, idle_s: float = IDLE_S, body_s: float = BODY_S) -> Receive:
    """Return `receive`, which raises ApiError (408) where a body does not come in time.

    Args:
        receive: gives the messages of a request.
        is_bytes: the body is a file: it may take as long as it keeps coming.
        idle_s: how long a piece may take.
        body_s: how long all of it may take.
    """
    end = monotonic() + body_s
    is_whole = False

    async def receive_in_time() -> Any:
        nonlocal is_whole
        if is_whole:  # what comes now is the end of the connection
            return await receive()
        left = idle_s if is_bytes else min(idle_s, end - monotonic())
        try:
            message = await asyncio.wait_for(receive(), max(0.0, left))
        except TimeoutError:
            is_whole = True
            raise ApiError(408, "body-late", "the body of the request did not come in time", hint="send it again") from None
        is_whole = message["type"] != "http.request" or not message.get("more_body", False)
        return message

    return receive_in_time
