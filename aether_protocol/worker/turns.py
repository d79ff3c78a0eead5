"""Several servers of one store, tried in turn: a worker whose server is gone says hello to the next one, with what it holds.

Law: a session belongs to the server that opened it. It is given up for another server only when its own has not answered for a
while; a single server is waited for until the lease ends.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

from aether_protocol.ports.clock import Clock
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
from aether_protocol.worker.artifacts import ArtifactTransport
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError, WorkerTransport

GIVE_UP_AT: Final = 0.2  # of the lease without an answer: of 30 s these are 6 s

_Answer = TypeVar("_Answer")


class ServerTransport(WorkerTransport, Protocol):
    """A way to one server: for messages, and for artifacts."""

    @property
    def artifacts(self) -> ArtifactTransport: ...


class TurnTransport:
    """See `worker.transport.WorkerTransport` and `worker.artifacts.ArtifactTransport`.

    Args:
        several: a way to each server; the first is asked first.
        clock: that of the supervisor.
    """

    def __init__(self, several: Sequence[ServerTransport], clock: Clock) -> None:
        self._several = several
        self._clock = clock
        self._turn = 0
        self._answered_at = 0  # when the session's server answered last (microseconds)
        self._give_up = 0

    @property
    def _now(self) -> ServerTransport:
        return self._several[self._turn]

    async def hello(self, hello: Hello) -> Welcome:
        try:
            welcome = await self._now.hello(hello)
        except (TransportError, RefusedError) as error:
            refused_by_all = isinstance(error, RefusedError) and self._turn == len(self._several) - 1
            self._turn = (self._turn + 1) % len(self._several)
            if isinstance(error, RefusedError) and not refused_by_all:
                raise TransportError(error.message) from None
            raise
        self._answered_at = self._clock.now()
        self._give_up = round(welcome.lease_ms * 1_000 * GIVE_UP_AT)
        return welcome

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await self._asked(lambda server: server.poll(session, poll, timeout_s))

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        return await self._asked(lambda server: server.beat(session, beat))

    async def report(self, session: str, report: WorkReport) -> Receipt:
        return await self._asked(lambda server: server.report(session, report))

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        return await self._now.secrets(session, request)

    async def leave(self, session: str) -> None:
        await self._now.leave(session)

    async def close(self) -> None:
        for one in self._several:
            await one.close()

    async def fetch(self, session: str, token: str, digest: str, target: Path) -> None:
        """Fetch an artifact from the session's server."""
        await self._now.artifacts.fetch(session, token, digest, target)

    async def send(self, session: str, token: str, digest: str, source: Path) -> None:
        """Send an artifact to the session's server."""
        await self._now.artifacts.send(session, token, digest, source)

    async def _asked(self, call: Callable[[ServerTransport], Awaitable[_Answer]]) -> _Answer:
        turn = self._turn
        try:
            answer = await call(self._several[turn])
        except TransportError:
            if len(self._several) > 1 and self._clock.now() - self._answered_at >= self._give_up:
                if turn == self._turn:  # of several messages that fail the first one moves on
                    self._turn = (turn + 1) % len(self._several)
                raise SessionEndedError from None
            raise
        self._answered_at = self._clock.now()
        return answer
