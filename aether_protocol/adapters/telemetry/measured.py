"""A store whose calls are measured.

Law: every call goes through, and raises what the store raises; a meter sees its name, how long it took, and how it ended.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from aether_protocol.ports.store import FACETS, Store
from aether_protocol.ports.telemetry import CallMeter


class Measured:
    """See `ports.store.Store`: another store, each of whose calls a meter sees as `store.FACET.METHOD`, with the label
    `outcome` (`ok`, or the name of what was raised). It stands for that store wherever one is looked up by its object."""

    def __init__(self, store: Store, meter: CallMeter, *, now: Callable[[], float] = time.perf_counter) -> None:
        self.wrapped = store
        self.durable = store.durable
        self.tier = store.tier
        self.file = store.file
        facets = {name: MeasuredFacet(getattr(store, name), name, meter, now) for name in FACETS}
        self.runs: Any = facets["runs"]
        self.leases: Any = facets["leases"]
        self.mailbox: Any = facets["mailbox"]
        self.logs: Any = facets["logs"]
        self.library: Any = facets["library"]
        self.changes: Any = facets["changes"]
        self.fleet: Any = facets["fleet"]
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

    def __init__(self, facet: object, name: str, meter: CallMeter, now: Callable[[], float]) -> None:
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
