"""Artifacts between a worker's cache and its server: brought for attempts, and sent when attempts made them.

Law: a transfer that breaks off continues where it broke off, as long as the delivery lives; each content is on its way once at
a time. Contents go through files, never through memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, Literal, Protocol

from aether_protocol.errors import AetherError, PortError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.worker.cache import ArtifactCache
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

Move = Literal["bring", "renew", "send"]  # renew: what the cache has is damaged
RETRY_S: Final = 0.2
LONGEST_RETRY_S: Final = 5.0
FULL_S: Final = 60.0  # how long a server whose disk is full is asked again


class ServerFullError(PortError):
    """The server has no room for an artifact now."""


class ArtifactTransport(Protocol):
    """How contents come and go. Raises TransportError (to be tried again), RefusedError, SessionEndedError, ServerFullError."""

    async def fetch(self, session: str, token: str, digest: str, target: Path) -> None:
        """Write a content to `target`, behind what is there of it already."""
        ...

    async def send(self, session: str, token: str, digest: str, source: Path) -> None:
        """Send a content, as far as the server does not have it."""
        ...


class ArtifactCarrier:
    """Moves contents for attempts.

    Args:
        cache: what is on this machine.
        transport: the way to the server.
        session: gives the name of the session, which may change meanwhile.
        clock: the time of pauses.
    """

    def __init__(
        self, cache: ArtifactCache, transport: ArtifactTransport, session: Callable[[], str], clock: Clock
    ) -> None:
        self._clock = clock
        self._cache = cache
        self._transport = transport
        self._session = session
        self._moving: dict[tuple[str, str, str], asyncio.Task[None]] = {}

    async def move(
        self, token: str, move: Move, digest: str, wanted: Callable[[], bool], *, namespace: str = DEFAULT_NAMESPACE
    ) -> None:
        """See that a content is in the cache, or at the server.

        Args:
            token: the delivery whose attempt needs or made it.
            move: `send`, or `bring` it to the cache; `renew`: also where it is there.
            digest: that of the content.
            wanted: whether the attempt still runs.
            namespace: that of its run.

        Raises:
            AetherError: it did not work; trying again would not help.
        """
        # What one delivery has sent is not there for another: that may be of another namespace, which has contents of its own.
        key = (f"send {token}" if move == "send" else "bring", namespace, digest)
        while (moving := self._moving.get(key)) is not None:
            await asyncio.wait([moving])
            if not moving.cancelled() and moving.exception() is None:
                return
        task = self._moving[key] = asyncio.ensure_future(self._move(token, move, digest, wanted, namespace))
        task.add_done_callback(lambda _: self._moving.pop(key))
        await task

    async def _move(self, token: str, move: Move, digest: str, wanted: Callable[[], bool], namespace: str) -> None:
        if move == "send":
            source = self._cache.repository.within(namespace).path_of(digest)
            await asyncio.to_thread(self._cache.added, source)
            await self._repeated(lambda session: self._transport.send(session, token, digest, source), wanted)
            return
        if move == "renew":
            await asyncio.to_thread(self._cache.drop, namespace, digest)
        elif await asyncio.to_thread(self._cache.has, namespace, digest):
            return
        part = await asyncio.to_thread(self._cache.part, namespace, digest)
        part.unlink(missing_ok=True)
        try:
            await self._repeated(lambda session: self._transport.fetch(session, token, digest, part), wanted)
            await asyncio.to_thread(self._cache.take, part, namespace, digest)
        finally:
            part.unlink(missing_ok=True)

    async def _repeated(self, call: Callable[[str], Awaitable[None]], wanted: Callable[[], bool]) -> None:
        """Call until it works, or the attempt is over: its lease bounds it."""
        pause, full_since = RETRY_S, 0
        while True:
            session = self._session()
            try:
                return await call(session)
            except ServerFullError:
                full_since = full_since or self._clock.now()
                if self._clock.now() - full_since > FULL_S * 1_000_000:
                    raise
            except (TransportError, SessionEndedError):
                full_since = 0
            except RefusedError:
                if session == self._session():  # else the delivery is at the new session now
                    raise
            except AetherError:
                raise
            except OSError as fault:
                raise PortError(f"artifacts cannot be moved: {(fault.strerror or str(fault)).lower()}") from fault
            if not wanted():
                raise PortError("the attempt was stopped")
            await self._clock.sleep(pause)
            pause = min(pause * 2, LONGEST_RETRY_S)
