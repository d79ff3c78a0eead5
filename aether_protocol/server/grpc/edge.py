"""The gRPC server: the services, health checks and reflection, on a socket of this process's own."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from aether_protocol.errors import PortError
from aether_protocol.ports.grpc.services import GrpcMethod, methods, service_names
from aether_protocol.server.access import require_of, unknown_caller
from aether_protocol.server.gate import WATCH_S
from aether_protocol.server.grpc.callers import GrpcCall, find_caller
from aether_protocol.server.grpc.health import HEALTH, HealthService
from aether_protocol.server.grpc.methods import METHODS, AnsweredMethod
from aether_protocol.server.grpc.statuses import abort, problem_of
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError

KEEPALIVE_MS: Final = 20_000  # proxies cut connections that are silent
HANDSHAKE_MS: Final = 20_000  # as long as HTTP waits for headers
IDLE_MS: Final = 60_000  # of a connection without a call
MOST_CALLS: Final = 200  # on one connection at a time
_GRACE_S: Final = 2.0
_LONGEST_PATH: Final = 100  # of a socket, with something to spare


class GrpcEdge:
    """The gRPC server of a process. `start` it in the loop that answers, then `close` it.

    Args:
        parts: those of the server.
    """

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._polled: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="aether-grpc-")  # for this user alone
        if len(self.address) > _LONGEST_PATH:
            self._folder.cleanup()
            self._folder = tempfile.TemporaryDirectory(prefix="aether-grpc-", dir="/tmp")

    @property
    def address(self) -> str:
        """The path of its socket."""
        return str(Path(self._folder.name) / "socket")

    async def start(self) -> None:
        """Answer from now on."""
        most = self._parts.most_body_bytes
        options = [
            ("grpc.max_receive_message_length", most),
            ("grpc.max_send_message_length", -1),
            ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
            ("grpc.max_connection_idle_ms", IDLE_MS),
            ("grpc.max_concurrent_streams", MOST_CALLS),
            ("grpc.keepalive_time_ms", KEEPALIVE_MS),
            ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
            ("grpc.so_reuseport", 0),
        ]
        self._server = grpc.aio.server(options=options)
        by_service: dict[str, dict[str, Any]] = {}
        for method in methods():
            service, _, name = method.path.removeprefix("/").partition("/")
            by_service.setdefault(service, {})[name] = self._handler(method, METHODS[method.name])
        for service, handlers in by_service.items():
            self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))
        self._health = HealthService(service_names())
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection((*service_names(), HEALTH, reflection.SERVICE_NAME), self._server)
        self._server.add_insecure_port(f"unix:{self.address}")
        await self._server.start()

    def set_ready(self, ready: bool) -> None:
        """Say by health checks whether requests are taken."""
        self._health.set_ready(ready)

    async def close(self) -> None:
        """Answer no more; calls that are open get a moment to end."""
        await self._server.stop(_GRACE_S)
        self._folder.cleanup()

    def _handler(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        make = getattr(grpc, f"{method.kind}_rpc_method_handler")
        behaviour = self._unary(method, answered) if method.kind.endswith("unary") else self._stream(method, answered)
        return make(behaviour, method.request.FromString, method.answer.SerializeToString)

    async def _call(self, answered: AnsweredMethod, context: Any) -> GrpcCall:
        caller = await find_caller(self._parts, context.invocation_metadata() or ())
        require_of(caller, answered.needs["needs"])
        return GrpcCall(self._parts, caller, context, self._polled)

    def _unary(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            try:
                call = await self._call(answered, context)
                async with self._counted(call, answered) as over:
                    return await _first(answered.answer(call, request), over)  # type: ignore[arg-type]
            except Exception as error:
                problem = problem_of(error, method.name)
            return await abort(context, *problem)

        return answer

    def _stream(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                call = await self._call(answered, context)
                async with self._counted(call, answered) as over, aclosing(_stream_of(answered, call, request)) as answers:
                    while True:
                        try:
                            one = await _first(anext(answers), over)
                        except StopAsyncIteration:
                            return
                        yield one
            except Exception as error:
                problem = problem_of(error, method.name)
            await abort(context, *problem)

        return answer

    @asynccontextmanager
    async def _counted(self, call: GrpcCall, answered: AnsweredMethod) -> AsyncIterator[asyncio.Task[None] | None]:
        """For as long as a call lasts: gives what ends when its token counts no longer. Raises ApiError (429)."""
        if not answered.lasts:
            yield None
            return
        followers = self._parts.access.followers
        with followers.counted(f"token {call.caller.token}", counts=call.caller.kind != "worker") as may:
            if not may:
                told = f"{call.caller.name} has {followers.most} streams open"
                raise ApiError(429, "too-many-streams", told, hint="end some of them")
            if self._parts.access.authenticator is None:
                yield None
                return
            over = asyncio.create_task(self._watch(call))
            try:
                yield over
            finally:
                over.cancel()

    async def _watch(self, call: GrpcCall) -> None:
        """Return when the token of a call counts no longer."""
        while True:
            await asyncio.sleep(WATCH_S)
            try:
                await find_caller(self._parts, call.context.invocation_metadata() or (), counts=False)
            except ApiError:
                return
            except PortError:  # the store is away: what was allowed stays so
                continue


def _stream_of(answered: AnsweredMethod, call: GrpcCall, request: Any) -> AsyncGenerator[Any]:
    return answered.answer(call, request)  # type: ignore[return-value]


async def _first(answer: Awaitable[Any], over: asyncio.Task[None] | None) -> Any:
    """Wait for an answer. Raises ApiError (401) where the token counts no longer before it is there."""
    if over is None:
        return await answer
    waiting = asyncio.ensure_future(answer)
    try:
        await asyncio.wait({waiting, over}, return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return waiting.result()
        raise unknown_caller(has_credentials=True)
    finally:
        if not waiting.done():
            waiting.cancel()
            await asyncio.wait({waiting})
