"""A broker whose workers are elsewhere, in memory: what engines that come and go reach over a wire, with outages to order.

Law: every message crosses as bytes. Attempts outlive engines; a result is kept until it was acknowledged, and goes to the
engine that asked for its attempt last. Without an outage or a loss that was ordered, nothing is refused or lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.ports import wire_json as codec
from aether_protocol.ports.broker import Holding, LogPart, ResultSink, Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.wire import AttemptRef, StopMessage, Stream, TaskAssignment, TaskResult
from aether_protocol.testing.wire_broker import Wire, WireSink


class RemoteWorkers:
    """A queue and its workers, which no engine owns. It is the sink of its worker, which runs what every worker runs.

    Args:
        executors: What the workers can carry out.
        clock: On which executors sleep.
        concurrency: Attempts that run at once; None for as many as come.
        secrets: Asked by the workers for what assignments refer to.
    """

    def __init__(
        self,
        executors: Sequence[Executor],
        clock: Clock,
        *,
        concurrency: int | None = None,
        secrets: Sequence[SecretProvider] = (),
    ) -> None:
        self.away = False
        self.wire = Wire()
        self.worker = LocalBroker(executors, clock, concurrency=concurrency, secrets=secrets)
        self.brokers: list[RemoteBroker] = []
        self.sides: dict[str, RemoteBroker] = {}  # by run: the broker of the engine that drives it
        self.running: dict[str, AttemptRef] = {}  # by task run; what waits for a slot is among them
        self.results: dict[AttemptRef, TaskResult] = {}  # those that were not acknowledged
        self.losses: set[AttemptRef] = set()  # those that no engine heard of
        self.worker.start(self)

    def connect(self) -> RemoteBroker:
        """The broker of one more engine."""
        return RemoteBroker(self)

    def cut(self) -> None:
        """The queue cannot be reached from now on."""
        self.away = True

    def mend(self) -> None:
        """The queue can be reached again."""
        self.away = False
        self.ready()

    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        """An attempt ends without a result: with its worker, or (blamed) since its own child died."""
        if self.running.get(ref.task_run_id) == ref:
            del self.running[ref.task_run_id]
            await self.worker.stop([ref])
            reason = "its process was killed by signal 9" if blamed else "its worker does not answer"
            side = self.sides.get(ref.run_id)
            if side is not None:
                side.sink.lost(ref, reason, blamed)
            else:
                self.losses.add(ref)

    async def close(self) -> None:
        """Stop all workers."""
        await self.worker.close()

    # --- what brokers ask ---

    async def take(self, batch: Sequence[TaskAssignment], side: RemoteBroker) -> None:
        fresh = []
        for task in batch:
            ref = task.ref
            self.sides[ref.run_id] = side
            before = self.running.get(ref.task_run_id)
            if ref in self.results:
                self.report(ref)
            elif before is None or ref.is_after(before):
                self.running[ref.task_run_id] = ref
                fresh.append(task)
        await self.worker.dispatch(fresh)

    async def drop(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            self.results.pop(ref, None)
            if self.running.get(ref.task_run_id) == ref:
                del self.running[ref.task_run_id]
        await self.worker.stop(refs)

    def state_of(self, ref: AttemptRef, side: RemoteBroker) -> Holding:
        """What became of an attempt, which is reported to this side from now on."""
        self.sides[ref.run_id] = side
        if ref in self.results:
            asyncio.get_running_loop().call_soon(self.report, ref)
            return "held"
        if ref in self.losses:
            self.losses.discard(ref)
            return "lost"
        return "held" if self.running.get(ref.task_run_id) == ref else "unknown"

    def leave(self, side: RemoteBroker, refs: Sequence[AttemptRef] | None = None) -> None:
        """This side hears of these attempts no more; None: of none."""
        runs = set(self.sides) if refs is None else {ref.run_id for ref in refs}
        for run_id in runs:
            if self.sides.get(run_id) is side:
                del self.sides[run_id]

    def report(self, ref: AttemptRef) -> None:
        """Report a result that was not acknowledged."""
        result, side = self.results.get(ref), self.sides.get(ref.run_id)
        if result is not None and side is not None:
            side.sink.finished(result, partial(self.acknowledge, ref))

    def acknowledge(self, ref: AttemptRef) -> None:
        self.results.pop(ref, None)

    # --- the sink of the worker ---

    def started(self, ref: AttemptRef) -> None:
        if (side := self.sides.get(ref.run_id)) is not None:
            side.sink.started(ref)

    def logged(
        self, ref: AttemptRef, stream: Stream, text: str, offset: int | None = None, *, part: LogPart | None = None
    ) -> None:
        if (side := self.sides.get(ref.run_id)) is not None:
            side.sink.logged(ref, stream, text, offset, part=part)

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        if (side := self.sides.get(ref.run_id)) is not None:
            side.sink.heartbeat(ref, details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        self.running.pop(ref.task_run_id, None)
        if (side := self.sides.get(ref.run_id)) is not None:
            side.sink.lost(ref, reason, blamed)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        if self.running.get(result.ref.task_run_id) == result.ref:
            del self.running[result.ref.task_run_id]
            self.results[result.ref] = result
            self.report(result.ref)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        if (side := self.sides.get(ref.run_id)) is not None:
            side.sink.brought(ref, unwanted)

    def ready(self) -> None:
        for broker in self.brokers:
            broker.sink.ready()


class RemoteBroker:
    """The workers as one engine reaches them. See `ports.broker.Broker`."""

    def __init__(self, workers: RemoteWorkers) -> None:
        self.workers = workers
        self.sink: ResultSink

    @property
    def busy(self) -> int:
        return self.workers.worker.busy

    async def quiet(self) -> None:
        await self.workers.worker.quiet()

    def start(self, sink: ResultSink) -> None:
        self.sink = WireSink(sink, self.workers.wire)
        self.workers.brokers.append(self)

    def room(self) -> int | None:
        return self.workers.worker.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        if self.workers.away:
            return {task.ref: "the queue is away" for task in batch}
        carry = self.workers.wire.carry
        await self.workers.take([carry(task, codec.encode_assignment, codec.decode_assignment) for task in batch], self)
        return {}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if self.workers.away:
            raise PortError("the queue is away")
        carry = self.workers.wire.carry
        await self.workers.drop([carry(StopMessage(ref), codec.encode_stop, codec.decode_stop).ref for ref in refs])

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        self.workers.leave(self, refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {} if self.workers.away else {ref: self.workers.state_of(ref, self) for ref in refs}

    async def close(self) -> None:
        self.workers.leave(self)
        if self in self.workers.brokers:
            self.workers.brokers.remove(self)
