"""The gRPC server: the services, health checks and reflection, on a socket of this process's own."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from aether_protocol.ports.grpc.services import GrpcMethod, methods, service_names
from aether_protocol.server.bounds import RateLimiter
from aether_protocol.server.grpc.callers import GrpcCall, find_caller, require
from aether_protocol.server.grpc.methods import METHODS, AnsweredMethod
from aether_protocol.server.grpc.statuses import abort, problem_of
from aether_protocol.server.parts import ServerParts

KEEPALIVE_MS: Final = 20_000  # proxies cut connections that are silent
_GRACE_S: Final = 2.0


class GrpcEdge:
    """The gRPC server of a process. `start` it in the loop that answers, then `close` it.

    Args:
        parts: those of the server.
    """

    def __init__(self, parts: ServerParts) -> None:
        self._parts = parts
        self._limiter = None if parts.access.bounds is None else RateLimiter(parts.access.bounds)
        self._polled: dict[str, Any] = {}
        self._folder = tempfile.TemporaryDirectory(prefix="aether-grpc-")  # for this user alone

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
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        names = service_names()
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server)
        self._server.add_insecure_port(f"unix:{self.address}")
        await self._server.start()

    async def set_ready(self, ready: bool) -> None:
        """Say by health checks whether requests are taken."""
        status = health_pb2.HealthCheckResponse.SERVING if ready else health_pb2.HealthCheckResponse.NOT_SERVING
        for name in ("", *service_names()):
            await self._health.set(name, status)

    async def close(self) -> None:
        """Answer no more; calls that are open get a moment to end."""
        await self._server.stop(_GRACE_S)
        self._folder.cleanup()

    def _handler(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        make = getattr(grpc, f"{method.kind}_rpc_method_handler")
        behaviour = self._unary(method, answered) if method.kind.endswith("unary") else self._stream(method, answered)
        return make(behaviour, method.request.FromString, method.answer.SerializeToString)

    async def _call(self, answered: AnsweredMethod, context: Any) -> GrpcCall:
        caller = await find_caller(self._parts, context.invocation_metadata() or (), self._limiter)
        require(caller, answered.needs["needs"])
        return GrpcCall(self._parts, caller, context, self._polled)

    def _unary(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        async def answer(request: Any, context: Any) -> Any:
            try:
                return await answered.answer(await self._call(answered, context), request)  # type: ignore[misc]
            except Exception as error:
                problem = problem_of(error, method.name)
            return await abort(context, *problem)

        return answer

    def _stream(self, method: GrpcMethod, answered: AnsweredMethod) -> Any:
        async def answer(request: Any, context: Any) -> AsyncIterator[Any]:
            try:
                async for one in answered.answer(await self._call(answered, context), request):  # type: ignore[union-attr]
                    yield one
                return
            except Exception as error:
                problem = problem_of(error, method.name)
            await abort(context, *problem)

        return answer
