"""A transport without a network: to a broker in the same process. For the worker that a server brings along, and for tests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from aether_protocol.adapters.brokers.workers import SessionOverError, WorkerBroker
from aether_protocol.errors import AetherError
from aether_protocol.execution.secrets import MissingSecretError, SecretsAwayError
from aether_protocol.ports.telemetry import Tracer
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
from aether_protocol.worker.offers import Offers
from aether_protocol.worker.pipes import ChildSettings
from aether_protocol.worker.process import hello_of
from aether_protocol.worker.processes import ChildProcesses, environment_of_children
from aether_protocol.worker.supervisor import Supervisor
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError

_T = TypeVar("_T")


class DirectTransport:
    """See `worker.transport.WorkerTransport`. `namespaces`: those that the worker may serve; None: all."""

    def __init__(self, broker: WorkerBroker, namespaces: frozenset[str] | None = None) -> None:
        self._broker = broker
        self._namespaces = namespaces

    async def hello(self, hello: Hello) -> Welcome:
        try:
            return self._broker.hello(hello, namespaces=self._namespaces)
        except AetherError as error:
            raise RefusedError(error.message, hint=error.hint) from None

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await _answer(self._broker.poll(session, poll))

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        await asyncio.sleep(0)  # like every other transport it lets others run
        try:
            return self._broker.beat(session, beat)
        except SessionOverError:
            raise SessionEndedError from None

    async def report(self, session: str, report: WorkReport) -> Receipt:
        return await _answer(self._broker.report(session, report))

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        try:
            return await _answer(self._broker.secrets(session, request))
        except SecretsAwayError as error:
            raise TransportError(str(error)) from None
        except MissingSecretError as error:
            raise RefusedError(str(error)) from None

    async def leave(self, session: str) -> None:
        self._broker.leave(session)

    async def close(self) -> None:
        """Nothing is open."""


def embedded_worker(
    broker: WorkerBroker,
    *,
    slots: Mapping[str, int],
    offers: Offers,
    modules: Sequence[str] = (),
    workspaces: Path | None = None,
    artifacts: str = "",
    hidden: Sequence[str] = (),
    tracer: Tracer | None = None,
) -> Supervisor:
    """Make the worker that a server brings along: like any other, but for the way to its server.

    Args:
        broker: that of the server.
        slots: see `worker.Worker`.
        offers: the executors that it has, those of the modules among them.
        modules: what its children import before they work.
        workspaces: the folder below which attempts get their workspaces, which they share with the engine.
        artifacts: the folder or URL of the artifacts of the server's store.
        hidden: variables of the server's environment that its children do not get.
        tracer: that of the server, if it has one.
    """
    hello = hello_of(offers, f"{socket.gethostname()}-server", slots=slots)
    settings = ChildSettings(workspaces=str(workspaces or ""), artifacts=artifacts)
    pool = ChildProcesses(modules, environment_of_children(*hidden), settings=settings, inline=offers.inline)
    return Supervisor(DirectTransport(broker), pool, hello, tracer=tracer)


async def _answer(call: Awaitable[_T]) -> _T:
    try:
        return await call
    except SessionOverError:
        raise SessionEndedError from None
