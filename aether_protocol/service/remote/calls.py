"""One request to a server and its answer, and feeds that are resumed.

Law: what the server refuses is raised as the class that it was there; what is not an answer of an Aether server is said to be
none. A request is sent once; a feed, and what only waits, is asked for again as long as `patience_s` allows.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from aether_protocol.assembly.server_urls import bearer, check_server_url, why_unreachable
from aether_protocol.errors import PortError, UsageError
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.service.remote.sse import read_messages
from aether_protocol.service.wire.problems import read_problem

if TYPE_CHECKING:
    import ssl

PATIENCE_S: Final = 60.0  # a server that is started anew is back by then
ANSWER_S: Final = 30.0  # for what the server is not asked to wait
SILENCE_S: Final = 45.0  # a stream says something every 15 seconds
FIRST_PAUSE_S: Final = 0.2
LONGEST_PAUSE_S: Final = 3.0

ANOTHER: Final = "is there a server of another version, or another program?"
_AWAY: Final = frozenset({502, 503, 504})  # it may be back in a moment

_DOTS: Final = {".": "%2E", "..": "%2E%2E"}  # as they are they would be taken out, and another path be asked

Parameters = Sequence[tuple[str, Any]]
Piece = TypeVar("Piece")
Answer = TypeVar("Answer")
Other = TypeVar("Other")

_write: Final = msgspec.json.Encoder().encode


class ServerCalls:
    """See `RemoteClient`."""

    def __init__(
        self,
        url: str,
        *,
        token: str | None,
        verify: ssl.SSLContext | bool,
        patience_s: float,
        transport: Any,
        notify: Callable[[str], None] | None = None,
    ) -> None:
        self._httpx = _library()
        self._urls = [check_server_url(one.strip(), None if token is None else "the token") for one in url.split(",")]
        self.url = self._urls[0]  # where the next request goes
        self._outage = _Outage(patience_s, notify)
        headers = {"content-type": "application/json"}
        if token is not None:
            headers["authorization"] = bearer(token)
        limits = self._httpx.Limits(max_connections=None)  # a feed keeps its connection
        self._client = self._httpx.AsyncClient(
            base_url=self.url, headers=headers, verify=verify, timeout=ANSWER_S, limits=limits, transport=transport
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    # --- one answer ---

    async def get(self, path: str, shape: type[Answer], parameters: Parameters = (), wait_s: float = 0.0) -> Answer:
        """Read something; the server may take `wait_s` to answer."""
        return self._decode(path, await self._ask("GET", path, parameters, wait_s=wait_s), shape)

    async def send(
        self,
        method: str,
        path: str,
        body: Any,
        shape: type[Answer],
        wait_s: float = 0.0,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> tuple[int, Answer]:
        """Change something; the status, and the answer."""
        answer = await self._ask(method, path, body=_encode(body), headers=headers, wait_s=wait_s)
        return answer.status_code, self._decode(path, answer, shape)

    async def put(self, path: str, chunks: AsyncIterator[bytes], shape: type[Answer], parameters: Parameters = ()) -> Answer:
        """Send what is not JSON."""
        headers = {"content-type": "application/octet-stream"}
        return self._decode(path, await self._ask("PUT", path, parameters, body=chunks, headers=headers), shape)

    async def either(
        self, path: str, shape: type[Answer], other: type[Other], parameters: Parameters, wait_s: float
    ) -> Answer | Other:
        """Read something whose status says what it is: `shape` with 200, else `other`."""
        answer = await self._ask("GET", path, parameters, wait_s=wait_s)
        if answer.status_code == 200:
            return self._decode(path, answer, shape)
        return self._decode(path, answer, other)

    async def lines(self, path: str) -> AsyncGenerator[str, None]:
        """Read lines as they come. Raises PortError where they are cut."""
        rest = b""
        async for chunk in self.pieces(path):
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                yield f"{line.decode()}\n"

    async def pieces(self, path: str) -> AsyncGenerator[bytes, None]:
        """Read bytes as they come. Raises PortError where they are cut."""
        try:
            async with self._client.stream("GET", path, timeout=SILENCE_S) as answer:
                await self._check(path, answer)
                async for chunk in answer.aiter_bytes():
                    yield chunk
        except self._httpx.HTTPError as error:
            raise self._away(error) from error

    # --- feeds ---

    async def follow(
        self, path: str, parameters: Mapping[str, Any], read: Callable[[Any], Piece], shape: Any
    ) -> AsyncGenerator[Sequence[Piece], None]:
        """Give the batches of a feed to its end, whatever happens to the connection meanwhile.

        Args:
            path: of the route.
            parameters: of the first request; `after` changes, and `tail` counts as long as nothing has come.
            read: makes a piece of a body.
            shape: what bodies are read as.
        """
        asked = dict(parameters)
        patience = _Patience(self._outage)
        try:
            while True:
                try:
                    async with self._client.stream("GET", path, params=_given(asked.items()), timeout=SILENCE_S) as answer:
                        await self._check(path, answer)
                        self._check_stream(path, answer)
                        patience.renew()
                        async for message in read_messages(answer.aiter_bytes()):
                            if message.event == "end":
                                return
                            if message.event == "problem":
                                raise read_problem(0, msgspec.json.decode(message.data), self._whose(path))
                            if message.event:
                                continue  # of a newer server
                            asked["after"], asked["tail"] = message.id, None
                            yield [read(body) for body in msgspec.json.decode(message.data, type=shape)]
                except self._httpx.TransportError as error:
                    await patience.spend(self._away(error))
                except ServerAwayError as error:
                    await patience.spend(error)
                else:
                    await patience.spend(PortError(f"{self.url} ends its answers before they are complete"))
        finally:
            patience.end()

    async def persist(self, ask: Callable[[], Awaitable[Answer]], *, is_first: bool = False) -> Answer:
        """Ask for what may be asked for again, also of a server that is away for a while.

        Args:
            ask: sends the request.
            is_first: nothing was asked of this server before: where it is not there at all, the error is raised at once.
        """
        patience = _Patience(self._outage)
        while True:
            try:
                answer = await ask()
            except ServerAwayError as error:
                if error.unsent and is_first:
                    raise
                await patience.spend(error)
                is_first = False
            except BaseException:
                patience.end()
                raise
            else:
                patience.renew()
                return answer

    # --- inside ---

    async def _ask(
        self,
        method: str,
        path: str,
        parameters: Parameters = (),
        *,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
    ) -> Any:
        for _ in self._urls:
            try:
                answer = await self._client.request(
                    method, path, params=_given(parameters), content=body, headers=headers, timeout=ANSWER_S + wait_s
                )
            except self._httpx.HTTPError as error:
                away = self._away(error)
                if away.unsent:
                    continue  # nothing was asked yet: the next server may be
                raise away from error
            await self._check(path, answer)
            return answer
        raise away

    async def _check(self, path: str, answer: Any) -> None:
        """Raise what the server refuses."""
        status = answer.status_code
        if 200 <= status < 300:
            return
        try:
            document = msgspec.json.decode(await answer.aread())
        except msgspec.MsgspecError:
            document = None
        error = read_problem(status, document, self._whose(path))
        if status in _AWAY and isinstance(error, PortError):
            self._turn()
            raise ServerAwayError(error.message, hint=error.hint)
        raise error

    def _check_stream(self, path: str, answer: Any) -> None:
        """Raise PortError for what is not a feed."""
        kind = answer.headers.get("content-type", "nothing")
        if not kind.startswith("text/event-stream"):
            raise PortError(f"the answer of {self._whose(path)} does not fit: it is {kind}", hint=ANOTHER)

    def _decode(self, path: str, answer: Any, shape: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(answer.content, type=shape)
        except msgspec.MsgspecError as error:
            raise PortError(f"the answer of {self._whose(path)} does not fit: {error}", hint=ANOTHER) from None

    def _whose(self, path: str) -> str:
        return f"{self.url}{path}"

    def _away(self, error: Exception) -> ServerAwayError:
        reason, hint = why_unreachable(self.url, error)
        usual = "is it running? --server (or AETHER_SERVER) names another"
        away = ServerAwayError(f"the server {self.url} cannot be reached: {reason}", hint=hint or usual)
        away.unsent = isinstance(error, self._httpx.ConnectError | self._httpx.ConnectTimeout)
        self._turn()
        return away

    def _turn(self) -> None:
        """Ask the next server from now on: of one store, each answers for all runs."""
        self.url = self._urls[(self._urls.index(self.url) + 1) % len(self._urls)]
        self._client.base_url = self.url


class ServerAwayError(PortError):
    """There was no answer: the server is away, or something between. `unsent`: nothing was sent to it."""

    unsent = False


class _Outage:
    """What is reported while a server is away: once that it is, and once that it is back, however many wait for it."""

    def __init__(self, patience_s: float, notify: Callable[[str], None] | None) -> None:
        self.patience_s = patience_s
        self._notify = notify
        self._waiting: set[_Patience] = set()

    def begin(self, who: _Patience, error: PortError) -> None:
        """A request, or a feed, begins to wait."""
        if not self._waiting and self._notify is not None:
            self._notify(f"{error.message}; trying again for up to {self.patience_s:.0f} s")
        self._waiting.add(who)

    def end(self, who: _Patience, *, is_back: bool) -> None:
        """It has an answer, or waits no longer."""
        if who in self._waiting:
            self._waiting.discard(who)
            if is_back and not self._waiting and self._notify is not None:
                self._notify("the server is back")


class _Patience:
    """How long one request, or feed, puts up with a server that is away; pauses grow."""

    def __init__(self, outage: _Outage) -> None:
        self._outage = outage
        self._until: float | None = None
        self._pause_s = FIRST_PAUSE_S

    def renew(self) -> None:
        """It is there."""
        self._outage.end(self, is_back=True)
        self._until = None
        self._pause_s = FIRST_PAUSE_S

    def end(self) -> None:
        """Nothing is waited for any more."""
        self._outage.end(self, is_back=False)

    async def spend(self, error: PortError) -> None:
        """Pause before the next try. Raises PortError once there were enough."""
        now, seconds = time.monotonic(), self._outage.patience_s
        if self._until is None:
            self._until = now + seconds
        if now >= self._until:
            self.end()
            if seconds >= 1:
                raise ServerAwayError(f"{error.message}; given up after {seconds:.0f} s", hint=error.hint) from error
            raise error
        self._outage.begin(self, error)
        await asyncio.sleep(min(self._pause_s * random.uniform(0.8, 1.2), self._until - now))
        self._pause_s = min(self._pause_s * 1.5, LONGEST_PAUSE_S)


def path_of(*parts: str) -> str:
    """Write a path; each part may hold any text."""
    return "/".join(("/v1", *(_DOTS.get(part) or quote(_text(part), safe="") for part in parts)))


def _text(given: str) -> str:
    """Raise UsageError for text that no request can carry: an argument of a command line may hold such."""
    if not is_whole(given):
        raise UsageError(f"{given!r} has half of a surrogate pair (a byte that was no UTF-8, or one half of an emoji)")
    return given


def _encode(body: Any) -> bytes:
    try:
        return _write(body)
    except UnicodeEncodeError as error:
        raise UsageError(f"{error.object[:200]!r} has half of a surrogate pair, which no request can carry") from None


def _given(parameters: Any) -> list[tuple[str, str]]:
    """Leave out what is None, and write flags as JSON does."""
    told = [(name, value) for name, value in parameters if value is not None]
    return [(name, str(value).lower() if isinstance(value, bool) else _text(str(value))) for name, value in told]


def _library() -> Any:
    try:
        import httpx2
    except ImportError:
        hint = "pip install 'aether-protocol[server]'"
        raise UsageError("a client of a server needs httpx2, which is not installed", hint=hint) from None
    return httpx2
