"""The way from one server to another: the worker protocol over HTTP, with a hello of its own and the token of this server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Final, TypeVar
from urllib.parse import quote, urlsplit

import httpx2 as httpx
import msgspec

from aether_protocol.adapters.brokers.elsewhere import RelayedAnswer
from aether_protocol.adapters.brokers.spilling import OfferBell, TakeRequest
from aether_protocol.assembly.server_urls import check_server_url, is_loopback, why_unreachable
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.worker import Hello, Orders, Welcome
from aether_protocol.server.relay.peer_questions import LOOK, PeerQuestion
from aether_protocol.service.process_identity import is_elsewhere
from aether_protocol.worker.http import HttpTransport
from aether_protocol.worker.transport import TransportError

HELLO: Final = "/v1/peers/workers"
BELL: Final = "/v1/peers/offers"
BELL_S: Final = 2.0
_Answer = TypeVar("_Answer")
_QUIET_S: Final = 30.0  # without a byte of an artifact
_BLOCK: Final = 2**20
_PASSED: Final = frozenset(  # headers of answers
    {"content-type", "content-length", "content-range", "accept-ranges", "etag", "artifact-size", "upload-offset"}
)


def peer_url(peer: ServerRow) -> str:
    """The address of another server of this store, which tokens may be sent to.

    Raises:
        UsageError: they would go over a network in clear, or to a stranger: a server on another machine that gives an address
            on the loopback means its own.
    """
    url = check_server_url(peer.address, "tokens and secrets")
    if is_elsewhere(peer.owner) and is_loopback(urlsplit(url).hostname or ""):
        hint = "it says with --advertise URL where the others reach it"
        raise UsageError(f"{url} is the loopback of another machine, on which {peer.name} runs", hint=hint)
    return url


class PeerTransport(HttpTransport):
    """See `server.relay.link.LinkTransport`.

    Args:
        peer: the other server.
        token: that of this one.

    Raises:
        UsageError: as `peer_url`.
    """

    def __init__(self, peer: ServerRow, token: str) -> None:
        super().__init__(peer_url(peer), token=token)

    async def hello(self, hello: Hello) -> Welcome:
        return await self._post(HELLO, hello, Welcome)

    async def take(self, session: str, request: TakeRequest) -> Orders:
        return await self._post(f"{HELLO}/{session}/take", request, Orders)

    async def look(self, question: PeerQuestion, shape: type[_Answer]) -> _Answer:
        """Ask about its workers; the caller says for how long. Raises TransportError, RefusedError."""
        return await self._post(LOOK, question, shape)

    async def ring(self, bell: OfferBell) -> None:
        """Say what waits here. Raises TransportError, RefusedError."""
        await self._send("POST", BELL, msgspec.json.encode(bell), BELL_S)

    async def artifact(
        self, session: str, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> RelayedAnswer:
        """Ask for an artifact, or send one. Raises TransportError."""
        try:
            return await stream(self._client, method, digest, {**headers, "aether-session": session}, body)
        except httpx.HTTPError as error:
            raise TransportError(f"{self._url} cannot be reached: {why_unreachable(self._url, error)[0]}") from None


async def stream(
    client: httpx.AsyncClient, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
) -> RelayedAnswer:
    """Ask a server for an artifact, or send it one. Raises HTTPError of httpx."""
    path = f"/v1/artifacts/{quote(digest, safe=':')}"
    request = client.build_request(method, path, headers=dict(headers), content=body, timeout=_QUIET_S)
    answer = await client.send(request, stream=True)
    passed = {name: value for name, value in answer.headers.items() if name.lower() in _PASSED}
    return RelayedAnswer(answer.status_code, passed, _pieces(answer))


async def _pieces(answer: httpx.Response) -> AsyncIterator[bytes]:
    try:
        async for block in answer.aiter_bytes(_BLOCK):
            yield block
    except httpx.HTTPError as error:
        raise TransportError(f"an artifact broke off: {error or type(error).__name__}") from None
    finally:
        await answer.aclose()
