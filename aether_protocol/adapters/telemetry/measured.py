"""A store whose calls are measured.

Law: every call goes through, and raises what the store raises; a meter sees its name, how long it took, and how it ended. What
is asked in a run's mailbox is `store.mailbox` besides, from the question to its answer.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, Final

from aether_protocol.errors import AetherError, BusyError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import FACETS, RunAppend, Store
from aether_protocol.ports.telemetry import CallMeter

MOST_ASKED: Final = 1_000  # questions whose answers are waited for; of more the oldest are not measured


class Measured:
    """See `ports.store.Store`: another store, each of whose calls a meter sees as `store.FACET.METHOD`, with the label
    `outcome` (`ok`, or the name of what was raised). It stands for that store wherever one is looked up by its object."""

    def __init__(self, store: Store, meter: CallMeter, *, now: Callable[[], float] = time.perf_counter) -> None:
        self.wrapped = store
        self.durable = store.durable
        self.tier = store.tier
        self.file = store.file
        self.appends_at_once = store.appends_at_once
        facets = {name: MeasuredFacet(getattr(store, name), name, meter, now) for name in FACETS}
        self.runs: Any = _MeasuredRuns(store.runs, "runs", meter, now)
        self.leases: Any = facets["leases"]
        self.mailbox: Any = _MeasuredMailbox(store.mailbox, "mailbox", meter, now)
        self.logs: Any = facets["logs"]
        self.library: Any = facets["library"]
        self.changes: Any = facets["changes"]
        self.fleet: Any = facets["fleet"]
        self.servers: Any = facets["servers"]
        self.upkeep: Any = facets["upkeep"]
        self.tokens: Any = facets["tokens"]
        self.namespaces: Any = facets["namespaces"]
        self.audit: Any = facets["audit"]
        self.schedules: Any = None
        if store.schedules is not None:
            self.schedules = MeasuredFacet(store.schedules, "schedules", meter, now)

    async def close(self) -> None:
        """Close the store."""
        await self.wrapped.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.wrapped, name)  # what a store has beyond its port

    def __eq__(self, other: object) -> bool:
        return self is other or self.wrapped is other

    def __hash__(self) -> int:
        return hash(self.wrapped)


class MeasuredFacet:
    """A facet of a store; its methods are wrapped as they are first used."""

    def __init__(self, facet: Any, name: str, meter: CallMeter, now: Callable[[], float]) -> None:
        self._facet = facet
        self._name = name
        self._meter = meter
        self._now = now

    def __getattr__(self, name: str) -> Any:
        given = getattr(self._facet, name)
        if name.startswith("_") or not callable(given):
            return given
        measured = self._measured(f"store.{self._name}.{name}", given)
        setattr(self, name, measured)
        return measured

    def _measured(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            begun = self._now()
            result = method(*arguments, **named)
            return self._awaited(name, begun, result) if isawaitable(result) else result

        return call

    async def _awaited(self, name: str, begun: float, result: Awaitable[Any]) -> Any:
        outcome = "ok"
        try:
            return await result
        except BaseException as error:
            outcome = type(error).__name__
            raise
        finally:
            self._meter.observe(name, self._now() - begun, {"outcome": outcome})


class _MeasuredRuns(MeasuredFacet):
    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        steps = sum(len(one.steps) for one in batch)  # before: the lists are the store's then
        refused: Mapping[str, AetherError] = await self._measured("store.runs.append", self._facet.append)(batch)
        self._meter.appended(steps, sum(isinstance(error, BusyError) for error in refused.values()))
        return refused


class _MeasuredMailbox(MeasuredFacet):
    def __init__(self, facet: Any, name: str, meter: CallMeter, now: Callable[[], float]) -> None:
        super().__init__(facet, name, meter, now)
        self._asked: OrderedDict[int, float] = OrderedDict()

    async def post(self, run_id: str, request: Json) -> int:
        begun = self._now()
        number: int = await self._measured("store.mailbox.post", self._facet.post)(run_id, request)
        self._asked[number] = begun
        if len(self._asked) > MOST_ASKED:  # the answers of some are not waited for
            self._asked.popitem(last=False)
        return number

    async def answer(self, id_: int) -> Json | None:
        answer: Json | None = await self._measured("store.mailbox.answer", self._facet.answer)(id_)
        if answer is not None:
            self._over(id_, "ok")
        return answer

    async def withdraw(self, id_: int) -> bool:
        withdrawn: bool = await self._measured("store.mailbox.withdraw", self._facet.withdraw)(id_)
        if withdrawn:
            self._over(id_, "withdrawn")
        return withdrawn

    def _over(self, number: int, outcome: str) -> None:
        begun = self._asked.pop(number, None)
        if begun is not None:
            self._meter.observe("store.mailbox", self._now() - begun, {"outcome": outcome})
