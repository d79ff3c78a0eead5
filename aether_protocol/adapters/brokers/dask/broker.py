"""The broker for a Dask cluster (`ports.broker.Broker`); the package says how it works."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any, Final

import msgspec

from aether_protocol.adapters.brokers.dask.address import read_dask_url, require_scheduler
from aether_protocol.adapters.brokers.dask.background import DaskWork
from aether_protocol.adapters.brokers.dask.cluster import AwayError, DaskCluster
from aether_protocol.adapters.brokers.dask.deliveries import DaskDeliveries, DaskDelivery
from aether_protocol.adapters.brokers.dask.results import DaskResults, pass_on
from aether_protocol.adapters.brokers.dask.submission import DaskFinder, DaskSender, OrderParts
from aether_protocol.adapters.brokers.dask.tasks import topic_of
from aether_protocol.adapters.brokers.dask.waits import DaskWaits
from aether_protocol.adapters.brokers.endings import Endings
from aether_protocol.adapters.brokers.unserved import refusal, why_not
from aether_protocol.errors import why
from aether_protocol.ports.broker import BrokerParts, Holding, ResultSink
from aether_protocol.ports.wire import AttemptRef, TaskAssignment

__all__ = ["DaskBroker", "dask_broker_of_url"]

MOST: Final = 1_000  # tasks at the scheduler at a time, unless set otherwise: what waits here can be ordered and dropped
CONNECT_S: Final = 5.0  # how long a dispatch waits for a connection
STOP_S: Final = 10.0  # a child has 7 s to stop; after this its task run does not wait for word of it
UNBEGUN_S: Final = 1.0  # as long as a task may take from its start to its first look whether it is still wanted
CLOSE_S: Final = 5.0  # how long `close` waits for what is not needed at the scheduler to be deleted
_LOUD: Final = ("distributed.client", "distributed.core", "distributed.batched")  # with tracebacks of what is reported here

_PRIORITY: Final = attrgetter("priority")
_encode: Final = msgspec.json.Encoder().encode


class DaskBroker:
    """See `ports.broker.Broker`, and the package's docstring for how it works.

    Args:
        address: that of the scheduler, like `tcp://127.0.0.1:8786` or `tls://...` (certificates as Dask's configuration says).
        concurrency: how many tasks it has at the scheduler at a time; MOST unless given.
        modules: imported in each child process before it works, for their `executors` and `functions`.
        artifacts: the URL of the repository of artifacts, as Dask workers reach it; tasks with artifacts are refused without
            it.
    """

    def __init__(
        self, address: str, *, concurrency: int | None = None, modules: Sequence[str] = (), artifacts: str = ""
    ) -> None:
        self.address = address
        self._modules = tuple(modules)
        self._artifacts = artifacts
        self._engine = secrets.token_hex(8)
        self._deliveries = DaskDeliveries(self._engine, concurrency or MOST)
        self._work = DaskWork()
        self._cleaning = False
        self._closing = False
        self._cluster: DaskCluster
        self._sender: DaskSender
        self._finder: DaskFinder
        self._endings: Endings
        self._waits: DaskWaits
        self._loop: asyncio.AbstractEventLoop
        self.sink: ResultSink

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink, self._endings, self._loop = sink, Endings(sink), asyncio.get_running_loop()
        self._cluster = DaskCluster(self.address, hear=self._hear, connected=self._resume)
        results = DaskResults(self._cluster, self._deliveries, self, self._work)
        parts = OrderParts(self._engine, self._modules, self._artifacts)
        self._finder = DaskFinder(self._cluster, self._deliveries, results)
        self._sender = DaskSender(self._cluster, self._deliveries, results, parts)
        self._waits = DaskWaits(self._cluster, self._deliveries, self._work, self._endings, stop=self._stop)
        self._cluster.follow(topic_of(self._engine))
        self._cluster.start()

    def room(self) -> int | None:
        return self._deliveries.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        try:
            await self._cluster.wait(CONNECT_S)
        except AwayError as error:
            return {one.ref: str(error) for one in batch}
        begin: list[DaskDelivery] = []
        for assignment in sorted(batch, key=_PRIORITY, reverse=True):
            reason = why_not(assignment, self._artifacts)
            if reason is not None:
                self.sink.finished(refusal(assignment, reason))
            elif (delivery := self._take(assignment)) is not None:
                begin.append(delivery)
        return self._waits.refused(await self._sender.submit(begin))

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        try:
            await self._cluster.wait(CONNECT_S)
            await self._finder.look_for(refs)
            self._clean_soon()
        except AwayError:
            return {ref: "held" for ref in refs if self._deliveries.holds(ref)}
        return {ref: "held" if self._deliveries.holds(ref) else "unknown" for ref in refs}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        stopping: list[DaskDelivery] = []
        for ref in refs:
            self._endings.forget(ref)
            self._waits.end(ref)
            found = self._deliveries.withdraw(ref)
            if found is not None:
                stopping.append(found)
        await self._stop(stopping)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        for ref in refs:
            self._endings.forget(ref)
            found = self._deliveries.find(ref.task_run_id)
            if found is not None and found.ref == ref:
                self._deliveries.release(found)

    async def close(self) -> None:
        self._closing = True
        self._deliveries.clear()
        self._endings.close()
        with contextlib.suppress(AwayError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._clean_up()
        await self._work.close()
        for delivery in self._deliveries:
            self._deliveries.release(delivery)
        await self._cluster.close()

    # --- beginning ---

    def _take(self, assignment: TaskAssignment) -> DaskDelivery | None:
        """Take an attempt. Returns what is to be submitted now."""
        delivery = DaskDelivery(assignment.ref, assignment)
        before = self._deliveries.enter(delivery)
        if before is delivery:
            self._waits.begin(delivery)
            return delivery if self._deliveries.begins(delivery) else None
        if before.ref == assignment.ref and before.ended is not None and not before.stopped:
            self._report(before)  # its result waits to be stored
        elif before.follow(assignment) and not before.stopped:
            self._work.begin(self._stop([before]))  # the order to stop it was lost with its engine
        return None

    def _pump(self) -> None:
        """Begin what waits here, where there are slots."""
        if self._closing:
            return
        begin = self._deliveries.waiting()
        if begin:
            self._work.begin(self._begin(begin))
        self.sink.ready()

    async def _begin(self, deliveries: Sequence[DaskDelivery]) -> None:
        for ref, reason in self._waits.refused(await self._sender.submit(deliveries)).items():
            self._endings.returned(ref, reason)

    # --- results (`results.Taker`) ---

    def returned(self, delivery: DaskDelivery, ended: Mapping[str, Any]) -> None:
        """A task returned this."""
        if delivery.stopped:
            self._gone(delivery)
        elif ended["end"] == "again":
            self._lose(delivery, f"its Dask worker was lost{f' ({delivery.worker})' if delivery.worker else ''}")
        else:
            for news in ended.get("kept", ()):
                pass_on(self.sink, delivery, news)
            delivery.ended = ended
            self._report(delivery)

    def raised(self, delivery: DaskDelivery, error: Exception) -> None:
        """A task, or its scheduler, raised this: it came to no attempt."""
        if type(error).__name__ == "KilledWorker":
            self._lose(delivery, f"its Dask workers died before it began: {why(error)}")
            return
        text = f"its Dask task failed: {type(error).__name__}: {why(error)}{_advice(error)}"
        delivery.ended = {"end": "raised", "reason": text}
        self._report(delivery)

    async def cancelled(self, deliveries: Sequence[DaskDelivery]) -> None:
        """These tasks are not wanted any more, by this broker, with a connection that was lost, or by others."""
        left = [one for one in deliveries if not one.stopped and self._deliveries.has(one)]
        for delivery in await self._finder.attach(left):
            self._lose(delivery, "its task was cancelled at the Dask scheduler")

    def _report(self, delivery: DaskDelivery) -> None:
        assert delivery.ended is not None, "it ended"
        self._deliveries.release_slot(delivery)
        stored = partial(self._stored, delivery)
        if delivery.ended["end"] == "raised":
            self._endings.fail(delivery.ref, delivery.ended["reason"], stored)
        elif not self._endings.report(delivery.ref, delivery.ended, stored):
            self._gone(delivery)
        self._pump()

    def _stored(self, delivery: DaskDelivery) -> None:
        if self._deliveries.has(delivery):
            self._gone(delivery)

    def _lose(self, delivery: DaskDelivery, reason: str) -> None:
        future, stopped = delivery.future, delivery.stopped
        if future is not None:
            self._work.begin(self._cluster.cancel([future]))
        self._gone(delivery)
        if not stopped:
            self.sink.lost(delivery.ref, reason, False)

    def _gone(self, delivery: DaskDelivery) -> None:
        """A delivery is done with: nothing of it is needed at the scheduler."""
        self._waits.end(delivery.ref)
        successor = self._deliveries.drop(delivery)
        self._clean_soon()
        if successor is not None and not self._closing:
            taken = self._take(successor)
            if taken is not None:
                self._work.begin(self._begin([taken]))
        self._pump()

    def _clean_soon(self) -> None:
        if not self._cleaning and not self._closing and self._deliveries.has_over:
            self._cleaning = True
            self._work.begin(self._clean_up())

    async def _clean_up(self) -> None:
        """Delete what is not needed at the scheduler any more. What is not, for it is away, is when it is back."""
        try:
            while self._deliveries.has_over:
                dataset = self._deliveries.next_over()
                await self._cluster.delete(dataset)
                self._deliveries.deleted(dataset)
        finally:
            self._cleaning = False
        await self._cluster.clear_flags(self._deliveries.forgotten)

    # --- stopping ---

    async def _stop(self, deliveries: Sequence[DaskDelivery]) -> None:
        futures = []
        for delivery in deliveries:
            if delivery.stopped:
                continue
            delivery.stopped = True
            if delivery.future is None or delivery.ended is not None:
                self._gone(delivery)
                continue
            futures.append(delivery.future)
            began = bool(delivery.worker)
            self._loop.call_later(STOP_S if began else UNBEGUN_S, self._give_up, delivery, began)
        with contextlib.suppress(AwayError):  # they are cancelled when it is back
            await self._cluster.cancel(futures)

    def _give_up(self, delivery: DaskDelivery, began: bool) -> None:
        """Wait no longer for word of a task that was to stop; `began`: it was known by then to have begun."""
        if self._closing or not self._deliveries.has(delivery):
            return
        if delivery.worker and not began:  # it began meanwhile
            self._loop.call_later(STOP_S, self._give_up, delivery, True)
        else:
            self._gone(delivery)

    # --- what the scheduler says ---

    def _hear(self, topic: str, event: Any) -> None:
        if topic == "all":
            if isinstance(event, Mapping) and event.get("action") == "remove-worker":
                self._worker_left(str(event.get("worker")))
            return
        delivery = self._deliveries.of_token(str(event.get("token")))
        for news in event["news"] if delivery is not None else ():
            assert delivery is not None
            if news["say"] == "begun":
                delivery.worker = news["worker"]
            elif news["say"] == "ended":
                if delivery.stopped:
                    self._gone(delivery)
            elif not delivery.stopped:
                pass_on(self.sink, delivery, news)

    def _worker_left(self, address: str) -> None:
        for delivery in self._deliveries:
            if delivery.ended is not None:
                continue
            if delivery.worker == address:
                self._lose(delivery, f"its Dask worker was lost ({address})")
            elif address in delivery.pinned and not delivery.worker:
                delivery.pinned = tuple(one for one in delivery.pinned if one != address)
                if not delivery.pinned:
                    self._lose(delivery, f"the last Dask worker that fits was lost ({address})")

    # --- coming back ---

    async def _resume(self) -> None:
        """The scheduler is there (again): what is published there continues, and all else is lost."""
        open_ = [one for one in self._deliveries if one.ended is None]
        for delivery in await self._finder.attach(open_):
            self._lose(delivery, "the Dask scheduler lost it")
        self._work.begin(self._cluster.cancel([one.future for one in open_ if one.stopped and one.future is not None]))
        self._clean_soon()
        self._loop.call_soon(self.sink.ready)


def _advice(error: Exception) -> str:
    if isinstance(error, ImportError | RuntimeError | AttributeError):
        return " (Dask workers need aether-protocol, of this version, in the environment that they run in)"
    return ""


def dask_broker_of_url(url: str, parts: BrokerParts) -> DaskBroker:
    """Make the broker of `dask://HOST:PORT` (`address.read_dask_url`).

    Raises:
        UsageError: the URL is not of this form.
        PortError: nothing answers there.
    """
    read = read_dask_url(url)
    require_scheduler(read)
    for name in _LOUD:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return DaskBroker(read.address, concurrency=parts.concurrency, modules=read.modules, artifacts=parts.artifacts)
