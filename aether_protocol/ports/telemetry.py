"""The telemetry ports: where measures and spans go. The engine does not know them: `adapters.telemetry` wraps other ports and
watches steps.

A span is a value that is made when it has ended, of what was recorded: nothing is open in a tracer, so a run may sleep for days
or change its engine, and the span that it gets in the end is the same wherever it is made (`views.spans`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, Protocol

from msgspec import Struct

from aether_protocol.ports.trace_context import TraceContext

Attributes = Mapping[str, str | int | bool]
SpanKind = Literal["internal", "server", "consumer"]


class CallMeter(Protocol):
    """Takes measures; must not raise, and must not wait."""

    def observe(self, name: str, seconds: float, labels: Mapping[str, str]) -> None:
        """Count one call of `name`, which took so long. `labels` are few and of few values."""
        ...

    def appended(self, steps: int, fenced: int) -> None:
        """Count an append to the store.

        Args:
            steps: how many it had, of all runs.
            fenced: of how many runs it was refused, since another writer was first.
        """
        ...


class SpanEvent(Struct, frozen=True, gc=False):
    """Something that happened in a span, at an instant in microseconds since the epoch."""

    name: str
    at: int


class TraceSpan(Struct, frozen=True):
    """A span that has ended. `begin` and `end` are microseconds since the epoch; `error` says why it did not go well, and is
    empty where that is all that is known; None: it went well. `links` are spans of other traces that it follows."""

    name: str
    context: TraceContext
    parent: str | None  # the id of the span above, in the same trace
    begin: int
    end: int
    attributes: Attributes = MappingProxyType({})
    kind: SpanKind = "internal"
    error: str | None = None
    events: Sequence[SpanEvent] = ()
    links: Sequence[TraceContext] = ()


class TracerParts(Struct, frozen=True, kw_only=True):
    """What a tracer is made with: the version of this package; the name of the service, that of this `component` unless given;
    headers for its backend; the share of the traces that begin here to be recorded, from 0 to 1 (None: as the environment
    says)."""

    version: str
    service: str | None = None
    component: str = "aether"
    headers: Mapping[str, str] = MappingProxyType({})
    sample: float | None = None


class Tracer(Protocol):
    """Takes spans; must not raise, and must not wait."""

    def samples(self, trace_id: str) -> bool:
        """Say whether a trace that begins here is recorded; always the same of one id."""
        ...

    def ended(self, span: TraceSpan) -> None:
        """Take a span. The same one may come again: of two with one id the later one counts."""
        ...

    def close(self, timeout_s: float) -> None:
        """Send what is left, for so long at most; the only method that waits."""
        ...
