"""What carries attempts out for a supervisor, and what it reports of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal, Protocol

from aether_protocol.ports.worker import SecretName, SecretText
from aether_protocol.worker.artifacts import Move

STOPPED: Final = "it was stopped"


class PoolObserver(Protocol):
    """The supervisor, as its pool sees it. Called on the event loop's thread."""

    def started(self, token: str) -> None: ...

    def logged(self, token: str, stream: Literal["stdout", "stderr"], offset: int, text: str) -> None: ...

    def progressed(self, token: str, details: Any) -> None: ...

    def finished(self, token: str, result: dict[str, Any]) -> None:
        """An attempt gave a result (schemas/task-result.schema.json)."""
        ...

    def died(self, token: str, reason: str) -> None:
        """What carried this attempt out, and nothing else, is dead."""
        ...

    def returned(self, token: str, reason: str, *, refused: bool = False) -> None:
        """An attempt is not carried out any more, through no fault of its own; STOPPED where it was to be stopped.
        `refused`: what is needed for it cannot be had now: it is offered again after a while."""
        ...

    async def secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        """Ask the server. Raises PortError, UsageError."""
        ...

    async def artifact(self, token: str, move: Move, digest: str) -> None:
        """Bring an artifact to this machine, or send it to the server. Raises PortError, UsageError."""
        ...


class AttemptPool(Protocol):
    """Carries out attempts, each named by its token."""

    def start(self, observer: PoolObserver) -> None: ...

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        """Carry out an attempt (schemas/task-assignment.schema.json)."""
        ...

    def stop(self, token: str) -> None:
        """Stop an attempt in its own time: it may tidy up."""
        ...

    def kill(self, token: str) -> None:
        """End an attempt at once."""
        ...

    async def close(self) -> None:
        """End everything."""
        ...
