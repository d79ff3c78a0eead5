"""The connection to a Dask scheduler: made, watched and made again; and the tasks there, in batches.

Law: one client at a time. A client that lost its scheduler is closed and replaced: it would call all of its tasks cancelled,
whatever became of them. All of it runs on the engine's event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import pickle
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

from msgspec import Struct

from aether_protocol.adapters.brokers.dask.tasks import DaskWorker, Demand, flag_of, workers_in
from aether_protocol.errors import why

__all__ = ["AwayError", "DaskCluster", "DaskTask"]

CONNECT_S: Final = 10.0  # for one try
PAUSES_S: Final = (0.2, 0.5, 1.0, 2.0, 5.0)  # between tries
LOOK_S: Final = 0.2  # how often the client is asked whether it is connected
ANSWER_S: Final = 30.0  # for one call at the scheduler
FLAG_CLEARS: Final = 64  # flags that are cleared at once
FORGET_S: Final = 0.2  # between two looks whether the scheduler has forgotten a task
FORGETS: Final = 20  # looks, then its flag stays

_FAULTS: Final = (OSError, TimeoutError, asyncio.TimeoutError)
_log = logging.getLogger("aether_protocol")


class AwayError(Exception):
    """The scheduler cannot be reached now. The text says why."""


class DaskTask(Struct, frozen=True):
    """A task to submit; `call` is the pickle of what it does (`call.call_of`)."""

    key: str
    call: bytes
    priority: int
    demand: Demand


class DaskCluster:
    """A Dask cluster, by the address of its scheduler.

    Args:
        address: like `tcp://HOST:PORT`.
        hear: called with each event of the topics that are followed: the topic, and what was said.
        connected: called each time that the scheduler is there (again), before anything else is sent.
    """

    def __init__(
        self,
        address: str,
        *,
        hear: Callable[[str, Any], None],
        connected: Callable[[], Any],
    ) -> None:
        self.address = address
        self._hear = hear
        self._connected = connected
        self._client: Any = None
        self._ready = asyncio.Event()
        self._fault = "it has not answered yet"
        self._topics: set[str] = {"all"}
        self._keeping: asyncio.Task[None] | None = None

    # --- the connection ---

    def start(self) -> None:
        """Begin to connect."""
        self._keeping = asyncio.create_task(self._keep(), name="aether-dask")

    async def close(self) -> None:
        if self._keeping is not None:
            self._keeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._keeping
        await self._drop()

    async def wait(self, seconds: float) -> None:
        """Return when the scheduler is there. Raises AwayError."""
        if not self._ready.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._ready.wait()
        self.client()

    def client(self) -> Any:
        """The client that is connected. Raises AwayError."""
        if self._client is None or self._client.status != "running":
            raise AwayError(f"the Dask scheduler at {self.address} does not answer: {self._fault}")
        return self._client

    async def _keep(self) -> None:
        tries = 0
        while True:
            try:
                self._client = await self._connect()
                tries = 0
                for topic in self._topics:
                    self._subscribe(topic)
                await self._connected()
                self._ready.set()
                self._fault = "the connection was lost"
                while self._client.status == "running":  # noqa: ASYNC110 - it says so by no event
                    await asyncio.sleep(LOOK_S)
            except _FAULTS as error:
                self._fault = why(error)
            except AwayError as error:
                self._fault = str(error)
            self._ready.clear()
            await self._drop()
            await asyncio.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1

    async def _connect(self) -> Any:
        distributed = await asyncio.to_thread(import_module, "distributed")  # half a second
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", distributed.versions.VersionMismatchWarning)  # said below, once
            made = distributed.Client(self.address, asynchronous=True, set_as_default=False, timeout=CONNECT_S, name="aether")
            try:
                return await made
            except BaseException:
                await _closed(made)
                raise

    async def _drop(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            if client.status == "running":
                for topic in self._topics:  # the scheduler would write to a client that is gone
                    client.unsubscribe_topic(topic)
            await _closed(client)

    # --- calls ---

    def submit(self, tasks: Sequence[DaskTask]) -> dict[str, Any]:
        """Send tasks, those of the same kind together. Returns the futures by key. Raises AwayError."""
        client = self.client()
        kinds: dict[tuple[int, Demand], list[DaskTask]] = {}
        for task in tasks:
            kinds.setdefault((task.priority, task.demand), []).append(task)
        found: dict[str, Any] = {}
        for (priority, demand), several in kinds.items():
            futures = client.map(
                pickle.loads,
                [one.call for one in several],
                key=[one.key for one in several],
                priority=priority,
                resources=dict(demand.resources) or None,
                workers=list(demand.workers) if demand.workers is not None else None,
                retries=0,  # the engine decides that
                pure=False,
                fifo_timeout="0 ms",
            )
            found.update(zip((one.key for one in several), futures, strict=True))
        return found

    async def publish(self, datasets: Mapping[str, Sequence[Any]]) -> None:
        """Keep tasks at the scheduler for as long as their datasets are there. Raises AwayError."""
        await self._ask(self.client().publish_dataset(**{name: list(futures) for name, futures in datasets.items()}))

    async def datasets(self) -> list[str]:
        """Name the datasets. Raises AwayError."""
        return [str(name) for name in await self._ask(self.client().list_datasets())]

    async def tasks_of(self, dataset: str) -> list[Any]:
        """Return the futures of a dataset; none, where it is gone meanwhile. Raises AwayError."""
        try:
            found = await self._ask(self.client().get_dataset(dataset, default=()))
        except KeyError:
            return []
        return list(found)

    async def states(self, keys: Sequence[str]) -> Mapping[str, str | None]:
        """Return the state of each task; None: the scheduler does not know it. Raises AwayError."""
        found: Mapping[str, str | None] = await self._ask(self.client().scheduler.get_task_status(keys=list(keys)))
        return found

    async def delete(self, dataset: str) -> None:
        """Delete a dataset: what is in it goes as soon as no client wants it. Raises AwayError."""
        with contextlib.suppress(KeyError):
            await self._ask(self.client().unpublish_dataset(dataset))

    async def cancel(self, futures: Iterable[Any]) -> None:
        """Cancel tasks, for all who want them. Raises AwayError."""
        several = list(futures)
        if several:
            await self._ask(self.client().cancel(several, force=True, reason="stopped by aether"))

    async def results(self, futures: Sequence[Any]) -> list[Any]:
        """Fetch results. Raises AwayError, and what a task raised."""
        found: list[Any] = await self._ask(self.client().gather(list(futures))) if futures else []
        return found

    async def workers(self) -> list[DaskWorker]:
        """List the workers of the cluster. Raises AwayError."""
        return workers_in(await self._ask(self.client().scheduler.identity()))

    async def has_begun(self, key: str) -> bool:
        """Whether the flag of a task is there. Raises AwayError."""
        return bool(await self._ask(self.client().scheduler.event_is_set(name=flag_of(key))))

    async def clear_flags(self, keys: set[str]) -> None:
        """Remove the flags of tasks, and their keys from the set, of each when the scheduler has forgotten it: cancels and
        releases go another way there, and a task that has no flag would be carried out once more. Raises AwayError."""
        for look in range(FORGETS):
            if look:
                await asyncio.sleep(FORGET_S)
            states = await self.states(several) if (several := list(keys)) else {}
            gone = [key for key in several if states.get(key) is None]
            scheduler = self.client().scheduler
            for begin in range(0, len(gone), FLAG_CLEARS):
                some = gone[begin : begin + FLAG_CLEARS]
                await self._ask(asyncio.gather(*(scheduler.event_clear(name=flag_of(key)) for key in some)))
                keys.difference_update(some)
            if not keys:
                return

    def follow(self, topic: str) -> None:
        """Hear the events of a topic from now on."""
        if topic not in self._topics:
            self._topics.add(topic)
            if self._client is not None and self._client.status == "running":
                self._subscribe(topic)

    def _subscribe(self, topic: str) -> None:
        self._client.subscribe_topic(topic, lambda event: self._hear(topic, event[1]))

    async def _ask(self, call: Any) -> Any:
        try:
            async with asyncio.timeout(ANSWER_S):
                return await call
        except _FAULTS as error:
            raise AwayError(f"the Dask scheduler at {self.address} does not answer: {why(error)}") from None


async def _closed(client: Any) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(CONNECT_S):
            await client.close()
