"""The connection to NATS, and what both sides need of it: made again for ever, with streams and consumers as they are needed.

Law: nothing that is published here is waited for. What a server does not have any more is made again when it is missed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, Literal

from aether_protocol.adapters.brokers.nats.address import NatsUrl
from aether_protocol.adapters.brokers.nats.credentials import NatsKey
from aether_protocol.adapters.brokers.nats.subjects import consumer_of
from aether_protocol.errors import PortError, UsageError, why

if TYPE_CHECKING:
    from nats.aio.client import Client
    from nats.aio.msg import Msg

_PING_S: Final = 5
_MOST_TICKETS: Final = 1000  # of a subject that wait: more say nothing new
_UNUSED_S: Final = 3600.0  # then a consumer goes
_ACK_S: Final = 5.0
_CANCEL_S: Final = 0.5  # then it is cancelled once more
_SAY_S: Final = 2.0  # an outage of so long is reported

_log = logging.getLogger("aether_protocol")
Handler = Callable[["Msg"], Awaitable[None]]


def _log_news(kind: Literal["away", "back"], text: str) -> None:
    _log.log(logging.WARNING if kind == "away" else logging.INFO, "%s", text)


async def cancelled(task: asyncio.Task[Any]) -> None:
    """End a task that may be opening a connection: the library hears the first cancel alone, where it hears that."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_CANCEL_S)


class NatsLink:
    """A connection. `back`: called when it is there again after it was away.

    Args:
        url: of the server.
        name: of this client, for operators.
        report: called when an outage has lasted for a while (`away`), and after it (`back`), with a text; it is logged unless
            given.
    """

    def __init__(self, url: NatsUrl, name: str, report: Callable[[Literal["away", "back"], str], None] = _log_news) -> None:
        self.url = url
        self.names = url.names
        self.back: list[Callable[[], None]] = []
        self._name = name
        self._report = report
        self._client: Client | None = None
        self._known: set[str] = set()  # consumers that were made
        self._has_stream = False
        self.place = f"NATS at {url.place}"
        self._fault = ""  # the last one
        self._saying: asyncio.TimerHandle | None = None  # an outage, which is reported when it lasts
        self._is_said = False
        self._closing = False

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
        """Connect; where the server is away, for as long as it takes. Raises PortError where it refuses."""
        from nats.aio.client import Client

        tls, key = self.url.tls(), self.url.signer()
        client = Client()
        client._public_nkey = None if key is None else key.public  # the library asks for another package to read it
        await self._lost()  # until it answers
        how: dict[str, Any] = {
            "name": self._name,
            "error_cb": self._failed,
            "disconnected_cb": self._lost,
            "reconnected_cb": self._returned,
            "allow_reconnect": True,
            "max_reconnect_attempts": -1,
            "reconnect_time_wait": 0.2,
            "ping_interval": _PING_S,
            "max_outstanding_pings": 2,
            "pending_size": 64 * 2**20,
            "tls": tls,
            "tls_hostname": self.url.host,
            "tls_handshake_first": self.url.tls_first,
            **self.url.login,
            **self._signing(key),
        }
        try:
            await client.connect(f"nats://{self.url.place}", **how)
        except Exception as error:
            raise PortError(f"{self.place} cannot be used: {why(error).removeprefix('nats: ')}") from error
        self._client = client
        self._say_back()
        self._jetstream: Any = client.jetstream(timeout=2.0)

    def _signing(self, key: NatsKey | None) -> dict[str, Any]:
        """What the library calls for a signature. The file is read at each connection: it may have been replaced."""
        if key is None:
            return {}
        given: dict[str, Any] = {"signature_cb": lambda nonce: self._key().signature(nonce).encode()}
        if key.jwt is not None:
            given["user_jwt_cb"] = lambda: (self._key().jwt or "").encode()
        return given

    def _key(self) -> NatsKey:
        try:
            key = self.url.signer()
        except UsageError as error:
            raise OSError(error.message) from None  # what the library takes for a connection that failed
        assert key is not None, "the URL names credentials"
        return key

    async def _failed(self, error: Exception) -> None:
        self._fault = why(error).removeprefix("nats: ")
        _log.debug("NATS: %s", error)

    async def _lost(self) -> None:
        if not self._closing and self._saying is None:
            self._saying = asyncio.get_running_loop().call_later(_SAY_S, self._say_lost)

    def _say_lost(self) -> None:
        self._is_said = True
        fault = f": {self._fault}" if self._fault else ""
        self._report("away", f"{self.place} is away{fault}; it is tried again, and what runs continues")

    def _say_back(self) -> None:
        if self._saying is not None:
            self._saying.cancel()
            self._saying = None
        if self._is_said:
            self._is_said = False
            self._report("back", f"{self.place} answers again")

    async def _returned(self) -> None:
        self._say_back()
        self.forget()
        for call in self.back:
            call()

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
        self._closing = True
        if self._saying is not None:
            self._saying.cancel()
        client = self._client
        if client is None:
            return
        with contextlib.suppress(Exception):
            if client.is_connected:
                await asyncio.wait_for(client.flush(), 1.0)
        with contextlib.suppress(Exception):
            await asyncio.wait_for(client.close(), 2.0)
