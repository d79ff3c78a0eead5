"""DaskResults of tasks at a Dask scheduler, fetched many at a time.

Law: each task that is done is taken in once for each future of it. What its future says of a lost connection says nothing of
the task: such a task is looked for again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final, Protocol

import msgspec

from aether_protocol.adapters.brokers.dask.background import DaskWork
from aether_protocol.adapters.brokers.dask.cluster import AwayError, DaskCluster
from aether_protocol.adapters.brokers.dask.deliveries import DaskDeliveries, DaskDelivery
from aether_protocol.adapters.brokers.endings import hear
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.wire import cut_known

__all__ = ["DaskResults", "Taker", "pass_on"]

_decode: Final = msgspec.json.Decoder().decode


def pass_on(sink: ResultSink, delivery: DaskDelivery, news: dict[str, Any]) -> None:
    """Report what became known of an attempt. The end of each log comes twice: as it was written, and with the result."""
    if news["say"] == "logged":
        news = {**news, "text": cut_known(delivery.known, news["stream"], news["text"], news["offset"])}
    if news.get("text") != "":
        hear(sink, delivery.ref, news)


class Taker(Protocol):
    """The broker, as results come in."""

    def returned(self, delivery: DaskDelivery, ended: Mapping[str, Any]) -> None:
        """A task returned this."""
        ...

    def raised(self, delivery: DaskDelivery, error: Exception) -> None:
        """A task, or its scheduler, raised this."""
        ...

    async def cancelled(self, deliveries: Sequence[DaskDelivery]) -> None:
        """These tasks are not wanted any more, as their futures say."""
        ...


class DaskResults:
    """Args:
    cluster: the connection.
    deliveries: what is at the scheduler.
    taker: takes results in.
    work: what is begun on the event loop.
    """

    def __init__(self, cluster: DaskCluster, deliveries: DaskDeliveries, taker: Taker, work: DaskWork) -> None:
        self._cluster = cluster
        self._deliveries = deliveries
        self._taker = taker
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._done: list[DaskDelivery] = []

    def expect(self, delivery: DaskDelivery) -> None:
        """Take in what this task gives, when it is done."""
        delivery.future.add_done_callback(partial(self._wake, delivery))

    def _wake(self, delivery: DaskDelivery, future: Any) -> None:
        """Called in a thread."""
        with contextlib.suppress(RuntimeError):  # the loop is closed: nothing waits for it
            self._loop.call_soon_threadsafe(self._is_done, delivery, future)

    def _is_done(self, delivery: DaskDelivery, future: Any) -> None:
        if delivery.future is not future or not self._deliveries.has(delivery):
            return
        if not self._done:
            self._work.begin(self._settle())
        self._done.append(delivery)

    async def _settle(self) -> None:
        """Take in all that is done by now."""
        done, self._done = self._done, []
        by_status: dict[str, list[DaskDelivery]] = {}
        for delivery in done:
            if self._deliveries.has(delivery):
                by_status.setdefault(delivery.future.status, []).append(delivery)
        finished = by_status.get("finished", [])
        try:
            bodies = await self._cluster.results([one.future for one in finished])
        except AwayError:
            return  # all are looked for when it is back
        except Exception:  # the worker that had one is gone, say
            by_status["error"] = [*finished, *by_status.get("error", ())]
        else:
            for delivery, body in zip(finished, bodies, strict=True):
                self._taker.returned(delivery, _decode(body))
        for delivery in by_status.get("error", ()):
            await self._settle_one(delivery)
        await self._taker.cancelled([*by_status.get("cancelled", ()), *by_status.get("lost", ())])

    async def _settle_one(self, delivery: DaskDelivery) -> None:
        if not self._deliveries.has(delivery):
            return
        try:
            (body,) = await self._cluster.results([delivery.future])
        except AwayError:
            return
        except Exception as error:
            if "Cancelled" in type(error).__name__:
                await self._taker.cancelled([delivery])
            else:
                self._taker.raised(delivery, error)
        else:
            self._taker.returned(delivery, _decode(body))
