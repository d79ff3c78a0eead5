"""What workers and operators may ask of a server, by whatever edge: who may, and what is done.

Law: an edge reads a message and finds its caller; everything else is here, so that no edge allows what another refuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.adapters.brokers.fleet_view import WorkerView, reasons_of, sessions_named, workers_of
from aether_protocol.adapters.brokers.workers import WorkerBroker
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
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError
from aether_protocol.service.access.caller import EVERYWHERE, Caller

DRAIN_S: Final = 600.0


class WorkerCalls:
    """What one worker may say.

    Args:
        parts: those of the server, which has a broker for workers.
        caller: whose token it came with.

    Each method raises SessionOverError for a session that is not known, or was begun with another token.
    """

    def __init__(self, parts: ServerParts, caller: Caller) -> None:
        assert parts.workers is not None  # an edge offers this only where there is one
        self._parts = parts
        self._broker = parts.workers
        self._caller = caller
        self._namespaces = None if EVERYWHERE in caller.roles else frozenset(caller.roles)  # None: it serves all

    async def hello(self, hello: Hello) -> Welcome:
        """Begin a session. Raises UsageError, and ForbiddenError for a pool that is not one of its token."""
        caller = self._caller
        if caller.pools and hello.pool not in caller.pools:
            known = ", ".join(sorted(caller.pools))
            where = f"join pool {hello.pool!r}" if hello.pool else "work outside of its pools"
            raise ForbiddenError(f"{caller.name} may not {where}", hint=f"its token is for the pools {known}: --pool NAME")
        if self._parts.known_workers is not None:  # before it can get an attempt
            await self._parts.known_workers.note(hello)
        return self._broker.hello(hello, namespaces=self._namespaces, holder=caller.token or "")

    def relay(self, hello: Hello) -> Welcome:
        """Begin the session of another server, for what its workers have of runs that this one drives. Raises UsageError."""
        return self._broker.hello(hello, holder=self._caller.token or "", via=hello.worker)

    async def poll(self, session: str, poll: Poll) -> Orders:
        """Ask for work, and wait for it."""
        return await self._held(session).poll(session, poll, namespaces=self._namespaces)

    def beat(self, session: str, beat: BeatMessage) -> Orders:
        """Renew the session."""
        return self._held(session).beat(session, beat, namespaces=self._namespaces)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        """Report what became of deliveries."""
        return await self._held(session).report(session, report, namespaces=self._namespaces)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        """Get the texts of secrets that a delivery refers to. Raises UsageError, MissingSecretError, SecretsAwayError."""
        return await self._held(session).secrets(session, request)

    def require(self, session: str) -> None:
        """Raise SessionOverError for a session that was begun with another token."""
        self._held(session)

    def leave(self, session: str) -> None:
        """End the session."""
        self._held(session).leave(session)

    def _held(self, session: str) -> WorkerBroker:
        self._broker.require_holder(session, self._caller.token or "")
        return self._broker


class WorkerSupervision:
    """What an operator may ask of all workers.

    Raises ForbiddenError for an admin of some namespaces alone: workers are shared by all.
    """

    def __init__(self, parts: ServerParts, caller: Caller) -> None:
        assert parts.workers is not None  # as above
        if not caller.may("admin", EVERYWHERE):
            raise ForbiddenError(f"{caller.name} may not look after workers", hint="it needs the role admin in all namespaces")
        self._broker = parts.workers

    def workers(self) -> list[WorkerView]:
        """List workers, and what each carries out."""
        return workers_of(self._broker, self._broker.clock.now())

    def reasons(self) -> Mapping[str, int]:
        """Say why attempts wait, and how many for each reason."""
        return reasons_of(self._broker)

    def drain(self, worker: str, grace_s: float) -> int:
        """Give a worker, by its name or session, no more work. Returns how many there are. Raises ApiError (404)."""
        found = sessions_named(self._broker, worker)
        if not found:
            known = sorted({one.worker for one in self._broker.fleet.state.sessions.values()})
            hint = did_you_mean(worker, known, f"connected: {', '.join(known) or 'none'}")
            raise ApiError(404, "worker-unknown", f"no worker {worker!r} is connected", hint=hint)
        for one in found:
            self._broker.drain(one, grace_s)
        return len(found)
