"""How attempts come to a Dask scheduler, and how those that are there already are found again.

Law: what was submitted is published before anything else is done with it, so that it outlives its client.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from aether_protocol.adapters.brokers.dask.call import call_of
from aether_protocol.adapters.brokers.dask.cluster import AwayError, DaskCluster, DaskTask
from aether_protocol.adapters.brokers.dask.deliveries import DaskDeliveries, DaskDelivery
from aether_protocol.adapters.brokers.dask.results import DaskResults
from aether_protocol.adapters.brokers.dask.tasks import (
    DaskWorker,
    asks_much,
    demand_of,
    engine_of,
    read_key,
    run_of,
    topic_of,
)
from aether_protocol.ports.wire import AttemptRef, TaskAssignment
from aether_protocol.ports.wire_json import encode_assignment

__all__ = ["DaskFinder", "DaskSender", "OrderParts"]

_encode: Final = msgspec.json.Encoder().encode


class OrderParts(Struct, frozen=True):
    """What all orders of a broker have: its name, the modules that children import, the URL of the artifacts."""

    engine: str
    modules: tuple[str, ...]
    artifacts: str


class DaskSender:
    """Args:
    cluster: the connection.
    deliveries: what is at the scheduler.
    results: takes in what comes of it.
    parts: what all orders have.
    """

    def __init__(self, cluster: DaskCluster, deliveries: DaskDeliveries, results: DaskResults, parts: OrderParts) -> None:
        self._cluster = cluster
        self._deliveries = deliveries
        self._results = results
        self._parts = parts

    async def submit(self, deliveries: Sequence[DaskDelivery]) -> Mapping[AttemptRef, str]:
        """Submit attempts that have a slot, and publish them. Returns those that could not be, each with the reason."""
        refused: dict[AttemptRef, str] = {}
        tasks: dict[str, tuple[DaskDelivery, DaskTask]] = {}
        try:
            many = any(asks_much(one.assignment) for one in deliveries)
            workers = await self._cluster.workers() if many else []
            for delivery in deliveries:
                task = self._task(delivery, workers)
                if task.demand.fault is None:
                    tasks[delivery.name] = delivery, task
                else:
                    refused[delivery.ref] = task.demand.fault
                    self._deliveries.drop(delivery)
            if tasks:
                await self._send([one for one, _ in tasks.values()], [one for _, one in tasks.values()])
        except AwayError as error:
            for delivery in deliveries:
                if delivery.ref not in refused:
                    refused[delivery.ref] = str(error)
                    self._deliveries.drop(delivery)
        return refused

    async def _send(self, deliveries: Sequence[DaskDelivery], tasks: Sequence[DaskTask]) -> None:
        futures = self._cluster.submit(tasks)
        self._deliveries.name_datasets(deliveries)
        published: dict[str, list[Any]] = {}
        for delivery in deliveries:
            self._deliveries.sent(delivery, futures[delivery.name])
            published.setdefault(delivery.dataset, []).append(delivery.future)
        await self._cluster.publish(published)
        for delivery in deliveries:
            if self._deliveries.has(delivery):
                self._results.expect(delivery)

    def _task(self, delivery: DaskDelivery, workers: Sequence[DaskWorker]) -> DaskTask:
        assignment: TaskAssignment = delivery.assignment
        demand = demand_of(assignment, workers)
        delivery.pinned = demand.workers or ()
        order = {
            "token": delivery.token,
            "assignment": encode_assignment(assignment),
            "artifacts": self._parts.artifacts,
            "modules": self._parts.modules,
        }
        return DaskTask(delivery.name, call_of(_encode(order), topic_of(self._parts.engine)), assignment.priority, demand)


class DaskFinder:
    """Args:
    cluster: the connection.
    deliveries: what is at the scheduler.
    results: takes in what comes of it.
    """

    def __init__(self, cluster: DaskCluster, deliveries: DaskDeliveries, results: DaskResults) -> None:
        self._cluster = cluster
        self._deliveries = deliveries
        self._results = results

    async def attach(self, deliveries: Sequence[DaskDelivery]) -> list[DaskDelivery]:
        """Find these at the scheduler again. Returns those that it does not know. Raises AwayError."""
        if not deliveries:
            return []
        found: dict[str, Any] = {}
        for name in {one.dataset for one in deliveries} & set(await self._cluster.datasets()):
            found.update((future.key, future) for future in await self._cluster.tasks_of(name))
        states = await self._cluster.states([one.name for one in deliveries])
        for delivery in deliveries:
            delivery.future = found.get(delivery.name) if states.get(delivery.name) is not None else None
            if delivery.future is not None:
                self._results.expect(delivery)
        return [one for one in deliveries if one.future is None]

    async def look_for(self, refs: Sequence[AttemptRef]) -> None:
        """Take over what engines before this one published of these attempts."""
        wanted = {ref for ref in refs if not self._deliveries.holds(ref)}
        runs = {ref.run_id for ref in wanted}
        for name in await self._cluster.datasets() if wanted else ():
            if run_of(name) not in runs or not self._deliveries.look_at(name):
                continue
            self._cluster.follow(topic_of(engine_of(name)))
            for future in await self._cluster.tasks_of(name):
                known = read_key(future.key)
                if known is None:
                    continue
                if known[0] not in wanted:
                    self._deliveries.note_done(name, future.key)
                    continue
                delivery = DaskDelivery(*known[:1], token=known[1])
                if self._deliveries.enter(delivery) is delivery:
                    self._deliveries.occupy(delivery)
                    delivery.dataset = name
                    self._deliveries.sent(delivery, future)
                    self._results.expect(delivery)
            self._deliveries.pass_over(name)
