"""What workers and operators may ask of a server, by whatever edge: who may, and what is done.

Law: an edge reads a message and finds its caller; everything else is here, so that no edge allows what another refuses.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from aether_protocol.adapters.brokers.elsewhere import PeerHello
from aether_protocol.adapters.brokers.spilling import TakeRequest
from aether_protocol.adapters.brokers.workers import WorkerBroker, hello_of_peer, take_from
from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import ForbiddenError
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
from aether_protocol.server.access import unknown_caller
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError
from aether_protocol.server.relay.peer_questions import PeerAnswers
from aether_protocol.server.relay.whole_fleet import DrainFound, WholeFleet, WorkersFound
from aether_protocol.service.access.caller import EVERYWHERE, Caller

if TYPE_CHECKING:
    from aether_protocol.server.relay.forwarding import ForwardedSession

DRAIN_S: Final = 600.0
LONGEST_POLL_S: Final = 60.0  # for the answer of another server to a poll
SECRETS_S: Final = 60.0  # the same, for texts of secrets
MOST_SESSIONS: Final = 1_000  # of one token at a time

_log = logging.getLogger("aether_protocol")


class WorkerCalls:
    """What one worker may say. Of a session of another server the call is passed on to that one.

    Args:
        parts: those of the server, which has a broker for workers.
        caller: whose token it came with.
        authorization: the header with that token, for the server of the session.
        was_forwarded: another server has passed the call on.

    Each method raises SessionOverError for a session that is not known, or was begun with another token; ApiError with what
    another server answers. A worker whose token has expired gets no more work: it is drained, and may report what it has while
    its caller is late (`Caller.late_s`).
    """

    def __init__(
        self, parts: ServerParts, caller: Caller, *, authorization: str | None = None, was_forwarded: bool = False
    ) -> None:
        assert parts.workers is not None  # an edge offers this only where there is one
        self._parts = parts
        self._broker = parts.workers
        self._caller = caller
        self._authorization = authorization
        self._was_forwarded = was_forwarded
        self._namespaces = None if EVERYWHERE in caller.roles else frozenset(caller.roles)  # None: it serves all

    async def hello(self, hello: Hello) -> Welcome:
        """Begin a session.

        Raises:
            UsageError: see `WorkerBroker.hello`.
            ForbiddenError: the pool is not one of its token.
            ApiError: its token has expired and it holds nothing (401), or has as many sessions as it may (429).
        """
        caller = self._caller
        if caller.late_s is not None and not hello.holding:
            raise unknown_caller(has_credentials=True)
        if self._count_others(hello.instance) >= MOST_SESSIONS:
            hint = "end some of them, or make another token: aether token create --kind worker"
            detail = f"{caller.name} has {MOST_SESSIONS} workers connected, and may have no more with one token"
            raise ApiError(429, "too-many-sessions", detail, hint=hint)
        if caller.pools and hello.pool not in caller.pools:
            known = ", ".join(sorted(caller.pools))
            where = f"join pool {hello.pool!r}" if hello.pool else "work outside of its pools"
            raise ForbiddenError(f"{caller.name} may not {where}", hint=f"its token is for the pools {known}: --pool NAME")
        if self._parts.known_workers is not None:  # before it can get an attempt
            await self._parts.known_workers.note(hello, namespaces=self._namespaces)
        welcome = self._broker.hello(hello, namespaces=self._namespaces, holder=caller.token or "")
        self._drain_late(welcome.session)
        welcome.servers = self._other_servers()
        return welcome

    def relay(self, hello: PeerHello) -> Welcome:
        """Begin the session of another server, for what its workers have of runs that this one drives. Raises UsageError."""
        return hello_of_peer(self._broker, hello, self._caller.token or "")

    def take(self, session: str, request: TakeRequest) -> Orders:
        """Give attempts that wait here to another server, whose session this is."""
        return take_from(self._held(session), session, request)

    async def poll(self, session: str, poll: Poll) -> Orders:
        """Ask for work, and wait for it."""
        if (away := self.away(session)) is not None:
            return await away.post("poll", poll, Orders, LONGEST_POLL_S)
        held = self._held(session)
        self._drain_late(session)
        return await held.poll(session, poll, namespaces=self._namespaces)

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        """Renew the session."""
        if (away := self.away(session)) is not None:
            return await away.post("beat", beat, Orders)
        held = self._held(session)
        self._drain_late(session)
        orders = held.beat(session, beat, namespaces=self._namespaces)
        orders.servers = self._other_servers()
        return orders

    async def report(self, session: str, report: WorkReport) -> Receipt:
        """Report what became of deliveries."""
        if (away := self.away(session)) is not None:
            return await away.post("report", report, Receipt)
        return await self._held(session).report(session, report, namespaces=self._namespaces)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        """Get the texts of secrets that a delivery refers to. Raises UsageError, MissingSecretError, SecretsAwayError."""
        if (away := self.away(session)) is not None:
            return await away.post("secrets", request, SecretAnswer, SECRETS_S)
        return await self._held(session).secrets(session, request)

    def require(self, session: str) -> None:
        """Raise SessionOverError for a session that was begun with another token."""
        if self.away(session) is None:
            self._held(session)

    async def leave(self, session: str) -> None:
        """End the session."""
        if (away := self.away(session)) is not None:
            await away.leave()
        else:
            self._held(session).leave(session)

    def away(self, session: str) -> ForwardedSession | None:
        """Return the way to the server of a session; None: it is this one, or no server is known for it."""
        forwarding = self._parts.forwarding
        if forwarding is None or self._broker.is_here(session):
            return None
        return forwarding.at(session, self._authorization, was_forwarded=self._was_forwarded)

    def _other_servers(self) -> list[str]:
        """The addresses of those to which the worker may turn."""
        return [] if self._parts.forwarding is None else self._parts.forwarding.others()

    def _count_others(self, instance: str) -> int:
        """Count the sessions that were begun with this token, but for those of the same process."""
        token, sessions = self._caller.token or "", self._broker.fleet.state.sessions.values()
        return sum(one.holder == token and (not instance or one.instance != instance) for one in sessions)

    def _drain_late(self, session: str) -> None:
        """Give a worker whose token has expired no more work."""
        late_s, known = self._caller.late_s, self._broker.fleet.state.sessions.get(session)
        if late_s is not None and known is not None and known.drain_until is None:
            told = "the token %r of worker %r has expired: it gets no more work, and may finish what it has for %.0f min"
            _log.warning(told, self._caller.name, known.worker, late_s / 60)
            self._broker.drain(session, late_s)

    def _held(self, session: str) -> WorkerBroker:
        self._broker.require_holder(session, self._caller.token or "")
        return self._broker


def fleet_of(parts: ServerParts) -> WholeFleet:
    """Return what answers for the workers of all servers, or of the one that there is."""
    assert parts.workers is not None  # as above
    metrics = None if parts.metrics is None else parts.metrics.runs
    return parts.fleet or WholeFleet(PeerAnswers(parts.workers, metrics=metrics))


class WorkerSupervision:
    """What an operator may ask of all workers, at whichever server they are.

    Raises ForbiddenError for an admin of some namespaces alone: workers are shared by all.
    """

    def __init__(self, parts: ServerParts, caller: Caller) -> None:
        if not caller.may("admin", EVERYWHERE):
            raise ForbiddenError(f"{caller.name} may not look after workers", hint="it needs the role admin in all namespaces")
        self._fleet = fleet_of(parts)

    async def workers(self) -> WorkersFound:
        """List workers, what each carries out, and why attempts wait."""
        return await self._fleet.workers()

    async def drain(self, worker: str, grace_s: float) -> DrainFound:
        """Give a worker, by its name, no more work. Raises ApiError: 404, or 503 where it may be at a server that is away."""
        found = await self._fleet.drain(worker, grace_s)
        if not found.drained:
            if found.unreachable:
                away = ", ".join(found.unreachable)
                detail = f"no worker {worker!r} is connected to the servers that answer; {away} does not answer"
                later = "it may still be carried out there, once that server continues; 'aether worker ls' shows whether it is"
                raise ApiError(503, "server-away", detail, hint=later)
            hint = did_you_mean(worker, found.known, f"connected: {', '.join(found.known) or 'none'}")
            raise ApiError(404, "worker-unknown", f"no worker {worker!r} is connected", hint=hint)
        return found
