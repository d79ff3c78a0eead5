"""Calls of workers for sessions of other servers: passed on as they are, so that a worker may call any server of a store.

The name of a session begins with the place of its server. A worker behind a proxy that gives each request to another server
calls servers that do not have its session: each passes the call on to the one that does, with the token that it came with.

Law: a call is passed on once. A server that is gone has no sessions any more: the worker has to say hello again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import quote

import httpx2 as httpx
import msgspec

from aether_protocol.adapters.brokers.elsewhere import RelayedAnswer, place_of
from aether_protocol.adapters.brokers.workers import SessionOverError
from aether_protocol.assembly.server_urls import why_unreachable
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import ServerRow
from aether_protocol.server.problems import ApiError
from aether_protocol.server.relay.peers import peer_url, stream
from aether_protocol.worker.http import ANSWER_S

FORWARDED: Final = "aether-forwarded"  # a header: the call was passed on, and is not passed on again
_encode: Final = msgspec.json.Encoder().encode
_Answer = TypeVar("_Answer")


class Forwarding:
    """Passes calls on.

    Args:
        servers: gives the servers of the store that live.
        owner: the name by which the store knows this one.
    """

    def __init__(self, servers: Callable[[], Sequence[ServerRow]], owner: str) -> None:
        self._servers = servers
        self._owner = owner
        self._clients: dict[str, httpx.AsyncClient] = {}

    def at(self, session: str, authorization: str | None, *, was_forwarded: bool) -> ForwardedSession:
        """Return the way to the server of a session that is not of this one. Raises SessionOverError: there is none."""
        place, dot, _ = session.partition(".")
        row = next((one for one in self._servers() if dot and place_of(one.owner) == place), None)
        if row is None or was_forwarded:
            raise SessionOverError(session)
        return ForwardedSession(self._client(row), row.address, session, authorization)

    def others(self) -> list[str]:
        """Return the addresses of the other servers, but for those that stop: where a worker of this one may turn to."""
        return [one.address for one in self._servers() if one.owner != self._owner and not one.stopping]

    async def close(self) -> None:
        """End all connections."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, row: ServerRow) -> httpx.AsyncClient:
        try:
            url = peer_url(row)
        except UsageError as error:
            raise _away(f"server {row.name} cannot be called: {error.message}", error.hint) from None
        client = self._clients.get(url)
        if client is None:
            client = self._clients[url] = httpx.AsyncClient(base_url=url, timeout=ANSWER_S)
        return client


class ForwardedSession:
    """One session of another server. Each method raises SessionOverError, and ApiError with what the other server answers."""

    def __init__(self, client: httpx.AsyncClient, url: str, session: str, authorization: str | None) -> None:
        self._client = client
        self._url = url
        self._session = session
        self._headers = {FORWARDED: "1", **({"authorization": authorization} if authorization else {})}

    async def post(self, what: str, message: Any, shape: type[_Answer], timeout_s: float = ANSWER_S) -> _Answer:
        """Send one message of the worker, and return the answer."""
        headers = {**self._headers, "content-type": "application/json"}
        body = await self._send("POST", f"{self._path}/{what}", _encode(message), headers, timeout_s)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError:
            raise _away(f"the answer of {self._url} does not fit") from None

    async def leave(self) -> None:
        """End the session."""
        await self._send("DELETE", self._path, None, self._headers, ANSWER_S)

    async def artifact(
        self, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None = None
    ) -> RelayedAnswer:
        """Ask for an artifact, or send one."""
        sent = {**headers, **self._headers, "aether-session": self._session}
        try:
            return await stream(self._client, method, digest, sent, body)
        except httpx.HTTPError as error:
            raise self._unreached(error) from None

    @property
    def _path(self) -> str:
        return f"/v1/workers/{quote(self._session, safe='')}"

    async def _send(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float) -> bytes:
        try:
            answer = await self._client.request(method, path, content=body, headers=dict(headers), timeout=timeout_s)
        except httpx.HTTPError as error:
            raise self._unreached(error) from None
        if answer.is_success:
            return answer.content
        if answer.status_code == 410:
            raise SessionOverError(self._session)
        try:
            problem = answer.json()
        except ValueError:
            problem = {}
        found = problem if isinstance(problem, dict) else {}
        code, detail = str(found.get("code", "server-away")), str(found.get("detail", answer.reason_phrase))
        hint = found.get("hint")
        raise ApiError(answer.status_code, code, detail, hint=hint if isinstance(hint, str) else None)

    def _unreached(self, error: Exception) -> ApiError:
        return _away(f"{self._url} cannot be reached: {why_unreachable(self._url, error)[0]}")


def _away(detail: str, hint: str | None = None) -> ApiError:
    return ApiError(503, "server-away", detail, hint=hint)


