"""Which deliveries at workers here are of runs that other servers drive, and the ways to these servers.

Law: the store says who drives a run; what this server believes of it may be late by LOOK_S. What it can vouch for no longer is
stopped: the server that drives the run may give it to another worker.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from aether_protocol.adapters.brokers.elsewhere import Relay
from aether_protocol.adapters.brokers.spilling import WorkOffer
from aether_protocol.adapters.brokers.workers import WorkerBroker, place_at, withdraw_from
from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.fleet.events import Holding
from aether_protocol.fleet.work import WorkerDelivery
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import ServerRow, Store
from aether_protocol.server.relay.link import LinkTransport, PeerLink

_log = logging.getLogger("aether_protocol")

LOOK_S: Final = 1.0  # between two looks at who drives the runs
PATIENCE_S: Final = 2.0  # how long the store is waited for: what cannot be vouched for is stopped meanwhile
IDLE_US: Final = 30_000_000  # how long a link without anything is kept
PLACED_US: Final = 1_000_000  # for so long what came from another server waits for a worker here
WANTED_US: Final = 10_000_000  # for so long the driver of a run is looked for of which a result came
_SECOND: Final = 1_000_000
UNSURE: Final = 0.5  # of a lease: so old may be what a worker heard last of the server that it comes from
SURE: Final = 0.73  # of a lease, since it was known that no other server drives the run
KILLED: Final = 1.1  # leases before the other server takes the session for lost: then workers here end by themselves in time


class Directory(Protocol):
    """Raises PortError, BusyError where the store does not answer."""

    async def drivers(self, run_ids: Iterable[str]) -> Mapping[str, ServerRow]:
        """By run, the server that drives it. Runs that no server drives, or that are unknown, are left out."""
        ...


class StoreDirectory:
    """See `Directory`."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def drivers(self, run_ids: Iterable[str]) -> Mapping[str, ServerRow]:
        rows = {row.owner: row for row in await self._store.servers.list()}
        found: dict[str, ServerRow] = {}
        for run_id in run_ids:
            lease = await self._store.leases.owner(run_id)
            row = rows.get(lease.owner) if lease is not None and lease.live else None
            if row is not None:
                found[run_id] = row
        return found


class _Placed(Struct, frozen=True):
    """An attempt of another server that waits for a worker here since `at`."""

    token: str
    holding: Holding
    at: int


