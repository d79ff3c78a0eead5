"""Requests and answers over NATS: the messages between workers and engines, each in as many frames as it needs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.nats.frames import MOST_BYTES, Parts, split
from aether_protocol.adapters.brokers.nats.link import NatsLink
from aether_protocol.adapters.brokers.unserved import too_large
from aether_protocol.errors import PortError, UsageError

if TYPE_CHECKING:
    from nats.aio.msg import Msg

_encode: Final = msgspec.json.Encoder().encode


class NobodyThereError(PortError):
    """Nothing answers under that subject."""


class EngineCall(Struct, array_like=True, gc=False):
    """A request: what is to be done, for which session, and with what."""

    do: str
    session: str
    body: msgspec.Raw


class Answer(Struct, omit_defaults=True, gc=False):
    """An answer. `over`: the session is not known; `fault` with its hint: it is refused, for good or (`later`) for now."""

    body: msgspec.Raw = msgspec.Raw(b"null")
    over: bool = False
    fault: str = ""
    hint: str | None = None
    later: bool = False


class NatsCaller:
    """Sends requests, and finds their answers."""

    def __init__(self, link: NatsLink) -> None:
        self._link = link
        self._open: dict[str, asyncio.Future[bytes]] = {}
        self._parts = Parts()
        self._numbers = count(1)
        self._inbox = ""

    async def open(self) -> None:
        """Hear answers."""
        self._inbox = self._link.inbox()
        await self._link.subscribe(f"{self._inbox}.*", self._heard)

    async def _heard(self, message: Msg) -> None:
        waiting = self._open.get(message.subject.rpartition(".")[2])
        if waiting is None or waiting.done():
            return
        if not message.data and message.headers and message.headers.get("Status") == "503":
            waiting.set_exception(NobodyThereError("the engine is not there"))
            return
        whole = self._parts.take(message.data)
        if whole is not None:
            waiting.set_result(whole)

    async def call(self, subject: str, do: str, session: str, message: Any, timeout_s: float) -> Answer:
        """Send a request, and give its answer.

        Raises:
            PortError: there is no answer in time, or the server is away.
            NobodyThereError: nothing answers under that subject.
            UsageError: the message is longer than any may be.
        """
        data = _encode(EngineCall(do, session, msgspec.Raw(_encode(message))))
        if len(data) > MOST_BYTES:
            raise UsageError(too_large(len(data), MOST_BYTES, "the broker"))
        if not self._link.is_up:
            raise PortError("NATS is away")
        number = str(next(self._numbers))
        waiting = self._open[number] = asyncio.get_running_loop().create_future()
        try:
            for part in split(data, self._link.limit):
                await self._link.publish(subject, part, f"{self._inbox}.{number}")
            whole = await asyncio.wait_for(waiting, timeout_s)
            return msgspec.json.decode(whole, type=Answer)
        except (TimeoutError, msgspec.MsgspecError):
            raise PortError("the engine does not answer in time") from None
        finally:
            del self._open[number]


class Answerer:
    """Takes requests, and sends their answers."""

    def __init__(self, link: NatsLink, serve: Callable[[EngineCall], Awaitable[Answer]]) -> None:
        self._link = link
        self._serve = serve
        self._parts = Parts()
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self, subject: str) -> None:
        """Answer under a subject."""
        await self._link.subscribe(subject, self._heard)

    async def _heard(self, message: Msg) -> None:
        whole = self._parts.take(message.data)
        if whole is None:
            return
        task = asyncio.get_running_loop().create_task(self._answer(whole, message.reply))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, whole: bytes, reply: str) -> None:
        try:
            call = msgspec.json.decode(whole, type=EngineCall)
        except msgspec.MsgspecError as error:
            answer = Answer(fault=f"the request does not fit: {error}")
        else:
            answer = await self._serve(call)
        for part in split(_encode(answer), self._link.limit):
            await self._link.publish(reply, part)

    def close(self) -> None:
        """Answer no more."""
        for task in self._tasks:
            task.cancel()
