"""Turn what brokers report (`ports.broker.ResultSink`) into events in the inbox, and acknowledge results once stored.

Law: what is late, double, unknown or of another epoch changes nothing (SCHED-12), and is acknowledged all the same, in its
turn: after what came before it is stored.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
from collections.abc import Callable, Mapping
from typing import Final, Literal

from msgspec.structs import replace

from aether_protocol.engine.active_run import ActiveRun, Delivery
from aether_protocol.engine.dispatch.deliveries import Deliveries
from aether_protocol.engine.dispatch.late_logs import LateLogs
from aether_protocol.engine.inbox import NO_TIME, Reply
from aether_protocol.engine.logs import Logs
from aether_protocol.engine.outside import OutsideAnswers
from aether_protocol.execution.context import sealed
from aether_protocol.execution.masking import MASK
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import TaskDef
from aether_protocol.ports.broker import LogPart, Stored
from aether_protocol.ports.wire import AttemptRef, TaskResult, cut_known
from aether_protocol.scheduler.events import MOST_DEATHS, AttemptLost, Event, TaskFinished, TaskStarted
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.outstanding import goes_on

Put = Callable[[ActiveRun, Event | None, Reply | None], None]
Stranger = Callable[[str, Stored], None]

_HOW: Final = r"(?:signal|exit code) [0-9]{1,3}\b"
_MOST_OF_REASON: Final = 4096  # characters of how an attempt was lost, from its end but for the first line


class Reports:
    """`put` is the way into the inbox; `stranger` takes the acknowledgement of a result whose run this engine does not have, or
    has given up, `late_logs` the logs of such a run. `outside` hides the secrets of a run in what its processes wrote,
    and keeps reports back until these are known; `most_deaths` in a row of one attempt's process are an Error."""

    def __init__(
        self,
        runs: Mapping[str, ActiveRun],
        deliveries: Deliveries,
        logs: Logs,
        put: Put,
        stranger: Stranger,
        *,
        outside: OutsideAnswers,
        late_logs: LateLogs,
        most_deaths: int = MOST_DEATHS,
    ) -> None:
        self._runs = runs
        self._deliveries = deliveries
        self._logs = logs
        self._put = put
        self._stranger = stranger
        self._mask = outside.mask_then
        self._known = outside.known
        self._holds = outside.holds
        self._most_deaths = most_deaths
        self._late_logs = late_logs
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """On the loop's thread, before anything is reported."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()

    def close(self) -> None:
        """Leave the logs that are looked up."""
        self._late_logs.close()

    def find(self, ref: AttemptRef) -> Delivery | None:
        """The attempt, where it is dispatched and has not come back."""
        run = self._runs.get(ref.run_id)
        delivery = run.open.get(ref.path) if run is not None else None
        return delivery if delivery is not None and (delivery.ref is ref or delivery.ref == ref) else None

    # --- ResultSink ---

    def started(self, ref: AttemptRef) -> None:
        delivery = self.find(ref)
        if delivery is not None:
            self._known(delivery.run)  # by the time that it says something, providers may have answered
            self._put(delivery.run, TaskStarted(NO_TIME, delivery.node, ref.attempt, "broker"), None)

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        delivery = self.find(ref)
        if delivery is not None and not self._holds(delivery.run, lambda: None):  # it is said again
            masker = self._known(delivery.run)
            delivery.details = details if masker is None else masker.value(details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        delivery = self.find(ref)
        if delivery is not None and not self._holds(delivery.run, lambda: self.lost(ref, reason, blamed)):
            self.gone(delivery, reason, blamed)

    def gone(self, delivery: Delivery, reason: str, blamed: bool) -> None:
        """An attempt has to be repeated. `blamed` counts against it (SCHED-9)."""
        run = delivery.run
        node = run.state.nodes[delivery.node]
        if isinstance(node, TaskNode):
            self._logs.mark_loss(run, node)
            event = AttemptLost(NO_TIME, node.id, delivery.ref.attempt, "broker", blamed, goes_on(node))
            if not blamed:
                self._put(run, event, None)
                return

            def put(masked: str) -> None:
                how = re.match(_HOW, reason) if masked == MASK else None  # a number tells no secret
                event.reason = _shortened(masked if how is None else f"{how[0]}\n{MASK}")
                event.most = self._most_deaths
                self._put(run, event, None)

            self._mask(run, reason, put)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        ref = result.ref
        run = self._runs.get(ref.run_id)
        delivery = None if run is None else run.open.get(ref.path)
        if run is None or delivery is None or (delivery.ref is not ref and delivery.ref != ref):
            if stored is not None:
                if run is None or run.error is not None:  # nothing that is put into its inbox is dealt with any more
                    self._stranger(ref.run_id, stored)
                else:
                    self._put(run, None, stored)
            return
        if self._holds(run, lambda: self.finished(result, stored)):
            return
        del run.open[ref.path]
        delivery.dropped = True  # where it was refused, and came back all the same
        if result.artifacts or result.fetched:
            run.names_artifacts = True
        if self._deliveries.waiting:  # what came back may have left room
            self._deliveries.due = True
        result = self._hidden(delivery, result)
        self._put(run, TaskFinished(NO_TIME, delivery.node, result, "broker"), stored)

    def _hidden(self, delivery: Delivery, result: TaskResult) -> TaskResult:
        """The result, masked once more."""
        masker, target = self._known(delivery.run), delivery.run.state.nodes[delivery.node].call.target
        if masker is None or not isinstance(target, TaskDef):
            return result
        return replace(sealed(masker, target, result), fetched=result.fetched)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        run = self._runs.get(ref.run_id)
        if run is None or run.error is not None:
            self._stranger(ref.run_id, unwanted)
        elif self.find(ref) is None:
            unwanted()

    def ready(self) -> None:
        self._deliveries.ready()

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        if not self._logs.wanted and part is not None:
            part.stored()
        if self._loop is not None and self._logs.wanted:
            if threading.get_ident() == self._thread:
                self._logged(ref, stream, text, offset, part)
            else:
                with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who listened
                    self._loop.call_soon_threadsafe(self._logged, ref, stream, text, offset, part)

    def _logged(self, ref: AttemptRef, stream: str, text: str, offset: int | None, part: LogPart | None) -> None:
        run = self._runs.get(ref.run_id)
        delivery = self.find(ref)
        if run is not None and self._holds(run, lambda: self._logged(ref, stream, text, offset, part)):
            return
        if part is None and offset is not None and delivery is not None:
            if delivery.known is None:
                delivery.known = {}
            text = cut_known(delivery.known, stream, text, offset)
        node = run.find(ref.path) if run is not None else None  # logs may come after the result
        # An open run without this task run may be another engine's by now, and this one has not heard of it yet.
        elsewhere = run is None or run.error is not None or node is None
        if part is not None and (elsewhere or self._late_logs.holds(ref.run_id)):
            self._late_logs.take(ref, stream, text, offset or 0, part)
        elif run is not None and node is not None:
            masker = self._known(run)
            text = text if masker is None else masker.text(text)
            self._logs.take(run, node, ref.attempt, stream, text, part=part, offset=offset or 0)


def _shortened(reason: str) -> str:
    """Its first line, which says how, and the end of what follows."""
    how, _, lines = reason.partition("\n")
    how = how[:_MOST_OF_REASON]
    return f"{how}\n{lines[-_MOST_OF_REASON:]}" if lines else how
