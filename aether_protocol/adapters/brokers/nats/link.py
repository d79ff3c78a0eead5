"""The connection to NATS, and what both sides need of it: made again for ever, with streams and consumers as they are needed.

Law: nothing that is published here is waited for. What a server does not have any more is made again when it is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, BinaryIO, Final
from urllib.parse import parse_qsl, urlsplit

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.nats.subjects import NatsNames, consumer_of
from aether_protocol.errors import PortError, UsageError, why

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

PORT: Final = 4222
REACH_S: Final = 5.0
_PING_S: Final = 5
_MOST_TICKETS: Final = 1000  # of a subject that wait: more say nothing new
_UNUSED_S: Final = 3600.0  # then a consumer goes
_ACK_S: Final = 5.0
_OPTIONS: Final = ("lease", "prefix")
_MOST_LINE: Final = 2**20

_log = logging.getLogger("aether_protocol")
Handler = Callable[["Msg"], Awaitable[None]]


class NatsUrl(Struct, frozen=True):
    """A URL taken apart: `nats://[USER:PASSWORD@]HOST[:PORT][?prefix=NAME&lease=SECONDS]`. TLS is spoken where the server
    wants it."""

    server: str
    host: str
    port: int
    names: NatsNames
    lease_s: float = 30.0


class _Info(Struct):
    """What a server says first."""

    jetstream: bool = False
    tls_required: bool = False


def read_nats_url(url: str) -> NatsUrl:
    """Take a URL apart.

    Raises:
        UsageError: it says something else.
    """
    parts = urlsplit(url)
    hint = "like nats://127.0.0.1:4222 or nats://user:password@host/?prefix=team-a&lease=30"
    try:
        host, port = parts.hostname, parts.port or PORT
        options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
        lease_s = float(options.get("lease", 30.0))
    except ValueError:
        raise UsageError("that is not the URL of a NATS server", hint=hint) from None
    prefix = options.get("prefix", "aether")
    if not host or parts.path.strip("/") or set(options) - set(_OPTIONS) or not 1 <= lease_s <= 86_400:
        what = f"the broker {host!r} has what a NATS server's URL has not" if host else "the URL of the broker names no host"
        raise UsageError(what, hint=hint)
    if not prefix.replace("-", "").replace("_", "").isalnum():
        raise UsageError(f"the prefix {prefix!r} is not letters, digits, - and _", hint=hint)
    server = f"{parts.scheme}://{parts.netloc}" if parts.port else f"{parts.scheme}://{parts.netloc}:{PORT}"
    return NatsUrl(server, host, port, NatsNames(prefix), lease_s)


def require_reachable(url: NatsUrl) -> None:
    """Raise PortError where nothing answers there, or it refuses: what is away later is waited for, what never was is an
    error. The client of the library would try again for ever."""
    where, js = f"NATS at {url.host}:{url.port}", "nats-server -js"
    try:
        with socket.create_connection((url.host, url.port), REACH_S) as link, link.makefile("rb") as lines:
            said = msgspec.json.decode(lines.readline(_MOST_LINE).removeprefix(b"INFO "), type=_Info)
            refused = "" if said.tls_required else _greeted(url, link, lines)
    except msgspec.MsgspecError:
        raise PortError(f"what answers at {url.host}:{url.port} is not NATS", hint=f"is {js} running there?") from None
    except OSError as error:
        hint = f"is nats-server running there, with JetStream ({js})?"
        reason = (error.strerror or str(error)).lower()
        raise PortError(f"{where} cannot be reached: {reason}", hint=hint) from error
    if refused:
        hint = "user and password are in the URL: nats://USER:PASSWORD@HOST, or its token: nats://TOKEN@HOST"
        raise PortError(f"{where} refuses: {refused}", hint=hint)
    if not said.jetstream:  # another server of its cluster may have it
        _log.warning("%s has no JetStream: where no server of its cluster has it, no task begins (%s)", where, js)


def _greeted(url: NatsUrl, link: socket.socket, lines: BinaryIO) -> str:
    """Say who connects. Returns why the server refuses, or nothing. Raises OSError."""
    user, password = urlsplit(url.server).username, urlsplit(url.server).password
    given = {"auth_token": user} if password is None else {"user": user, "pass": password}
    hello = {"verbose": False, "pedantic": False, "lang": "python3", "version": "0", **(given if user else {})}
    link.sendall(b"CONNECT " + msgspec.json.encode(hello) + b"\r\nPING\r\n")
    while line := lines.readline(_MOST_LINE):
        if line.startswith(b"-ERR"):
            return line[4:].decode("utf-8", "replace").strip(" '\r\n").lower()
        if line.startswith(b"PONG"):
            return ""
    return "it ended the connection"


class NatsLink:
    """A connection. `back`: called when it is there again after it was away.

    Args:
        url: of the server.
        name: of this client, for operators.
    """

    def __init__(self, url: NatsUrl, name: str) -> None:
        self.url = url
        self.names = url.names
        self.back: list[Callable[[], None]] = []
        self._name = name
        self._client: Client | None = None
        self._known: set[str] = set()  # consumers that were made
        self._has_stream = False

    @property
    def limit(self) -> int:
        """How many bytes a message may have."""
        return int(self._connected.max_payload)

    @property
    def is_up(self) -> bool:
        """Whether the server is there now."""
        return self._client is not None and bool(self._client.is_connected)

    @property
    def _connected(self) -> Client:
        assert self._client is not None
        return self._client

    async def open(self) -> None:
        """Connect. Raises PortError where the server refuses."""
        import nats

        async def failed(error: Exception) -> None:
            _log.debug("NATS: %s", error)

        async def again() -> None:
            self.forget()
            for call in self.back:
                call()

        try:
            self._client = await nats.connect(
                self.url.server,
                name=self._name,
                error_cb=failed,
                reconnected_cb=again,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.2,
                ping_interval=_PING_S,
                max_outstanding_pings=2,
                pending_size=64 * 2**20,
            )
        except Exception as error:
            reason = why(error).removeprefix("nats: ")
            raise PortError(f"NATS at {self.url.host}:{self.url.port} cannot be used: {reason}") from error
        self._jetstream: Any = self._client.jetstream(timeout=2.0)

    def forget(self) -> None:
        """What the server had may be gone."""
        self._known.clear()
        self._has_stream = False

    async def publish(self, subject: str, data: bytes, reply: str = "") -> None:
        """Send a message; nothing is waited for. While the server is away nothing is sent."""
        if self._client is not None and self._client.is_connected:
            with contextlib.suppress(Exception):  # the connection ends just now: who sent it looks after it
                await self._client.publish(subject, data, reply=reply)

    async def subscribe(self, subject: str, handler: Handler) -> None:
        """Hear what comes under a subject; after a reconnection again."""
        await self._connected.subscribe(subject, cb=handler, pending_msgs_limit=-1, pending_bytes_limit=-1)

    def inbox(self) -> str:
        """A subject of this client alone."""
        return str(self._connected.new_inbox())

    async def want_stream(self) -> bool:
        """Make the stream of tickets where it is not there; whether it is now."""
        if self._has_stream:
            return True
        from nats.js.api import RetentionPolicy, StorageType, StreamConfig

        config = StreamConfig(
            name=self.names.stream,
            subjects=[self.names.tickets],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.MEMORY,  # what is lost with it is published again
            max_msgs_per_subject=_MOST_TICKETS,
            max_age=_UNUSED_S,
        )
        self._has_stream = await self._made(self._jetstream.add_stream(config))
        return self._has_stream

    async def want_consumer(self, subject: str) -> bool:
        """Make the consumer of a subject of tickets where it is not there; whether it is now."""
        if subject in self._known:
            return True
        from nats.js.api import AckPolicy, ConsumerConfig

        name = consumer_of(subject)
        config = ConsumerConfig(
            durable_name=name,
            filter_subject=subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=_ACK_S,
            max_ack_pending=-1,  # a worker that is gone must not block it
            inactive_threshold=_UNUSED_S,
        )
        if await self.want_stream() and await self._made(self._jetstream.add_consumer(self.names.stream, config)):
            self._known.add(subject)
        return subject in self._known

    @staticmethod
    async def _made(call: Awaitable[Any]) -> bool:
        try:
            await call
        except Exception as error:  # it is away, or has lost what it had: it is asked again
            _log.debug("NATS: %s", error)
            return False
        return True

    async def close(self) -> None:
        """Send what is left, and end the connection."""
        client = self._client
        if client is None:
            return
        with contextlib.suppress(Exception):
            if client.is_connected:
                await asyncio.wait_for(client.flush(), 1.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 2.0)