class Relays:
    """See `adapters.brokers.elsewhere.Elsewhere`.

    Args:
        broker: gives attempts to the workers of this server.
        directory: says who drives a run.
        connect: makes the way to a server.
        drives: whether this server drives a run.
        row: what this server says of itself.
        clock: the time of looks, beats and leases.
    """

    def __init__(
        self,
        broker: WorkerBroker,
        directory: Directory,
        connect: Callable[[ServerRow], LinkTransport],
        drives: Callable[[str], bool],
        *,
        me: ServerRow,
        clock: Clock,
    ) -> None:
        self._broker = broker
        self._directory = directory
        self._connect = connect
        self._drives = drives
        self._me = me
        self._clock = clock
        self._drivers: dict[str, str] = {}  # by run, the server that drives it
        self._former: dict[tuple[str, str], int] = {}  # by run and server that drove it before: until when it may think so
        self._links: dict[str, PeerLink] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._used: dict[str, int] = {}  # when a link was last wanted
        self._wanted: dict[str, int] = {}  # runs of which results came, and until when they are expected to come again
        self._placed: dict[int, _Placed] = {}  # by delivery, what came from other servers and has not begun yet
        self._sure: dict[int, int] = {}  # by delivery, until when it is known that no other worker is given it
        self._unreachable: set[str] = set()
        self._look = asyncio.Event()

    # --- Elsewhere --------------------------------------------------------------------------------------------------

    def relay(self, run_id: str) -> Relay | None:
        owner = self._drivers.get(run_id)
        return None if owner is None or self._drives(run_id) else self._links.get(owner)

    def logged(self, session: str) -> Sequence[Relay]:
        return [link for link in self._links.values() if link.has_logs_of(session)]

    def wanted(self, run_id: str) -> None:
        if not self._drives(run_id):
            if run_id not in self._wanted:
                self._look.set()
            self._wanted[run_id] = self._clock.now() + WANTED_US

    def changed(self, run_id: str) -> None:
        link = self._links.get(self._drivers.get(run_id, ""))
        if link is not None:
            link.changed()

    # --- attempts of others ---

    async def take(self, row: ServerRow, offer: WorkOffer, free: int, namespaces: frozenset[str] | None) -> int:
        """Let workers here carry out attempts that wait at another server. Returns how many came."""
        link = self._link(row)
        if link is None:
            return 0
        items, now = await link.take(offer, free, namespaces), self._clock.now()
        for item in items:
            holding = self._broker.tokens.read(item.token)
            if holding is not None:
                self._drivers[holding.ref.run_id] = row.owner
                self._placed[holding.number] = _Placed(item.token, holding, now)
        if items:
            place_at(self._broker, items, offer.need.as_need())
        return len(items)

    def _give_back(self, now: int) -> None:
        """What no worker here has begun soon goes back."""
        state = self._broker.fleet.state
        for number, one in list(self._placed.items()):
            waits = state.waiting.newest.get(one.holding.ref.task_run_id)
            is_waiting = waits is not None and waits.number == number
            if is_waiting and now < one.at + PLACED_US:
                continue
            del self._placed[number]
            if number in state.deliveries:
                continue
            if is_waiting and waits is not None:
                withdraw_from(self._broker, [waits])
            link = self._links.get(self._drivers.get(one.holding.ref.run_id, ""))
            if link is not None:
                link.give_back([one.token])

    # --- LinkSource -------------------------------------------------------------------------------------------------

    def held(self, owner: str) -> Sequence[tuple[str, Holding, bool]]:
        """Return what workers here have of the runs of a server. One that was taken for gone, and lives, drives a run until its
        own lease ends: it has to see what is carried out here, or it would give that out again."""
        found: list[tuple[str, Holding, bool]] = []
        now = self._clock.now()
        runs = {run_id for run_id, driver in self._drivers.items() if driver == owner}
        runs |= {run_id for (run_id, driver), until in self._former.items() if driver == owner and until > now}
        for delivery in self._here():
            work = delivery.work
            if work.run_id in runs:
                holding = Holding(delivery.number, work.ref, work.namespace, work.need.slots)
                found.append((self._broker.tokens.make(holding), holding, delivery.is_over))
        waiting = [one for number, one in self._placed.items() if number not in self._broker.fleet.state.deliveries]
        found += [(one.token, one.holding, False) for one in waiting if self._drivers.get(one.holding.ref.run_id) == owner]
        return found

    async def stop(self, tokens: Sequence[str]) -> None:
        """Let workers here stop these deliveries. Of a run that this server drives, no other one says what is to stop: the one
        that drove it before may not know better, and the engine here would wait for an end of which it does not hear."""
        held = self._broker.tokens.read_all(tokens)
        await self._broker.stop([one.ref for one in held if not self._drives(one.ref.run_id)])

    # --- looks ------------------------------------------------------------------------------------------------------

    async def serve(self, stopping: asyncio.Event) -> None:
        """Look who drives what, until `stopping` is set."""
        self._broker.reports.elsewhere = self
        ending = asyncio.ensure_future(stopping.wait())
        ending.add_done_callback(lambda _: self._look.set())
        try:
            while not stopping.is_set():
                self._look.clear()
                await self.look()
                alarm = self._clock.call_at(self._clock.now() + round(LOOK_S * _SECOND), self._look.set)
                try:
                    await self._look.wait()
                finally:
                    alarm.cancel()
        finally:
            ending.cancel()

    async def look(self) -> None:
        """Find out who drives the runs of which workers here have something."""
        now = self._clock.now()
        foreign = list(self._foreign())
        self._wanted = {run_id: until for run_id, until in self._wanted.items() if until > now}
        self._give_back(now)
        runs = {delivery.work.run_id for delivery in foreign} | self._wanted.keys()
        runs |= {one.holding.ref.run_id for one in self._placed.values()}
        drivers: Mapping[str, ServerRow] | None = {}
        if runs:
            drivers = await self._asked(sorted(runs))
        if drivers is not None:
            self._note(drivers, foreign, now)
        await self._guard(foreign)
        await self._end_idle()

    async def _asked(self, runs: Sequence[str]) -> Mapping[str, ServerRow] | None:
        """Who drives these runs; None: the store does not say so, or takes too long."""
        asking = asyncio.ensure_future(self._directory.drivers(runs))
        late = asyncio.Event()
        alarm = self._clock.call_at(self._clock.now() + round(PATIENCE_S * _SECOND), late.set)
        waiting = asyncio.ensure_future(late.wait())
        try:
            await asyncio.wait([asking, waiting], return_when=asyncio.FIRST_COMPLETED)
            return asking.result() if asking.done() else None
        except (PortError, BusyError):
            return None
        finally:
            alarm.cancel()
            asking.cancel()
            waiting.cancel()

    def _here(self) -> list[WorkerDelivery]:
        """What workers here have."""
        state = self._broker.fleet.state
        return [one for one in state.deliveries.values() if one.state != "ended" and not state.sessions[one.session].via]

    def _foreign(self) -> list[WorkerDelivery]:
        """What workers here have of runs that this server does not drive."""
        return [one for one in self._here() if not self._drives(one.work.run_id)]

    def _note(self, drivers: Mapping[str, ServerRow], foreign: Sequence[WorkerDelivery], now: int) -> None:
        # A server that was at the address of this one is gone, though its lease may count: the way there leads back here.
        mine = (self._me.owner, self._me.address)
        others = {one: row for one, row in drivers.items() if row.owner != mine[0] and row.address != mine[1]}
        changed = {run_id: row.owner for run_id, row in others.items()}
        moved = {owner for run_id, owner in changed.items() if self._drivers.get(run_id) != owner}
        self._former = {former: until for former, until in self._former.items() if until > now}
        for run_id, owner in self._drivers.items():
            if changed.get(run_id) != owner:
                self._former[run_id, owner] = now + self._broker.settings.lease
        self._drivers = changed
        for row in others.values():
            self._link(row)
        for owner in moved:
            if owner in self._links:
                self._links[owner].changed()
        lease = self._broker.settings.lease
        for delivery in foreign:
            if delivery.work.run_id not in others:
                self._vouch(delivery.number, now + round(lease * SURE))

    def _link(self, row: ServerRow) -> PeerLink | None:
        """The link to a server, which is begun where there is none; None: it cannot be reached."""
        if row.owner not in self._links and row.owner not in self._unreachable:
            self._begin(row)
        link = self._links.get(row.owner)
        if link is not None:
            self._used[row.owner] = self._clock.now()
        return link

    def _begin(self, row: ServerRow) -> None:
        try:
            transport = self._connect(row)
        except UsageError as error:
            self._unreachable.add(row.owner)
            hint = "let servers reach each other over TLS, or on one machine"
            _log.warning("what workers here have of runs of server %s is not passed on: %s; %s", row.name, error.message, hint)
            return
        link = PeerLink(
            row.owner,
            name=f"server {self._me.name}",
            me=self._me.owner,
            transport=transport,
            source=self,
            clock=self._clock,
        )
        self._links[row.owner] = link
        self._running[row.owner] = asyncio.create_task(link.run(), name="aether-link")

    def _vouch(self, number: int, until: int) -> None:
        self._sure[number] = max(self._sure.get(number, 0), until)

    async def _guard(self, foreign: Sequence[WorkerDelivery]) -> None:
        """Stop what other servers may give to another worker soon."""
        now, lease = self._clock.now(), self._broker.settings.lease
        stops = []
        for delivery in foreign:
            link = self._links.get(self._drivers.get(delivery.work.run_id, ""))
            if link is not None and delivery.number in link.vouched:
                self._vouch(delivery.number, link.vouched[delivery.number] - round(lease * KILLED))
            first = now + round(lease * (SURE - UNSURE))
            if self._sure.setdefault(delivery.number, first) <= now and delivery.state in ("assigned", "running"):
                stops.append(delivery.work.ref)
        numbers = {delivery.number for delivery in foreign}
        self._sure = {number: until for number, until in self._sure.items() if number in numbers}
        if stops:
            await self._broker.stop(stops)

    async def _end_idle(self) -> None:
        """End the links that nothing was wanted of for a while. Not while something is held: the store may be away, so that it
        is not known where else that belongs, and with the session its server would lose what runs here."""
        due = self._clock.now() - IDLE_US
        for owner in [one for one in self._links if self._used[one] <= due and not self.held(one)]:
            self._running.pop(owner).cancel()
            del self._used[owner]
            await self._links.pop(owner).leave()

    async def close(self) -> None:
        """End all links; what they hold is left alone."""
        for task in self._running.values():
            task.cancel()
        await asyncio.gather(*self._running.values(), return_exceptions=True)
        for link in self._links.values():
            await link.close()
