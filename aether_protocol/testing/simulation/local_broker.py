"""The local broker as a simulated process has it: the real one, with slots, its executors on the world's clock.

Law: not more attempts are at work at once than there are slots, and none beside another one of its task run; what leaves an
attempt holds no secret (its engine masks it once more, which must not be what hides it). `faulty`: between
engine and broker messages are lost, doubled, delayed, reordered and refused; else they are calls, as in a process of today.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.broker import Broker, Holding, LogPart, ResultSink, Stored
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.simulation.document_generator import EXECUTOR
from aether_protocol.testing.simulation.workers import (
    PASSWORD,
    SECOND,
    BrokerProcess,
    Outages,
    SimulatedBroker,
    SimWorkers,
    acknowledgement,
    copied,
    deed_of,
)


class SlottedBroker:
    """See `ports.broker.Broker`. It is the executor of its own broker, and that one's sink. `slots` 0: no limit."""

    type: Final = ExecutorType(EXECUTOR, "Anything.", open_config=True, open_outputs=True)
    mode: Mode = "async"

    def __init__(self, workers: SimWorkers, host: BrokerProcess, slots: int, *, faulty: bool) -> None:
        self.sink: ResultSink
        self._workers = workers
        self._host = host
        self._slots = slots
        self._faulty = faulty
        self._at_work: Counter[str] = Counter()
        self._late: set[asyncio.Future[Any]] = set()
        self._outages = Outages(workers, host)
        self._inner = LocalBroker([self], workers.clock, concurrency=slots, secrets=workers.secrets.providers)
        self._inner.start(self)

    # --- Broker ---

    @property
    def busy(self) -> int:
        return self._inner.busy

    async def quiet(self) -> None:
        await self._inner.quiet()

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def room(self) -> int | None:
        return self._inner.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        refused = self._outages.refuses(batch) if self._faulty else {}
        at_once = [task for task in self._outages.sent(batch, refused) if self._arrives(task)]
        await self._inner.dispatch(at_once)
        return refused

    def _arrives(self, task: TaskAssignment) -> bool:
        """Whether it is there now: else it comes later, or never."""
        chaos, workers = self._workers.chaos, self._workers
        if not self._faulty:
            return True
        if chaos.strikes("assignment-lost"):
            return False
        arrived = False
        for _ in range(2 if chaos.strikes("assignment-doubled") else 1):
            delay = workers.delay()
            if delay or arrived:
                workers.later(delay, lambda: self._arrive_late(task))
            else:
                arrived = True
        return arrived

    def _arrive_late(self, task: TaskAssignment) -> None:
        if not self._host.dead:
            late = asyncio.ensure_future(self._inner.dispatch([task]))
            self._late.add(late)
            late.add_done_callback(self._late.discard)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if not self._host.dead:
            await self._inner.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        if not self._host.dead:
            await self._inner.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        if self._host.dead or (self._faulty and self._outages.away()):
            return {}
        return await self._inner.held(refs)

    async def close(self) -> None:
        await self._inner.close()

    def _report(self, result: TaskResult) -> None:
        """A result on its way to the engine."""
        chaos, workers = self._workers.chaos, self._workers
        loss = workers.loss()
        if loss is not None:
            self.sink.lost(result.ref, *loss)
            return
        if chaos.strikes("result-lost"):
            return
        for _ in range(2 if chaos.strikes("result-doubled") else 1):
            delay = workers.delay()
            if delay:
                workers.later(delay, lambda: None if self._host.dead else self._give(result))
            else:
                self._give(result)

    def _give(self, result: TaskResult) -> None:
        self._hides(str(result))
        self.sink.finished(copied(result), acknowledgement(self._host, result.ref))

    # --- the executor ---

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        key = task.task_run_id
        self._at_work[key] += 1
        count = self._at_work.total()
        self._host.demanded(not self._slots or count <= self._slots, "slots hold", f"{count} at work, {self._slots} slots")
        self._host.demanded(self._at_work[key] == 1, "a task run is never at work beside itself", f"{key}")
        try:
            deed = deed_of(self._workers.seed, task)
            if deed.says:
                context.log(deed.says)
            if deed.duration:
                await context.sleep(deed.duration / SECOND)
            self._workers.shelf.give(deed.result.artifacts)
            return deed.result
        finally:
            self._at_work[key] -= 1

    # --- the broker's sink ---

    def started(self, ref: AttemptRef) -> None:
        if not self._host.dead:
            self.sink.started(ref)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        if self._host.dead:
            return
        if self._faulty:
            self._report(result)
        else:
            self._give(result)

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        self._hides(text)
        if not self._host.dead:
            self.sink.logged(ref, stream, text, offset, part=part)

    def _hides(self, text: str) -> None:
        """See that a secret is masked where the attempt runs, and not only by its engine."""
        self._host.demanded(PASSWORD not in text, "secrets stay hidden", "an attempt tells the password")

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        if not self._host.dead:
            self.sink.heartbeat(ref, details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        if not self._host.dead:
            self.sink.lost(ref, reason, blamed)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        if not self._host.dead:
            self.sink.brought(ref, unwanted)

    def ready(self) -> None:
        if not self._host.dead:
            self.sink.ready()


def broker_of(number: int, workers: SimWorkers, host: BrokerProcess, slots: int | None, *, faulty: bool) -> Broker:
    """The broker of a process: the local one with `slots`, or one whose workers are elsewhere."""
    if slots is None:
        return SimulatedBroker(number, workers, host)
    return SlottedBroker(workers, host, slots, faulty=faulty)
