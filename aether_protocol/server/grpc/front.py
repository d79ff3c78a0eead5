"""The port for gRPC and HTTP: what speaks HTTP/2 without an upgrade goes to gRPC, all else to HTTP.

A connection shows what it is by its first bytes: HTTP/2 begins with a preface that no request of HTTP/1.1 can begin with.
HTTP is answered here, by the protocol of the HTTP server itself, which sees the peer as it is; gRPC is passed on to its socket.
Without the extra `[grpc]` the last frame of a connection of gRPC gives the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
FIRST_S: Final = 20.0  # how long a connection may say nothing at first
MOST_CONNECTIONS: Final = 1_000  # of gRPC, and of those that have said nothing yet
REFUSED_S: Final = 1.0  # how long one that is refused stays open
_TOLD_APART: Final = 4  # bytes: "PRI " is not a method of HTTP/1.1
_NOTE: Final = b"this server has no gRPC: install aether-protocol[grpc]"

HttpProtocol = Callable[[], asyncio.Protocol]


class GrpcFront:
    """Listens for both.

    Args:
        http: makes the protocol of a connection of HTTP/1.1.
        grpc_socket: the path of the socket of gRPC; None: there is none.
    """

    def __init__(self, http: HttpProtocol, grpc_socket: str | None) -> None:
        self._http = http
        self._grpc_socket = grpc_socket
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server

    async def start(self, at: socket.socket, tls: ssl.SSLContext | None) -> None:
        """Answer on this socket, which listens already. With `tls` it speaks TLS, and offers both protocols there."""
        if tls is not None:  # what speaks both means HTTP: of gRPC it is h2 alone that is offered
            tls.set_alpn_protocols(["http/1.1", "h2"] if self._grpc_socket is not None else ["http/1.1"])
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Connection(self), sock=at, ssl=tls)

    def stop(self) -> None:
        """Take no more connections."""
        self._server.close()

    def close(self) -> None:
        """End the connections of gRPC, and those that have not said what they speak."""
        for one in list(self._connections):
            one.end()

    def forget(self, connection: _Connection) -> None:
        """A connection is over, or is one of HTTP."""
        self._connections.discard(connection)

    def begin(self, connection: _Connection) -> None:
        """A connection begins. Where there are too many it ends at once."""
        if len(self._connections) >= MOST_CONNECTIONS:
            connection.end()
        else:
            self._connections.add(connection)

    def speak_http(self, transport: asyncio.Transport, first: bytes) -> None:
        """Give a connection to HTTP."""
        protocol = self._http()
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        if first:
            protocol.data_received(first)

    @property
    def grpc_socket(self) -> str | None:
        """The path of the socket of gRPC."""
        return self._grpc_socket


class _Connection(asyncio.Protocol):
    """A connection from outside, until it is known what it speaks; of gRPC also after that."""

    def __init__(self, front: GrpcFront) -> None:
        self._front = front
        self._first = b""
        self._peer: _Peer | None = None
        self._is_refused = False
        self._connecting: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._due = asyncio.get_running_loop().call_later(FIRST_S, self.end)
        self._front.begin(self)

    def data_received(self, data: bytes) -> None:
        if self._peer is not None:
            self._peer.transport.write(data)
            return
        if self._is_refused:
            return  # what it sent before it reads the refusal
        self._first += data
        if self._connecting is not None or len(self._first) < _TOLD_APART:
            return
        self._due.cancel()
        if not self._first.startswith(PREFACE[:_TOLD_APART]):
            self._front.forget(self)
            self._front.speak_http(self.transport, self._first)
        elif self._front.grpc_socket is None:
            self._is_refused = True
            self.transport.write(_refusal())
            self._due = asyncio.get_running_loop().call_later(REFUSED_S, self.end)  # at once it might not be read
        else:
            self.transport.pause_reading()
            self._connecting = asyncio.get_running_loop().create_task(self._connect(self._front.grpc_socket))

    async def _connect(self, path: str) -> None:
        try:
            _, peer = await asyncio.get_running_loop().create_unix_connection(lambda: _Peer(self), path)
        except OSError:
            self.end()
            return
        if self.transport.is_closing():
            peer.transport.abort()
            return
        self._peer = peer
        peer.transport.write(self._first)
        self._first = b""
        with contextlib.suppress(RuntimeError):  # it closes
            self.transport.resume_reading()

    def pause_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._peer is not None:
            self._peer.transport.resume_reading()

    def eof_received(self) -> bool:
        return False  # the end of one direction is the end of both: neither side of gRPC half-closes a connection

    def connection_lost(self, error: Exception | None) -> None:
        self._due.cancel()
        self._front.forget(self)
        if self._peer is not None:
            self._peer.transport.close()

    def end(self) -> None:
        """Close the connection; where its peer does not read what is left, cut it off."""
        self.transport.close()
        asyncio.get_running_loop().call_later(REFUSED_S, self.transport.abort)


class _Peer(asyncio.Protocol):
    """The other half of a connection of gRPC: to its socket."""

    def __init__(self, front: _Connection) -> None:
        self._outer = front
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self._outer.transport.write(data)

    def pause_writing(self) -> None:
        self._outer.transport.pause_reading()

    def resume_writing(self) -> None:
        self._outer.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        self._outer.end()


def _refusal() -> bytes:
    """Empty settings, and the frame that ends a connection of HTTP/2 (HTTP_1_1_REQUIRED), with the reason."""
    settings = b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    body = b"\x00\x00\x00\x00" + b"\x00\x00\x00\x0d" + _NOTE
    return settings + len(body).to_bytes(3, "big") + b"\x07\x00\x00\x00\x00\x00" + body
