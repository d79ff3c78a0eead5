"""What one server answers for all: servers in one process, each with a broker of its own, that ask each other without HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.ports.worker import ExecutorOffer, Hello, Poll
from aether_protocol.server.relay import whole_fleet
from aether_protocol.server.relay.peer_questions import PeerAnswers, PeerQuestion
from aether_protocol.server.relay.whereabouts import Whereabouts
from aether_protocol.server.relay.whole_fleet import WholeFleet
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear
from aether_protocol.testing.contracts.executor import Sample, assignment
from aether_protocol.worker.transport import TransportError

pytestmark = pytest.mark.rule("RT-154")

LEASE = 30_000_000
FIRST = AttemptRef("r", "main.a", 1)


class Place:
    """One server. `silent`: it takes questions and does not answer."""

    def __init__(self, name: str, clock: ManualClock) -> None:
        self.row = ServerRow(
            f"owner-{name}", name, f"http://{name}", build="1", schema=1, protocol=1, started_at=0, token=""
        )
        self.clock = clock
        settings = FleetSettings(lease=LEASE, reattach=LEASE)
        self.broker = WorkerBroker(clock, b"k" * 32, settings=settings, term=len(name))
        self.broker.start(Ear())
        self.answers = PeerAnswers(self.broker, name)
        self.drives: set[str] = set()
        self.silent = self.gone = False
        self.asked: list[PeerQuestion] = []

    def hello(self, name: str, *, instance: str = "", via: str = "", **more: Any) -> str:
        offers = [] if via else [ExecutorOffer(name="script")]
        given: dict[str, Any] = {"slots": {} if via else {"tasks": 1}, **more}
        said = Hello(worker=name, protocols=[1], executors=offers, instance=instance or name, **given)
        return self.broker.hello(said, via=via).session

    async def offer(self, ref: AttemptRef) -> None:
        await self.broker.dispatch([replace(assignment("script", Sample({"source": "true"})), ref=ref)])
        self.drives.add(ref.run_id)


class Way:
    """To another server, through the bytes of the wire."""

    def __init__(self, there: Place) -> None:
        self._there = there

    async def look(self, question: PeerQuestion, shape: Any) -> Any:
        if self._there.silent:
            await asyncio.sleep(3600)
        if self._there.gone:
            raise TransportError("connection refused")
        asked = msgspec.json.decode(msgspec.json.encode(question), type=PeerQuestion)
        self._there.asked.append(asked)
        return msgspec.json.decode(msgspec.json.encode(self._there.answers.answer(asked)), type=shape)

    async def close(self) -> None:
        """There is no connection."""


class Directory:
    def __init__(self, places: Sequence[Place]) -> None:
        self._places = places

    async def drivers(self, run_ids: Any) -> Mapping[str, ServerRow]:
        return {run: one.row for run in run_ids for one in self._places if run in one.drives}


def three() -> tuple[list[Place], list[WholeFleet]]:
    clock = ManualClock()
    places = [Place(name, clock) for name in ("a", "bb", "ccc")]
    by_owner = {one.row.owner: one for one in places}
    fleets = [
        WholeFleet(
            one.answers,
            owner=one.row.owner,
            servers=lambda: [each.row for each in places],
            connect=lambda row: Way(by_owner[row.owner]),
            directory=Directory(places),
            drives=one.drives.__contains__,
        )
        for one in places
    ]
    return places, fleets


def test_a_worker_that_is_known_to_two_servers_is_listed_where_it_was_heard_last() -> None:
    async def body() -> None:
        (first, second, _), fleets = three()
        first.hello("w", instance="one")
        first.clock.advance(first.clock.now() + 5_000_000)
        second.hello("w", instance="one")
        second.hello("w", instance="other")
        for fleet in fleets:
            found = await fleet.workers()
            assert [(one.name, one.server) for one in found.workers] == [("w", "bb"), ("w", "bb")]
            assert (await fleet.drain("w", 1)).drained == 2

    asyncio.run(body())


def test_a_server_that_relays_is_a_worker_only_where_it_does_not_answer() -> None:
    async def body() -> None:
        (first, second, third), fleets = three()
        first.hello("server bb", instance=second.row.owner, via="server bb")
        second.hello("w")
        assert [one.name for one in (await fleets[2].workers()).workers] == ["w"]
        second.gone = True
        found = await fleets[2].workers()
        assert ([one.name for one in found.workers], found.unreachable) == (["server bb"], ["bb"])
        assert (await fleets[2].counts()).workers == 0
        assert [one.name for one in (await fleets[0].pools()).pools] == []
        assert len(third.asked) == 1, "by the first server: no server asks a third one for another"

    asyncio.run(body())


def test_a_silent_server_is_waited_for_once_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where two questions are needed."""
    monkeypatch.setattr(whole_fleet, "ASK_S", 0.2)

    async def body() -> None:
        (first, second, third), fleets = three()
        await first.offer(FIRST)
        second.hello("w")
        third.silent = True
        began = asyncio.get_running_loop().time()
        found = await fleets[0].workers()
        assert found.unreachable == ["ccc"]
        assert found.waiting == {"a worker has room for it, and has not asked for work yet": 1}
        assert asyncio.get_running_loop().time() - began < 20
        third.drives.add("s")
        away = await fleets[0].waiting("s")
        assert (list(away.attempts), away.unreachable) == ([], ["ccc"])

    asyncio.run(body())


