"""The Broker port: takes assignments to workers and brings back what they say. Delivery is at least once, in any order.

Law: a broker decides nothing about a run. It calls its sink from the event loop's thread only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult


class ResultSink(Protocol):
    """The engine's ear."""

    def started(self, ref: AttemptRef) -> None:
        """A worker confirmed the start of an attempt (may be left out: a result implies it)."""
        ...

    def finished(self, result: TaskResult) -> None:
        """An attempt returned."""
        ...

    def logged(self, ref: AttemptRef, stream: Literal["stdout", "stderr"], text: str) -> None:
        """An executor wrote to the run's log. Called from any thread."""
        ...

    def failed(self, error: BaseException, run_id: str | None = None) -> None:
        """The broker itself broke; no run may hang on it. Without `run_id` every unfinished run is lost."""
        ...


class Broker(Protocol):
    """Raises PortError from `start` and `dispatch` when the outside fails."""

    @property
    def busy(self) -> int:
        """Attempts under way that need no time to pass: those that run and do not wait in `context.sleep()`."""
        ...

    async def quiet(self) -> None:
        """Return once `busy` is 0."""
        ...

    def start(self, sink: ResultSink) -> None: ...

    def dispatch(self, assignments: Sequence[TaskAssignment]) -> None:
        """Queue these, higher priority first, then in this order (SCHED-11)."""
        ...

    def stop(self, ref: AttemptRef) -> None:
        """Drop the attempt if it waits, tell it to stop if it runs. Unknown ones are ignored."""
        ...

    async def close(self) -> None:
        """Stop everything that runs and wait until it has stopped."""
        ...
