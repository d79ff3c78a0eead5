"""Hints of a store with several servers: that something may have been asked or answered. They are lost, or come late.

Law: nothing depends on a hint: who listens looks now and then all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.workers import SECOND

_DELAYS: Final = (SECOND // 10, SECOND, 10 * SECOND)

Alive = Callable[[], bool]


class Hints:
    """Those of one store."""

    def __init__(self, clock: ManualClock, chaos: Chaos) -> None:
        self._clock = clock
        self._chaos = chaos
        self._ears: list[tuple[Alive, Callable[[], None]]] = []

    def listen(self, alive: Alive, heard: Callable[[], None]) -> Callable[[], None]:
        """Call `heard` after hints, until what is returned is called, or `alive` says no."""
        ear = alive, heard
        self._ears.append(ear)
        return lambda: self._ears.remove(ear) if ear in self._ears else None

    def give(self) -> None:
        """Let all who listen know that something happened."""
        self._ears = [ear for ear in self._ears if ear[0]()]
        for ear in self._ears:
            if self._chaos.strikes("hint-lost"):
                continue
            late = self._chaos.strikes("hint-late")
            delay = self._chaos.choose(*_DELAYS) if late else 0
            self._clock.call_at(self._clock.now() + delay, lambda ear=ear: ear[1]() if ear[0]() else None)  # type: ignore[misc]
