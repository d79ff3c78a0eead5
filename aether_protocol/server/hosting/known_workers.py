"""Which workers there are, kept in the store: so that a server that begins knows whether attempts may live on elsewhere.

Law: a worker is noted before it can get an attempt, and as gone only once its session is over. A server waits for the workers
of others (for one lease) where some are noted that it has not seen itself; where there are none, what an earlier server
dispatched is repeated at once. The worker that a server brings along dies with it: it is noted under the server's own name.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec
from msgspec.structs import replace

from aether_protocol.adapters.brokers.executor_variants import either, type_of_offer
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.plan.executors import ExecutorType, ExecutorTypes
from aether_protocol.ports.store import KnownWorker, Store
from aether_protocol.ports.worker import Hello
from aether_protocol.service.process_identity import is_dead, is_server
from aether_protocol.service.runs.waiting import hello_in

REFRESH_US: Final = 20_000_000  # between two notes of a worker that is there
FORGET_US: Final = 7 * 86_400_000_000  # what a worker declared that was not seen for so long does not count any more

Declare = Callable[[ExecutorTypes, Mapping[str, ExecutorTypes]], None]
_encode: Final = msgspec.json.Encoder().encode


class KnownWorkers:
    """The workers of one server's broker, in the store.

    Args:
        store: that of the server.
        broker: gives attempts to the workers.
        declare: called with the executors that they have, of workers for all namespaces and by namespace, whenever that may
            have changed.
    """

    def __init__(self, store: Store, broker: WorkerBroker, declare: Declare) -> None:
        self._store = store
        self._declare = declare
        self._broker = broker
        self._here: dict[str, KnownWorker] = {}  # by the name in the store
        self._seen: list[KnownWorker] = []
        self.lives: Callable[[str], bool] = lambda owner: not is_dead(owner)  # whether a server does, by its owner's name

    async def note(
        self, hello: Hello, name: str | None = None, *, namespaces: Iterable[str] | None = None
    ) -> None:
        """Note a worker that is about to begin a session.

        Args:
            hello: what it says.
            name: under which; its own and its instance unless given.
            namespaces: those that it may serve; None: all.
        """
        name = name or f"{hello.worker}#{hello.instance}"
        bare = _encode(replace_holding(hello)).decode()
        served = None if namespaces is None else tuple(sorted(namespaces))
        known = KnownWorker(name=name, hello=bare, namespaces=served, at=_now(), connected=True)
        self._here[name] = known
        await self._store.fleet.put_workers([known])
        self._seen = [*(one for one in self._seen if one.name != name), known]
        self._declare(*self.declared())

    def declared(self) -> tuple[ExecutorTypes, Mapping[str, ExecutorTypes]]:
        """Return what live and recently seen workers have, by type, as they declare it: what workers for all namespaces have,
        and by namespace what others have. Of a type that is declared in several ways a config has to fit one of them, of a
        worker that serves the namespace of its document."""
        found: dict[str | None, dict[str, ExecutorType]] = {}
        for known in sorted(self._seen, key=lambda one: one.at):
            hello = hello_in(known)
            for namespace in (None,) if known.namespaces is None else known.namespaces:
                types = found.setdefault(namespace, {})
                for offer in hello.executors if hello is not None else ():
                    types[offer.name] = either(type_of_offer(offer), types.get(offer.name))
        everywhere = found.pop(None, {})
        for types in found.values():
            for name in types.keys() & everywhere.keys():
                types[name] = either(types[name], everywhere[name])
        return everywhere, {name: types for name, types in found.items() if name is not None}

    async def begin(self) -> None:
        """Find out, before the engine recovers anything, whether attempts may live on at workers."""
        await self.tend()
        await self._store.fleet.forget_workers(_now() - FORGET_US)

    async def tend(self) -> None:
        """Note who is still there and who is gone, and look who is expected."""
        now = _now()
        there = {(one.worker, one.instance) for one in self._broker.fleet.state.sessions.values()}
        changed: list[KnownWorker] = []
        for name, known in list(self._here.items()):
            hello = hello_in(known)
            if hello is None or (hello.worker, hello.instance) not in there:
                if now - known.at < 2 * self._broker.settings.lease:
                    continue  # its session may be about to begin
                del self._here[name]
                changed.append(replace(known, at=now, connected=False))
            elif now - known.at >= REFRESH_US:
                self._here[name] = replace(known, at=now)
                changed.append(self._here[name])
        if changed:
            await self._store.fleet.put_workers(changed)
        self._seen = await self._store.fleet.workers()
        self._declare(*self.declared())
        self._broker.fleet.expects = any(self._is_expected(one, now) for one in self._seen)

    def expected(self) -> frozenset[str]:
        """Return the names of those that may hold attempts and have not shown them here; one that a server brings along has the
        name of that."""
        now = _now()
        return frozenset(one.name for one in self._seen if self._is_expected(one, now))

    def _is_expected(self, known: KnownWorker, now: int) -> bool:
        """Whether a worker may hold attempts and has not shown them here. One that no server has heard of for a lease stopped
        its work itself."""
        if not known.connected or known.name in self._here:
            return False
        if is_dead(known.name) or (is_server(known.name) and not self.lives(known.name)):
            return False  # it came with a server that is gone
        return abs(now - known.at) < REFRESH_US * 2 + self._broker.settings.lease


def replace_holding(hello: Hello) -> Hello:
    """Return the message without the deliveries that the worker holds."""
    return replace(hello, holding=[])


def _now() -> int:
    return time.time_ns() // 1_000
