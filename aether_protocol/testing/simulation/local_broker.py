"""The local broker as a simulated process has it: the real one, with slots, its executors on the world's clock.

Law: not more attempts are at work at once than there are slots, and none beside itself. `faulty`: between engine and broker
messages are lost, doubled, delayed and reordered; else they are calls, as in a process of today.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Literal

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.errors import PortError
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.broker import Broker, ResultSink
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.simulation.document_generator import EXECUTOR
from aether_protocol.testing.simulation.workers import SECOND, Host, SimulatedBroker, Workers, copied, deed_of


class SlottedBroker:
    """See `ports.broker.Broker`. It is the executor of its own broker, and that one's sink. `slots` 0: no limit."""

    type: Final = ExecutorType(EXECUTOR, "Anything.", open_config=True, open_outputs=True)
    mode: Mode = "async"

    def __init__(self, workers: Workers, host: Host, slots: int, *, faulty: bool) -> None:
        self.sink: ResultSink
        self._workers = workers
        self._host = host
        self._slots = slots
        self._faulty = faulty
        self._at_work: Counter[AttemptRef] = Counter()
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

    def dispatch(self, assignments: Sequence[TaskAssignment]) -> None:
        at_once: list[TaskAssignment] = []
        for task in assignments:
            if self._host.dead:
                return
            if self._workers.chaos.strikes("crash-before-dispatch"):
                self._host.die()
                raise PortError("the process was killed")
            self._host.dispatched(task)
            if self._faulty:
                self._carry("assignment", lambda task=task: self._inner.dispatch([task]))  # type: ignore[misc]
            else:
                at_once.append(task)
        self._inner.dispatch(at_once)

    def stop(self, ref: AttemptRef) -> None:
        if not self._host.dead:
            self._inner.stop(ref)

    async def close(self) -> None:
        await self._inner.close()

    def _carry(self, what: Literal["assignment", "result"], deliver: Callable[[], None]) -> None:
        """A message on its way."""
        chaos, workers = self._workers.chaos, self._workers
        if chaos.strikes(f"{what}-lost"):
            return
        for _ in range(2 if chaos.strikes(f"{what}-doubled") else 1):
            delay = workers.delay()
            if delay:
                workers.later(delay, lambda: None if self._host.dead else deliver())
            else:
                deliver()

    # --- the executor ---

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        key = task.ref
        self._at_work[key] += 1
        count = self._at_work.total()
        self._host.demanded(not self._slots or count <= self._slots, "slots hold", f"{count} at work, {self._slots} slots")
        self._host.demanded(self._at_work[key] == 1, "an attempt is never at work beside itself", f"{key}")
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

    def finished(self, result: TaskResult) -> None:
        if self._host.dead:
            return
        if self._faulty:
            self._carry("result", lambda: self.sink.finished(copied(result)))
        else:
            self.sink.finished(copied(result))

    def logged(self, ref: AttemptRef, stream: Literal["stdout", "stderr"], text: str) -> None:
        if not self._host.dead:
            self.sink.logged(ref, stream, text)

    def failed(self, error: BaseException, run_id: str | None = None) -> None:
        self.sink.failed(error, run_id)


def broker_of(number: int, workers: Workers, host: Host, slots: int | None, *, faulty: bool) -> Broker:
    """The broker of a process: the local one with `slots`, or one whose workers are elsewhere."""
    if slots is None:
        return SimulatedBroker(number, workers, host)
    return SlottedBroker(workers, host, slots, faulty=faulty)
