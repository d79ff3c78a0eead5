"""The deliveries that a worker has, and what is to be reported of them: what the pool reports comes in here.

Law: a delivery is held until its report has arrived, a result until it is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Literal

from msgspec import Struct

from aether_protocol.errors import PortError
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.ports.worker import (
    DiedReport,
    LogReport,
    ProgressReport,
    Receipt,
    ResultReport,
    ReturnedReport,
    SecretName,
    SecretText,
    WorkReport,
)
from aether_protocol.worker.artifacts import ArtifactCarrier, Move
from aether_protocol.worker.delivery_spans import DeliverySpans
from aether_protocol.worker.outbox import Outbox

HeldState = Literal["running", "stopping", "ended"]
Ask = Callable[[str, Sequence[SecretName]], Awaitable[Sequence[SecretText]]]


class HeldDelivery(Struct, eq=False):
    """A delivery that runs, is being stopped, or has ended and its report is not taken yet."""

    token: str
    namespace: str = DEFAULT_NAMESPACE
    state: HeldState = "running"
    has_result: bool = False


class HeldDeliveries:
    """See `worker.pool.PoolObserver`.

    Args:
        outbox: collects what is to be reported.
        ask: gets the texts of secrets for a delivery.
        carrier: moves artifacts for a delivery; None: this worker has none.
        spans: makes spans of the deliveries; None: they are not traced.
    """

    def __init__(
        self, outbox: Outbox, ask: Ask, carrier: ArtifactCarrier | None = None, *, spans: DeliverySpans | None = None
    ) -> None:
        self.freed = asyncio.Event()  # set when one more may be taken
        self._outbox = outbox
        self._ask = ask
        self._carrier = carrier
        self._spans = spans
        self._held: dict[str, HeldDelivery] = {}

    def __len__(self) -> int:
        return len(self._held)

    @property
    def tokens(self) -> list[str]:
        """All that are held."""
        return list(self._held)

    @property
    def are_reported(self) -> bool:
        """Whether all that was to be reported has arrived, logs among it."""
        return self._outbox.is_empty() and self._outbox.logs.is_empty()

    @property
    def results(self) -> list[str]:
        """Those that have ended, whose results are kept until they are recorded."""
        return [one.token for one in self._held.values() if one.has_result]

    @property
    def running(self) -> list[HeldDelivery]:
        """Those that take a slot: they run, or are being stopped."""
        return [one for one in self._held.values() if one.state != "ended"]

    def get(self, token: str) -> HeldDelivery | None:
        return self._held.get(token)

    def add(self, token: str, assignment: dict[str, Any]) -> bool:
        """Hold a new delivery; False: it is held already."""
        if token in self._held:
            return False
        self._held[token] = HeldDelivery(token, str(assignment.get("namespace") or DEFAULT_NAMESPACE))
        if self._spans is not None:
            self._spans.begun(token, assignment)
        return True

    def drop_without_result(self) -> list[str]:
        """Drop all that gave no result, since the lease ends: others may have them. Returns those that are to be killed."""
        dropped = [one for one in self._held.values() if not one.has_result]
        for one in dropped:
            del self._held[one.token]
            if self._spans is not None:
                self._spans.returned(one.token)
        self._outbox.forget({one.token for one in dropped})
        self.freed.set()
        return [one.token for one in dropped if one.state != "ended"]

    def taken(self, report: WorkReport, receipt: Receipt) -> None:
        """A report arrived; results that are not recorded yet are kept, and sent again, and so are logs that are not stored."""
        recorded = receipt.recorded
        self._outbox.logs.acknowledged(receipt.logged)
        for token in [*recorded, *(one.token for one in report.died), *(one.token for one in report.returned)]:
            self._held.pop(token, None)
        done = set(recorded)
        for result in report.results:
            if result.token not in done:
                self._outbox.add_result(result, later=True)
        self.freed.set()

    # --- Observer ---

    def started(self, token: str) -> None:
        if token in self._held:
            self._outbox.add_started(token)

    def logged(self, token: str, stream: Literal["stdout", "stderr"], offset: int, text: str) -> None:
        if token in self._held:
            self._outbox.add_log(LogReport(token=token, stream=stream, offset=offset, text=text))

    def progressed(self, token: str, details: Any) -> None:
        if token in self._held:
            self._outbox.add_progress(ProgressReport(token=token, details=details))

    def finished(self, token: str, result: dict[str, Any]) -> None:
        if self._end(token) is not None:
            self._held[token].has_result = True
            if self._spans is not None:
                self._spans.finished(token, int(result.get("code") or 0))
            self._outbox.add_result(ResultReport(token=token, result=result))

    def died(self, token: str, reason: str) -> None:
        before = self._end(token)
        if self._spans is not None:
            self._spans.returned(token) if before == "stopping" else self._spans.died(token, reason)
        if before == "stopping":
            self._outbox.add_returned(ReturnedReport(token=token, reason="it was stopped"))
        elif before is not None:
            self._outbox.add_died(DiedReport(token=token, reason=reason))

    def returned(self, token: str, reason: str, *, refused: bool = False) -> None:
        if self._end(token) is not None:
            if self._spans is not None:
                self._spans.returned(token)
            self._outbox.add_returned(ReturnedReport(token=token, reason=reason, refused=refused))

    async def secrets(self, token: str, wanted: Sequence[SecretName]) -> Sequence[SecretText]:
        return await self._ask(token, wanted)

    async def artifact(self, token: str, move: Move, digest: str) -> None:
        if self._carrier is None:
            raise PortError("this worker has no place for artifacts")

        held = self._held.get(token)
        if held is None:
            raise PortError("the attempt was stopped")

        def wanted() -> bool:
            one = self._held.get(token)
            return one is not None and one.state == "running"

        await self._carrier.move(token, move, digest, wanted, namespace=held.namespace)

    def _end(self, token: str) -> HeldState | None:
        """What the state was of a delivery that does not run any more; None: it is not held, or had ended."""
        one = self._held.get(token)
        if one is None or one.state == "ended":
            return None
        before, one.state = one.state, "ended"
        self.freed.set()
        return before
