"""What makes a server of a simulation one of several: its row in the store, its share of the runs, and the links by which it is
a worker of the others. All of it is the real thing (`server.sharing`, `server.relay`) but for the network between.

Law: a message between servers crosses the same network as one of a worker, with the same faults.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine, Mapping
from typing import Any, Final

import msgspec

from aether_protocol.adapters.brokers.elsewhere import PeerHello, RelayedAnswer
from aether_protocol.adapters.brokers.spilling import OfferBell, TakeRequest
from aether_protocol.adapters.brokers.workers import hello_of_peer, take_from
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.worker import Orders, Welcome
from aether_protocol.server.relay.relays import Relays, StoreDirectory
from aether_protocol.server.relay.spill import Spill
from aether_protocol.server.sharing.ownership import RunOwnership
from aether_protocol.testing.simulation.fleet.network import Network, SimSession
from aether_protocol.testing.simulation.fleet.server import SimulatedFleet
from aether_protocol.testing.simulation.process import Process

LOOK_S: Final = 3.0  # in place of a quarter of a second, so that more seeds can be played


class SimulatedLink(SimSession):
    """See `server.relay.link.LinkTransport`: from one server to whatever is at the address of another one."""

    def __init__(self, network: Network, sender: SimulatedFleet, peer: ServerRow) -> None:
        self._at = int(peer.address)
        super().__init__(network, sender, self._at)

    async def hello(self, hello: PeerHello) -> Welcome:
        raw = await self._ask("hello of a server", hello, hello_of_peer)
        return msgspec.json.decode(raw, type=Welcome)

    async def take(self, session: str, request: TakeRequest) -> Orders:
        raw = await self._ask("take", request, lambda broker, given: take_from(broker, session, given))
        return msgspec.json.decode(raw, type=Orders)

    async def ring(self, bell: OfferBell) -> None:
        if self._network.loses_bell():
            return
        await self._ask("offers", bell, lambda broker, given: self._network.servers[self._at].hear(given))

    async def artifact(
        self, session: str, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> RelayedAnswer:
        raise PortError("workers of a simulation have no artifacts")


class ServerLife:
    """One server among others. `begin` it, `close` it before its process is closed."""

    def __init__(self, network: Network, process: Process, fleet: SimulatedFleet) -> None:
        self._process = process
        self._fleet = fleet
        row = ServerRow(process.engine_name, process.engine_name, str(fleet.address), started_at=process.number)
        self.relays = Relays(
            fleet.broker,
            StoreDirectory(process.store),
            lambda peer: SimulatedLink(network, fleet, peer),
            process.engine.drives,
            me=row,
            clock=fleet.clock,
        )
        self.ownership = RunOwnership(
            process.store,
            process.engine,
            row,
            root=None,
            tend=_nothing,
            recovered=lambda run_id: None,
            clock=fleet.clock,
        )
        self.spill = Spill(
            fleet.broker,
            self.relays,
            lambda: self.ownership.servers,
            lambda peer: SimulatedLink(network, fleet, peer),
            me=row,
            clock=fleet.clock,
        )
        fleet.hear = self.spill.hear
        self._tasks: list[asyncio.Task[None]] = []

    async def serve(self) -> None:
        """Be one of the servers until `close`. Raises AetherError where the store does not take it in."""
        await self.ownership.begin()
        self._tasks = [asyncio.create_task(one) for one in self._loops()]
        await asyncio.gather(*self._tasks)

    def _loops(self) -> list[Coroutine[Any, Any, None]]:
        return [self.relays.serve(asyncio.Event()), self.spill.serve(asyncio.Event()), self._own()]

    async def _own(self) -> None:
        while True:
            with contextlib.suppress(PortError, BusyError):  # again with the next look
                await self.ownership.look()
            await self._fleet.clock.sleep(LOOK_S)

    def forget_offers(self) -> None:
        """Know nothing any more of what others offer."""
        for owner in self.spill._heard:
            self.spill._heard[owner] = (), 0

    async def forget_link(self, number: int) -> None:
        """Know nothing any more of what went to one of the other servers, and is on its way there."""
        owners = sorted(self.relays._links)
        if owners:
            owner = owners[number % len(owners)]
            self.relays._running.pop(owner).cancel()
            await self.relays._links.pop(owner).close()

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.spill.close()
        await self.relays.close()


async def _nothing() -> None:
    """There are no namespaces to look after."""
