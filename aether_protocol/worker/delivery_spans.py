"""The spans of a worker: one for each delivery of a recorded trace, below the span of its attempt (RT-137).

It lasts from the arrival of the delivery to the moment at which there is something to report. A worker that is lost takes the
spans of what it had with it; those of the attempts, which engines make of their records, show that they were repeated.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any, Final

from msgspec import Struct

from aether_protocol.ports.telemetry import Tracer, TraceSpan
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.ports.worker import Hello

_ENDS: Final = {1: "Suspended", 2: "Failed", 3: "Error", 4: "Timeout"}  # by the code of a result


class _OpenDelivery(Struct):
    above: TraceContext
    begin: int
    assignment: dict[str, Any]


class DeliverySpans:
    """Makes the spans.

    Args:
        tracer: takes them.
        hello: what the worker says of itself.
        now: the time, in microseconds since the epoch.
    """

    def __init__(self, tracer: Tracer, hello: Hello, now: Callable[[], int]) -> None:
        self._tracer = tracer
        self._hello = hello
        self._now = now
        self._open: dict[str, _OpenDelivery] = {}

    def begun(self, token: str, assignment: dict[str, Any]) -> None:
        """A delivery has arrived."""
        above = TraceContext.read(assignment.get("traceContext"))
        if above is not None and above.sampled:
            self._open[token] = _OpenDelivery(above, self._now(), assignment)

    def finished(self, token: str, code: int) -> None:
        """There is a result."""
        self._end(token, "finished", _ENDS.get(code), is_error=code > 1)

    def died(self, token: str, reason: str) -> None:
        """The process of the attempt is gone; the first line of the reason says how."""
        self._end(token, "died", reason.partition("\n")[0][:100], is_error=True)

    def returned(self, token: str) -> None:
        """It is not carried out here, or not to its end."""
        self._end(token, "returned", None, is_error=False)

    def _end(self, token: str, outcome: str, phase: str | None, *, is_error: bool) -> None:
        one = self._open.pop(token, None)
        if one is None:
            return
        given = one.assignment
        attributes: dict[str, str | int | bool] = {
            "cicd.worker.name": self._hello.worker,
            "cicd.worker.id": self._hello.instance or self._hello.worker,
            "cicd.pipeline.task.name": str(given.get("taskName")),
            "cicd.pipeline.task.run.id": str(given.get("taskRunId")),
            "aether.attempt": int(given.get("attempt") or 1),
            "aether.executor.type": str(given.get("executorType")),
            "aether.outcome": outcome,
        }
        if is_error:
            attributes["error.type"] = phase or outcome
        own = sha256(f"delivery {one.above.trace_id} {token}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
        self._tracer.ended(
            TraceSpan(
                name=f"{given.get('taskName')} at worker",
                context=TraceContext(one.above.trace_id, own),
                parent=one.above.span_id,
                begin=one.begin,
                end=self._now(),
                attributes=attributes,
                kind="consumer",
                error=(phase or outcome) if is_error else None,
            )
        )
