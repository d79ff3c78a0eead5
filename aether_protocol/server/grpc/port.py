"""The port of gRPC in a server: its front, and behind it the gRPC server, where the extra is installed."""

from __future__ import annotations

import asyncio
import socket
import ssl
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from aether_protocol.server.grpc.front import GrpcFront
from aether_protocol.server.parts import ServerParts

if TYPE_CHECKING:
    import uvicorn

    from aether_protocol.server.grpc.edge import GrpcEdge

_EXTRA = ("grpc", "google.protobuf", "grpc_health", "grpc_reflection")


def has_extra() -> bool:
    """Say whether the extra `[grpc]` is installed."""
    try:
        return all(find_spec(name) is not None for name in _EXTRA)
    except ModuleNotFoundError:  # of the parent package
        return False


class GrpcPort:
    """A port that speaks gRPC and HTTP.

    Args:
        at: its socket, which listens.
        tls: with it, the port speaks TLS.
    """

    def __init__(self, at: socket.socket, tls: ssl.SSLContext | None) -> None:
        self.socket = at
        self.has_grpc = has_extra()
        self._tls = tls
        self._edge: GrpcEdge | None = None
        self._front: GrpcFront | None = None

    async def start(self, parts: ServerParts, http: uvicorn.Server) -> None:
        """Answer from now on, HTTP by the protocol of `http`."""
        if self.has_grpc:
            from aether_protocol.server.grpc.edge import GrpcEdge

            self._edge = GrpcEdge(parts)
            await self._edge.start()
        config: Any = http.config

        def speak_http() -> asyncio.Protocol:
            made: asyncio.Protocol = config.http_protocol_class(
                config=config, server_state=http.server_state, app_state=http.lifespan.state
            )
            return made

        while not http.started and not http.should_exit:  # noqa: ASYNC110 - it has no event to wait for
            await asyncio.sleep(0.001)
        self._front = GrpcFront(speak_http, None if self._edge is None else self._edge.address)
        await self._front.start(self.socket, self._tls)

    def set_ready(self, ready: bool) -> None:
        """Say by health checks whether requests are taken."""
        if self._edge is not None:
            self._edge.set_ready(ready)

    async def close(self) -> None:
        """Answer no more."""
        if self._front is not None:
            self._front.stop()
        else:
            self.socket.close()
        if self._edge is not None:
            await self._edge.close()
        if self._front is not None:
            self._front.close()
