"""Several servers of one store: a worker whose server is gone says hello to another one, with what it holds.

Theory of operation. There are the servers that the worker was given, and those that its server names in its welcome and to each
beat. The worker has one session. It turns to another server at once when nothing takes a connection at its own, and otherwise
when that one has not answered for a while. It asks those that it was given, in their order, and after each round one that
was named: such a one may be out of reach from here (the worker was given the address of a proxy), so it has little time to
answer a hello, and is not asked again until it is named again.

Law: a session belongs to the server that opened it. A single server is waited for until the lease ends. A server that
was named is called only where that is as safe as what the worker was given (`may_turn_to`).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol, TypeVar

from aether_protocol.assembly.server_urls import may_turn_to
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
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError, UnreachableError, WorkerTransport

GIVE_UP_AT: Final = 0.2  # of the lease without an answer: of 30 s these are 6 s
NAMED_AT: Final = 0.1  # of the lease: how long a hello to a server that was named may take

_Answer = TypeVar("_Answer")


class ServerTransport(WorkerTransport, Protocol):
    """A way to one server: for messages, and for artifacts."""

    @property
    def artifacts(self) -> ArtifactTransport: ...


class TurnTransport:
    """See `worker.transport.WorkerTransport` and `worker.artifacts.ArtifactTransport`.

    Args:
        given: the addresses of servers that the worker was given; the first is asked first.
        way_to: makes the way to a server.
        clock: that of the supervisor.
        seed: of the order in which servers that are named are asked, so that not all workers of a server turn to the same one.
    """

    def __init__(
        self, given: Sequence[str], way_to: Callable[[str], ServerTransport], clock: Clock, *, seed: int | None = None
    ) -> None:
        self._given = list(given)
        self._named: list[str] = []  # others, which answer as far as is known
        self._way_to = way_to
        self._clock = clock
        self._chance = random.Random(seed)
        self._ways: dict[str, ServerTransport] = {}
        self._at = self._given[0]  # the server that is asked now
        self._round: list[str] = []  # those that are asked next
        self._failed: set[str] = set()  # of those that were given, since one answered
        self._answered_at = 0  # when the session's server answered last (microseconds)
        self._lease = 0

    @property
    def _now(self) -> ServerTransport:
        return self._way(self._at)

    async def hello(self, hello: Hello) -> Welcome:
        at = self._at
        try:
            welcome = await (self._now.hello(hello) if at in self._given else self._hello_to_named(at, hello))
        except (TransportError, RefusedError) as error:
            self._failed.add(at)
            if at in self._named:
                self._named.remove(at)
            self._move()
            if isinstance(error, RefusedError) and not self._failed.issuperset(self._given):
                raise TransportError(error.message) from None
            raise
        self._round.clear()
        self._failed.clear()
        self._answered_at = self._clock.now()
        self._lease = welcome.lease_ms * 1_000
        await self._note(at, welcome.servers)
        return welcome

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await self._asked(lambda server: server.poll(session, poll, timeout_s))

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        at = self._at
        orders = await self._asked(lambda server: server.beat(session, beat))
        await self._note(at, orders.servers)
        return orders

    async def report(self, session: str, report: WorkReport) -> Receipt:
        return await self._asked(lambda server: server.report(session, report))

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        return await self._now.secrets(session, request)

    async def leave(self, session: str) -> None:
        await self._now.leave(session)

    async def close(self) -> None:
        for one in self._ways.values():
            await one.close()

    async def fetch(self, session: str, token: str, digest: str, target: Path) -> None:
        """Fetch an artifact from the session's server."""
        await self._now.artifacts.fetch(session, token, digest, target)

    async def send(self, session: str, token: str, digest: str, source: Path) -> None:
        """Send an artifact to the session's server."""
        await self._now.artifacts.send(session, token, digest, source)

    async def _asked(self, call: Callable[[ServerTransport], Awaitable[_Answer]]) -> _Answer:
        at = self._at
        try:
            answer = await call(self._way(at))
        except TransportError as error:
            silent = self._clock.now() - self._answered_at
            gone = isinstance(error, UnreachableError) or silent >= round(self._lease * GIVE_UP_AT)
            if gone and self._others(at) != [at]:
                if at == self._at:  # of several messages that fail the first one moves on
                    self._move()
                raise SessionEndedError from None
            raise
        self._answered_at = self._clock.now()
        return answer

    async def _hello_to_named(self, at: str, hello: Hello) -> Welcome:
        try:
            async with asyncio.timeout(self._lease * NAMED_AT / 1_000_000):
                return await self._way(at).hello(hello)
        except TimeoutError:
            raise TransportError(f"{at} does not answer in time") from None

    async def _note(self, by: str, servers: Sequence[str]) -> None:
        """Keep which other servers the one at `by` names."""
        named = [one.rstrip("/") for one in servers if may_turn_to(one, by)]
        self._named = [one for one in dict.fromkeys(named) if one not in self._given and one != by]
        self._chance.shuffle(self._named)
        for one in self._ways.keys() - {*self._given, *self._named, self._at}:
            await self._ways.pop(one).close()

    def _move(self) -> None:
        """Turn to the next server."""
        self._round = self._round or self._others(self._at)
        self._at = self._round.pop(0)

    def _others(self, at: str) -> list[str]:
        """Those that are asked after this one: all that were given, then one that was named; itself where it is alone."""
        begin = self._given.index(at) + 1 if at in self._given else 0
        given = [*self._given[begin:], *self._given[:begin]]
        return [one for one in (*given, *self._named[:1]) if one != at] or [at]

    def _way(self, at: str) -> ServerTransport:
        if at not in self._ways:
            self._ways[at] = self._way_to(at)
        return self._ways[at]
