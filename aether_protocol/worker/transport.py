"""How a worker talks to its server: the messages of `ports.worker`, over whatever transport."""

from __future__ import annotations

from typing import Protocol

from aether_protocol.errors import PortError, UsageError
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


class TransportError(PortError):
    """The server cannot be reached, or answers with an error of its own: to be tried again."""


class UnreachableError(TransportError):
    """Nothing takes a connection at the address of the server."""


class RefusedError(UsageError):
    """The server refuses the worker for good (another protocol, a token that is not valid): trying again does not help."""


class SessionEndedError(Exception):
    """The server does not know the session any more: say hello again."""


class WorkerTransport(Protocol):
    """Each method sends one message and returns its answer.

    Raises TransportError, RefusedError, SessionEndedError.
    """

    async def hello(self, hello: Hello) -> Welcome: ...

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders: ...

    async def beat(self, session: str, beat: BeatMessage) -> Orders: ...

    async def report(self, session: str, report: WorkReport) -> Receipt: ...

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer: ...

    async def leave(self, session: str) -> None: ...

    async def close(self) -> None: ...
