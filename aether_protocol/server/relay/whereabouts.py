"""Where is an attempt of a run that came from another server? All servers are asked, so that what only waited there is offered
here at once, and not after the time that workers have to come back.

Law: an attempt is nowhere where each server that lives answered that it has not got it, and each worker that may hold attempts
is at one of these servers. It is asked again by the engine, so an answer that is lost costs a moment.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.server.relay.whole_fleet import WholeFleet

MOST: Final = 1_000  # attempts in one question
MOST_KEPT: Final = 100_000  # answers that wait for the engine's next question


class Whereabouts:
    """Looks for attempts that the broker of this server cannot account for.

    Args:
        broker: that of this server.
        fleet: asks the others.
        expected: gives the names of the workers that may hold attempts and have not shown them here.
    """

    def __init__(self, broker: WorkerBroker, fleet: WholeFleet, expected: Callable[[], frozenset[str]]) -> None:
        self._broker = broker
        self._fleet = fleet
        self._expected = expected
        self._sought: dict[AttemptRef, None] = {}
        self._looking: asyncio.Task[None] | None = None
        broker.sought = self.seek

    def seek(self, refs: Sequence[AttemptRef]) -> None:
        """Look for these; those that are nowhere are known to the broker when the engine asks again."""
        self._sought.update(dict.fromkeys(refs))
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(), name="aether-whereabouts")

    async def close(self) -> None:
        """Look for nothing more."""
        self._broker.sought = None
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        try:
            while self._sought:
                refs = list(self._sought)[:MOST]
                found = await self._fleet.held(refs)
                if not (self._expected().difference(found.spoken_for)):
                    if len(self._broker.nowhere) > MOST_KEPT:
                        self._broker.nowhere.clear()  # of runs that were dropped meanwhile; what is wanted is asked for again
                    self._broker.nowhere |= {ref for ref in refs if ref not in found.held}
                for ref in refs:
                    del self._sought[ref]
        finally:
            self._looking = None
