"""The broker of a simulated server: the real one for workers elsewhere, with every step of its fleet judged.

Law: a dead server reports nothing and answers nothing. Its key is that of its store, so the next one reads its tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

from aether_protocol.adapters.brokers.elsewhere import place_of
from aether_protocol.adapters.brokers.spilling import OfferBell
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.errors import PortError
from aether_protocol.expressions.values import Json
from aether_protocol.fleet.commands import Command
from aether_protocol.fleet.events import Event
from aether_protocol.fleet.machine import Fleet, FleetSettings
from aether_protocol.ports.broker import Holding, LogPart, ResultSink, Stored
from aether_protocol.ports.secrets import DEFAULT_NAMESPACE
from aether_protocol.ports.wire import AttemptRef, Stream, TaskAssignment, TaskResult
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.simulation.chaos import Chaos
from aether_protocol.testing.simulation.document_generator import SECRET
from aether_protocol.testing.simulation.fleet.laws import FleetLaws
from aether_protocol.testing.simulation.fleet.machine import LEASE, MachineClock
from aether_protocol.testing.simulation.fleet.network import KEY, Network
from aether_protocol.testing.simulation.fleet.server_laws import ServerLaws
from aether_protocol.testing.simulation.workers import PASSWORD, BrokerProcess, acknowledgement

SETTINGS: Final = FleetSettings(lease=LEASE, reattach=LEASE)


class ServerProcess(BrokerProcess, Protocol):
    """The process of a server; `number` counts those of its store."""

    number: int
    engine_name: str


class WatchedFleet(Fleet):
    """The fleet of a server, each step of which is judged."""

    def __init__(self, first: int, watch: ServerLaws) -> None:
        super().__init__(SETTINGS, first=first)
        self._watch = watch

    def handle(self, event: Event) -> Sequence[Command]:
        commands = super().handle(event)
        self._watch.handled(event, commands, self.state)
        return commands


class Vault:
    """A provider of the one secret, which is away at times."""

    blocking = False
    by_namespace = True

    def __init__(self) -> None:
        self.away = False

    def get(self, name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
        if self.away:
            raise PortError("the vault is sealed")
        return PASSWORD if (name, key) == SECRET else None


class FleetParts(Struct, frozen=True):
    """What all servers of a world have in common."""

    clock: ManualClock
    chaos: Chaos
    network: Network
    vault: Vault
    laws: FleetLaws
    weights: Mapping[str, int]
    limits: Mapping[str, int]
    beat_s: float


class SimulatedFleet:
    """The broker of one server process, at an address. See `ports.broker.Broker`, and `network.ServerSide`."""

    def __init__(self, parts: FleetParts, host: ServerProcess, address: int = 0) -> None:
        self.clock = MachineClock(parts.clock)
        self.laws = ServerLaws(parts.laws)
        fleet = WatchedFleet(host.number << 40, self.laws)
        self.broker = WorkerBroker(
            self.clock,
            KEY,
            secrets=[parts.vault],
            settings=SETTINGS,
            beat_s=parts.beat_s,
            fleet=fleet,
            place=place_of(host.engine_name),
        )
        self.broker.share(parts.weights, parts.limits)
        self._host = host
        self._chaos = parts.chaos
        self.address = address
        self.hear: Callable[[OfferBell], None] = lambda bell: None  # takes what other servers offer
        self.leaving = False  # it takes nothing any more
        self.cuts: set[int] = set()  # the servers that it does not reach, by address
        self.trouble_until = 0
        self.calm_since = 0  # it had its last fault then
        parts.network.servers[address] = self

    @property
    def dead(self) -> bool:
        return self._host.dead

    def is_cut(self, address: int) -> tuple[bool, bool]:
        """See `network.Sender`."""
        return address in self.cuts, address in self.cuts

    @property
    def refuses(self) -> bool:
        return self.dead or self.leaving

    def start(self, sink: ResultSink) -> None:
        self.broker.start(_Sink(sink, self._host))

    def room(self) -> int | None:
        return self.broker.room()

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        if self.dead:
            return {}
        if self._chaos.strikes("crash-before-dispatch"):
            self._host.die()
            return {}
        for task in batch:
            self._host.dispatched(task)
        return await self.broker.dispatch(batch)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if not self.dead:
            await self.broker.stop(refs)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        if not self.dead:
            await self.broker.release(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return {} if self.dead else await self.broker.held(refs)

    async def close(self) -> None:
        await self.broker.close()


class _Sink:
    """Between the broker and the engine of a process that may be dead. See `ports.broker.ResultSink`."""

    def __init__(self, inner: ResultSink, host: BrokerProcess) -> None:
        self._inner = inner
        self._host = host

    def started(self, ref: AttemptRef) -> None:
        if not self._host.dead:
            self._inner.started(ref)

    def logged(
        self, ref: AttemptRef, stream: Stream, text: str, offset: int | None = None, *, part: LogPart | None = None
    ) -> None:
        if not self._host.dead:
            self._inner.logged(ref, stream, text, offset, part=part)

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        if not self._host.dead:
            self._inner.heartbeat(ref, details)

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        if not self._host.dead:
            self._inner.lost(ref, reason, blamed)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        if self._host.dead:
            return
        watched = acknowledgement(self._host, result.ref)

        def both() -> None:
            if not self._host.dead:
                watched()
                if stored is not None:
                    stored()

        self._inner.finished(result, both)

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        if not self._host.dead:
            self._inner.brought(ref, lambda: None if self._host.dead else unwanted())

    def ready(self) -> None:
        if not self._host.dead:
            self._inner.ready()