@pytest.mark.parametrize(
    ("workers", "reason"),
    [
        ([], "no worker is connected"),
        ([{"pool": "gpu"}], "all workers are in pools, and it asks for none"),
        ([{"pool": "gpu"}, {}], "a worker has room for it, and has not asked for work yet"),
    ],
)
def test_why_an_attempt_waits_is_said_of_the_workers_of_all(workers: list[dict[str, Any]], reason: str) -> None:
    async def body() -> None:
        places, fleets = three()
        await places[0].offer(FIRST)
        for place, more in zip(places[1:], workers, strict=False):
            place.hello(f"w{place.row.name}", **more)
        for fleet in fleets:
            assert [one.reason for one in (await fleet.waiting("r")).attempts] == [reason]
            assert (await fleet.workers()).waiting == {reason: 1}

    asyncio.run(body())


class Recovered:
    """An attempt that an engine claims, which another server had before: at the second of three."""

    def __init__(self, *expected: str) -> None:
        self.places, self.fleets = three()
        self.broker = self.places[1].broker
        self.whereabouts = Whereabouts(self.broker, self.fleets[1], lambda: frozenset(expected))
        self.ref = FIRST

    async def held(self) -> Mapping[AttemptRef, str]:
        """What the engine is told at its second question."""
        assert await self.broker.held([self.ref]) == {}
        for _ in range(20):
            await asyncio.sleep(0)
        found = await self.broker.held([self.ref])
        await self.whereabouts.close()
        return found


def test_an_attempt_that_no_server_has_is_given_out_at_once() -> None:
    async def body() -> None:
        at = Recovered("w#w", "owner-ccc")
        at.places[0].hello("w")
        assert await at.held() == {at.ref: "unknown"}
        later = AttemptRef("r", "main.a", 1, 1)
        await at.places[1].offer(later)
        assert later in at.broker.fleet.state.waiting.queued, "it waits for no worker that may come back"

    asyncio.run(body())


@pytest.mark.parametrize("where", ["waits", "runs", "between", "silent"])
def test_an_attempt_that_some_worker_may_have_is_waited_for(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It still waits at the other server, it is at a worker there, a worker is between servers, or a server does not answer."""
    monkeypatch.setattr(whole_fleet, "ASK_S", 0.05)

    async def body() -> None:
        at = Recovered("w#w", "owner-ccc", *(["x#x"] if where == "between" else []))
        first, _, third = at.places
        session = first.hello("w")
        if where in ("waits", "runs"):
            await first.offer(FIRST)
        if where == "runs":
            assert (await first.broker.poll(session, Poll(poll=1, free=1, holding=[]))).work
        third.silent = where == "silent"
        assert await at.held() == {}

    asyncio.run(body())
