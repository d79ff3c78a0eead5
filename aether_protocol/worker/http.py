"""The worker protocol over HTTP and JSON, for the supervisor's side. Needs httpx2 (the extra `[server]`)."""

from __future__ import annotations

import ssl
from typing import Any, Final, TypeVar

import httpx2 as httpx
import msgspec

from aether_protocol.assembly.server_urls import bearer, why_unreachable
from aether_protocol.ports.worker import (
    BeatMessage,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkReport,
)
from aether_protocol.worker.http_artifacts import HttpArtifacts
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError, UnreachableError

ANSWER_S: Final = 10.0  # for all but polls, which say themselves how long they stay open
_encode: Final = msgspec.json.Encoder().encode
_Answer = TypeVar("_Answer")


class HttpTransport:
    """See `worker.transport.WorkerTransport`.

    Args:
        url: where the server is.
        token: that of the worker, where the server wants one.
        verify: an SSL context, where the system's does not do.
    """

    def __init__(self, url: str, *, token: str | None = None, verify: ssl.SSLContext | bool = True) -> None:
        headers = {"content-type": "application/json", "aether-protocol": "1"}
        if token is not None:
            headers["authorization"] = bearer(token)
        self._url = url
        self._client = httpx.AsyncClient(base_url=url, headers=headers, verify=verify, timeout=ANSWER_S)

    @property
    def artifacts(self) -> HttpArtifacts:
        """The way for artifacts, to the same server."""
        return HttpArtifacts(self._client)

    async def hello(self, hello: Hello) -> Welcome:
        return await self._post("/v1/workers", hello, Welcome)

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await self._post(f"/v1/workers/{session}/poll", poll, Orders, timeout_s + ANSWER_S)

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        return await self._post(f"/v1/workers/{session}/beat", beat, Orders)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        return await self._post(f"/v1/workers/{session}/report", report, Receipt)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        return await self._post(f"/v1/workers/{session}/secrets", request, SecretAnswer, 60.0)

    async def leave(self, session: str) -> None:
        await self._send("DELETE", f"/v1/workers/{session}", None, ANSWER_S)

    async def close(self) -> None:
        await self._client.aclose()

    async def _post(self, path: str, message: Any, shape: type[_Answer], timeout_s: float = ANSWER_S) -> _Answer:
        body = await self._send("POST", path, _encode(message), timeout_s)
        try:
            return msgspec.json.decode(body, type=shape)
        except msgspec.MsgspecError as error:
            raise TransportError(f"the server's answer to {path} does not fit: {error}") from None

    async def _send(self, method: str, path: str, body: bytes | None, timeout_s: float) -> bytes:
        try:
            answer = await self._client.request(method, path, content=body, timeout=timeout_s)
        except httpx.HTTPError as error:
            reason, hint = why_unreachable(self._url, error)
            kind = UnreachableError if isinstance(error, httpx.ConnectError) else TransportError
            raise kind(f"{self._url} cannot be reached: {reason}", hint=hint) from None
        if answer.is_success:
            return answer.content
        if answer.status_code == 410:
            raise SessionEndedError
        if "json" not in answer.headers.get("content-type", ""):
            text = f"what answers at {self._url} (status {answer.status_code}) is not an Aether server"
            raise TransportError(text, hint="check the URL")
        detail, hint = _problem(answer)
        if answer.status_code in (408, 425, 429) or answer.status_code >= 500:
            raise TransportError(f"the server answers {answer.status_code}: {detail}")
        raise RefusedError(f"the server refuses: {detail}", hint=hint)


def _problem(answer: httpx.Response) -> tuple[str, str | None]:
    """What a problem document says, and its hint."""
    try:
        body = answer.json()
    except ValueError:
        return answer.text[:200], None
    if not isinstance(body, dict):
        return str(body), None
    errors = body.get("errors")
    told = str(body.get("detail", body))
    more = [str(one.get("message", one)) for one in errors[:3] if isinstance(one, dict)] if isinstance(errors, list) else []
    hint = body.get("hint")
    return f"{told} ({'; '.join(more)})" if more else told, hint if isinstance(hint, str) else None
