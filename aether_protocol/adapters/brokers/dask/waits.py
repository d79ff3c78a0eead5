"""How long attempts wait for a Dask worker: `extensions.placement.waitAtMost`, from the first offer of an attempt on.

Law: what has begun is not given up; whether it has, its flag at the scheduler says. What no worker fits is refused, and its
wait counts from offer to offer. What an engine before this one offered waits without a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from aether_protocol.adapters.brokers.dask.background import DaskWork
from aether_protocol.adapters.brokers.dask.cluster import AwayError, DaskCluster
from aether_protocol.adapters.brokers.dask.deliveries import DaskDeliveries, DaskDelivery
from aether_protocol.adapters.brokers.endings import Endings
from aether_protocol.ports.wire import AttemptRef

__all__ = ["DaskWaits"]

AGAIN_S: Final = 0.5  # while that cannot be said
OLD_S: Final = 600.0  # what was refused, and was not offered again since then, is not wanted
MANY: Final = 1_000
_OVER: Final = "no worker took it within its `waitAtMost`"


class DaskWaits:
    """Args:
    cluster, deliveries, work, endings: those of the broker.
    stop: stops deliveries.
    """

    def __init__(
        self,
        cluster: DaskCluster,
        deliveries: DaskDeliveries,
        work: DaskWork,
        endings: Endings,
        *,
        stop: Callable[[Sequence[DaskDelivery]], Coroutine[Any, Any, None]],
    ) -> None:
        self._cluster = cluster
        self._deliveries = deliveries
        self._work = work
        self._endings = endings
        self._stop = stop
        self._loop = asyncio.get_running_loop()
        self._due: dict[AttemptRef, float] = {}

    def begin(self, delivery: DaskDelivery) -> None:
        """An attempt waits from now on, if it does not yet."""
        asked = delivery.assignment.placement
        if asked is None or asked.wait_at_most_us is None:
            return
        now = self._loop.time()
        if len(self._due) > MANY:
            self._due = {ref: due for ref, due in self._due.items() if now - due < OLD_S}
        due = self._due.setdefault(delivery.ref, now + asked.wait_at_most_us / 1e6)
        self._loop.call_at(due, self._look, delivery)

    def end(self, ref: AttemptRef) -> None:
        """An attempt waits no longer."""
        self._due.pop(ref, None)

    def refused(self, reasons: Mapping[AttemptRef, str]) -> dict[AttemptRef, str]:
        """Make Errors of those whose wait is over. Returns the others."""
        left: dict[AttemptRef, str] = {}
        for ref, reason in reasons.items():
            if self._due.get(ref, self._loop.time() + 1.0) <= self._loop.time():
                self.end(ref)
                self._endings.fail(ref, f"{_OVER}: {reason}")
            else:
                left[ref] = reason
        return left

    def _look(self, delivery: DaskDelivery) -> None:
        if not self._waits(delivery):
            return
        if delivery.has_slot and delivery.future is None:  # it is being submitted, and may be refused
            self._loop.call_later(AGAIN_S, self._look, delivery)
        else:
            self._work.begin(self._settle(delivery))

    def _waits(self, delivery: DaskDelivery) -> bool:
        is_here = self._deliveries.find(delivery.key) is delivery
        return is_here and not delivery.worker and delivery.ended is None and not delivery.stopped

    async def _settle(self, delivery: DaskDelivery) -> None:
        try:
            begun = delivery.future is not None and await self._cluster.has_begun(delivery.name)
        except AwayError:
            self._loop.call_later(AGAIN_S, self._look, delivery)
            return
        if not begun and self._waits(delivery):
            self.end(delivery.ref)
            self._work.begin(self._stop([delivery]))
            self._endings.fail(delivery.ref, _OVER)
