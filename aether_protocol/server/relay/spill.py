"""What finds no worker here is offered to the other servers; what they offer is taken where workers here have room for it.

Law: a worker of this server comes first: what has waited for `offer_after` is offered, and what waits here is
begun before anything is taken. A bell may be lost, and rings again while something waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from aether_protocol.adapters.brokers.spilling import OfferBell, WorkOffer, offers_of, room_for
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.errors import UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import ServerRow
from aether_protocol.server.relay.relays import Relays

AGAIN_US: Final = 500_000  # between two bells while something waits
FRESH_US: Final = 1_500_000  # for so long an offer is believed
PAUSE_S: Final = 0.05  # between two looks whether workers here have room
SOON_S: Final = 0.01  # the same, where something came just now


class BellTransport(Protocol):
    """The way to another server. Raises TransportError, RefusedError."""

    async def ring(self, bell: OfferBell) -> None: ...

    async def close(self) -> None: ...


class Spill:
    """Offers and takes.

    Args:
        broker: that of this server.
        relays: its links to other servers.
        servers: gives the servers that live.
        connect: makes the way for bells to a server.
        me: what this server says of itself.
        clock: the time of waits.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        relays: Relays,
        servers: Callable[[], Sequence[ServerRow]],
        connect: Callable[[ServerRow], BellTransport],
        *,
        me: ServerRow,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._relays = relays
        self._servers = servers
        self._connect = connect
        self._me = me
        self._clock = clock
        self._due = asyncio.Event()
        self._is_armed = False
        self._rang_at = -AGAIN_US
        self._ways: dict[str, BellTransport | None] = {}  # None: it cannot be reached
        self._heard: dict[str, tuple[Sequence[WorkOffer], int]] = {}  # by server: what it offers, and until when
        self._taking: dict[str, asyncio.Task[None]] = {}

    # --- offering ---------------------------------------------------------------------------------------------------

    async def serve(self, stopping: asyncio.Event) -> None:
        """Offer what waits, until `stopping` is set."""
        self._broker.spill = self._waits
        ending = asyncio.ensure_future(stopping.wait())
        ending.add_done_callback(lambda _: self._due.set())
        try:
            while not stopping.is_set():
                await self._due.wait()
                self._due.clear()
                self._is_armed = False
                await self._ring()
                if self._broker.fleet.state.waiting.queued:
                    self._waits()
        finally:
            ending.cancel()
            self._broker.spill = None

    async def close(self) -> None:
        """Take nothing more, and end all connections."""
        for task in self._taking.values():
            task.cancel()
        await asyncio.gather(*self._taking.values(), return_exceptions=True)
        for way in self._ways.values():
            if way is not None:
                await way.close()

    def _waits(self) -> None:
        if not self._is_armed:
            self._is_armed = True
            now = self._clock.now()
            due = max(now + self._broker.settings.offer_after, self._rang_at + AGAIN_US)
            self._clock.call_at(due, self._due.set)

    async def _ring(self) -> None:
        offers = offers_of(self._broker.fleet.state, self._clock.now())
        others = [row for row in self._servers() if row.owner != self._me.owner]
        if offers and others:
            self._rang_at = self._clock.now()
            bell = OfferBell(self._me.owner, offers)
            await asyncio.gather(*(self._ring_at(row, bell) for row in others), return_exceptions=True)
        for owner in self._ways.keys() - {row.owner for row in others}:
            way = self._ways.pop(owner)
            if way is not None:
                await way.close()

    async def _ring_at(self, row: ServerRow, bell: OfferBell) -> None:
        if row.owner not in self._ways:
            try:
                self._ways[row.owner] = self._connect(row)
            except UsageError:  # `relays` says so
                self._ways[row.owner] = None
        way = self._ways[row.owner]
        if way is not None:
            await way.ring(bell)

    # --- taking -----------------------------------------------------------------------------------------------------

    def hear(self, bell: OfferBell) -> None:
        """Another server has attempts for which it finds no worker."""
        row = next((one for one in self._servers() if one.owner == bell.owner), None)
        if row is None or row.owner == self._me.owner:
            return  # it rings again, if it is one
        self._heard[row.owner] = bell.offers, self._clock.now() + FRESH_US
        if row.owner not in self._taking:
            task = self._taking[row.owner] = asyncio.create_task(self._take_on(row), name="aether-take")
            task.add_done_callback(lambda _: self._taking.pop(row.owner))

    async def _take_on(self, row: ServerRow) -> None:
        """Take what a server offers, as workers here have room, for as long as it is believed."""
        while True:
            offers, until = self._heard[row.owner]
            if self._clock.now() >= until:
                return
            asked = came = 0
            for offer in offers:
                free, namespaces = room_for(self._broker.fleet.state, offer)
                if free:
                    asked += free
                    came += await self._relays.take(row, offer, free, namespaces)
            if asked and not came:
                return  # others were first
            await self._clock.sleep(SOON_S if came else PAUSE_S)


