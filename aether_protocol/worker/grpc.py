"""The worker protocol over gRPC, for the supervisor's side: one stream of frames. Needs the extra `[grpc]`.

Artifacts go over HTTP, to the same address: the server tells both apart.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import grpc
from msgspec import Struct

from aether_protocol.assembly.server_urls import bearer
from aether_protocol.ports import worker as w
from aether_protocol.ports.grpc import aether_pb2 as pb
from aether_protocol.ports.grpc.messages import read_message, write_message
from aether_protocol.ports.grpc.services import GrpcStub
from aether_protocol.ports.wire_json import WireError
from aether_protocol.worker.http import ANSWER_S, HttpTransport
from aether_protocol.worker.http_artifacts import HttpArtifacts
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError, UnreachableError

_Shape = TypeVar("_Shape", bound=Struct)

KEEPALIVE_MS: Final = 20_000
_RETRIED: Final = frozenset({408, 425, 429})
_OPTIONS: Final = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.use_local_subchannel_pool", 1),
]


class GrpcTransport:
    """See `worker.transport.WorkerTransport`.

    Args:
        url: where the server is: `http://HOST:PORT`, or `https://...` for TLS.
        token: that of the worker, where the server wants one.
    """

    def __init__(self, url: str, *, token: str | None = None) -> None:
        self._url = url
        self._token = token
        self._http = HttpTransport(url, token=token)
        self._channel: Any = None
        self._stream: _FrameStream | None = None

    @property
    def artifacts(self) -> HttpArtifacts:
        """The way for artifacts, to the same server."""
        return self._http.artifacts

    async def hello(self, hello: w.Hello) -> w.Welcome:
        answer = await self._ask("", hello=write_message(hello, pb.RegisterRequest()))
        return _read(answer.welcome, w.Welcome)

    async def poll(self, session: str, poll: w.Poll, timeout_s: float) -> w.Orders:
        answer = await self._ask(session, timeout_s + ANSWER_S, poll=write_message(poll, pb.Poll()))
        return _read(answer.orders, w.Orders)

    async def beat(self, session: str, beat: w.BeatMessage) -> w.Orders:
        return _read((await self._ask(session, beat=write_message(beat, pb.HeartbeatRequest()))).orders, w.Orders)

    async def report(self, session: str, report: w.WorkReport) -> w.Receipt:
        return _read((await self._ask(session, report=write_message(report, pb.WorkReport()))).receipt, w.Receipt)

    async def secrets(self, session: str, request: w.SecretRequest) -> w.SecretAnswer:
        answer = await self._ask(session, 60.0, secrets=write_message(request, pb.SecretRequest()))
        return _read(answer.secrets, w.SecretAnswer)

    async def leave(self, session: str) -> None:
        await self._ask(session, leave=pb.Leave())

    async def close(self) -> None:
        if self._stream is not None:
            await self._stream.close()
        if self._channel is not None:
            await self._channel.close()
        await self._http.close()

    async def _ask(self, session: str, timeout_s: float = ANSWER_S, **message: Any) -> Any:
        """Send a frame, and wait for its answer. Raises TransportError, RefusedError, SessionEndedError."""
        if self._stream is None or self._stream.is_over:
            self._stream = self._open()
        try:
            answer = await self._stream.ask(session, message, timeout_s)
        except TransportError as error:
            raise type(error)(f"{self._url} does not answer: {error.message}") from None
        if answer.WhichOneof("message") != "refusal":
            return answer
        refusal = answer.refusal
        if refusal.status == 410:
            raise SessionEndedError
        if refusal.status in _RETRIED or refusal.status >= 500:
            raise TransportError(f"the server answers {refusal.status}: {refusal.detail}")
        raise RefusedError(f"the server refuses: {refusal.detail}")

    def _open(self) -> _FrameStream:
        if self._channel is None:
            parts = urlsplit(self._url)
            target = f"{parts.hostname}:{parts.port or (443 if parts.scheme == 'https' else 80)}"
            if ":" in (parts.hostname or ""):
                target = f"[{parts.hostname}]:{parts.port}"
            if parts.scheme == "https":
                credentials = grpc.ssl_channel_credentials(_trusted())
                self._channel = grpc.aio.secure_channel(target, credentials, options=_OPTIONS)
            else:
                self._channel = grpc.aio.insecure_channel(target, options=_OPTIONS)
        metadata = [("authorization", bearer(self._token))] if self._token is not None else []
        return _FrameStream(GrpcStub(self._channel, "WorkerService").Work, metadata)


class _FrameStream:
    """One stream: questions go out in order, answers come as they are ready. After an error it is over."""

    def __init__(self, method: Any, metadata: list[tuple[str, str]]) -> None:
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._out: asyncio.Queue[Any] = asyncio.Queue()
        self._number = 0
        self.is_over = False
        self._call = method(self._frames(), metadata=metadata)
        self._reading = asyncio.create_task(self._read(), name="aether-grpc-stream")

    async def ask(self, session: str, message: dict[str, Any], timeout_s: float) -> Any:
        """Send a frame, and return its answer. Raises TransportError."""
        self._number += 1
        number = self._number
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        self._out.put_nowait(pb.WorkerFrame(number=number, session=session, **message))
        try:
            return await asyncio.wait_for(answer, timeout_s)
        except TimeoutError:
            self._end("no answer in time")
            raise TransportError("no answer in time") from None
        finally:
            self._waiting.pop(number, None)

    async def close(self) -> None:
        """End the stream."""
        self._end("the worker closes")
        with contextlib.suppress(asyncio.CancelledError):
            await self._reading

    async def _frames(self) -> AsyncIterator[Any]:
        while not self.is_over:
            yield await self._out.get()

    async def _read(self) -> None:
        reason = "the server ended the stream"
        try:
            async for frame in self._call:
                waiting = self._waiting.get(frame.number)
                if waiting is not None and not waiting.done():
                    waiting.set_result(frame)
        except grpc.RpcError as error:
            reason = _reason(error)
            if error.code() in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED):
                self._end(reason, RefusedError(f"the server refuses: {reason}"))
            elif error.code() is grpc.StatusCode.UNAVAILABLE:
                self._end(reason, UnreachableError(reason))
        self._end(reason)

    def _end(self, reason: str, error: Exception | None = None) -> None:
        if not self.is_over:
            self.is_over = True
            self._call.cancel()
            for one in self._waiting.values():
                if not one.done():
                    one.set_exception(error or TransportError(reason))


def _trusted() -> bytes | None:
    """The certificates that Python trusts (SSL_CERT_FILE, or those of the system); None: those that grpcio brings along."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file is not None else None


def _reason(error: Any) -> str:
    return str(error.details() or error.code().name.lower().replace("_", " "))


def _read(message: Any, shape: type[_Shape]) -> _Shape:
    try:
        return read_message(message, shape)
    except WireError as error:
        raise TransportError(f"the server's answer does not fit: {error}") from None
