"""The telemetry ports: where measures and traces go. The engine does not know them: `adapters.telemetry` wraps other ports."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Protocol


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


class Tracer(Protocol):
    """Makes spans; must not raise, and must not wait."""

    def span(self, name: str, attributes: Mapping[str, str]) -> AbstractContextManager[object]:
        """Make a span that lasts as long as the context; what leaves it as an exception is its error."""
        ...

    def current(self) -> str | None:
        """Give the W3C `traceparent` of the current span, for what continues it elsewhere; None where there is none."""
        ...
