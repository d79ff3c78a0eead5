"""What workers of one server have of runs that another one drives reaches that one: on virtual time, between real brokers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.brokers.elsewhere import PeerHello, RelayedAnswer, place_of
from aether_protocol.adapters.brokers.spilling import NeedMessage, OfferBell, TakeRequest, WorkOffer, room_for
from aether_protocol.adapters.brokers.workers import SessionOverError, WorkerBroker, hello_of_peer, take_from
from aether_protocol.errors import PortError, UsageError
from aether_protocol.execution.secrets import SecretsAwayError
from aether_protocol.fleet.events import Holding
from aether_protocol.fleet.invariants import check
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.wire import TaskAssignment
from aether_protocol.ports.worker import (
    PROTOCOL_VERSION,
    BeatMessage,
    DiedReport,
    ExecutorOffer,
    Hello,
    LogReport,
    Orders,
    Poll,
    Receipt,
    ResultReport,
    ReturnedReport,
    SecretAnswer,
    SecretName,
    SecretRequest,
    Welcome,
    WorkItem,
    WorkReport,
)
from aether_protocol.server.relay.link import PeerLink
from aether_protocol.server.relay.relays import Relays
from aether_protocol.server.relay.spill import Spill
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, ref, work
from aether_protocol.worker.direct import DirectTransport
from aether_protocol.worker.transport import SessionEndedError, TransportError

pytestmark = pytest.mark.rule("RT-146")

SECOND = 1_000_000
KEY = b"k" * 32
RUN = "run-1"  # that of `work`


class Way(DirectTransport):
    """A `LinkTransport` to another broker of this process; while it is cut nothing comes through."""

    def __init__(self, town: Town, name: str) -> None:
        super().__init__(town.servers[name].broker)
        self.town = town
        self.name = name

    def _check(self) -> None:
        if self.name in self.town.cut:
            raise TransportError("cut")

    async def hello(self, hello: Hello) -> Welcome:
        self._check()
        return self._broker.hello(hello, via=hello.worker)

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        self._check()
        return await super().beat(session, beat)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        self._check()
        return await super().report(session, report)

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        self._check()
        return await super().secrets(session, request)

    async def take(self, session: str, request: TakeRequest) -> Orders:
        self._check()
        try:
            return take_from(self._broker, session, request)
        except SessionOverError:
            raise SessionEndedError from None

    async def ring(self, bell: OfferBell) -> None:
        self._check()
        self.town.servers[self.name].spill.hear(bell)

    async def artifact(
        self, session: str, method: str, digest: str, headers: Mapping[str, str], body: AsyncIterator[bytes] | None
    ) -> RelayedAnswer:
        raise AssertionError("there are none here")


class OneServer:
    def __init__(self, town: Town, name: str, term: int) -> None:
        self.broker = WorkerBroker(town.clock, KEY, term=term, server=name, settings=FleetSettings(lease=30 * SECOND))
        self.ear = Ear()
        self.broker.start(self.ear)
        self.relays = Relays(
            self.broker,
            View(town, name),
            lambda row: Way(town, row.owner),
            lambda run_id: town.driver == name,
            me=row_of(name),
            clock=town.clock,
        )
        self.spill = Spill(
            self.broker,
            self.relays,
            lambda: [row_of(one) for one in town.serving],
            lambda row: Way(town, row.owner),
            me=row_of(name),
            clock=town.clock,
        )


class Town:
    """Servers of one store on one clock, and the store's word on who drives the run."""

    def __init__(self, *names: str) -> None:
        self.clock = ManualClock(0)
        self.stopping = asyncio.Event()
        self.serving: dict[str, asyncio.Future[Any]] = {}
        self.driver: str | None = names[0]
        self.beliefs: dict[str, str] = {}
        self.cut: set[str] = set()
        self.is_store_away = False
        self.servers: dict[str, OneServer] = {}
        for term, name in enumerate(names, 1):
            self.servers[name] = OneServer(self, name, term)

    def open(self) -> None:
        for name, one in self.servers.items():
            both = one.relays.serve(self.stopping), one.spill.serve(self.stopping)
            self.serving[name] = asyncio.gather(*both)

    async def kill(self, name: str) -> None:
        """A server is gone; what it knew stays with it."""
        if name in self.serving:
            serving = self.serving.pop(name)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            await self.servers[name].spill.close()
            await self.servers[name].relays.close()

    async def pass_time(self, seconds: float) -> None:
        until = self.clock.now() + round(seconds * SECOND)
        await settle()
        while self.clock.step(until):
            await settle()


class View:
    """See `Directory`: what the store says to one server, which may believe it for a while when it has changed."""

    def __init__(self, town: Town, name: str) -> None:
        self.town = town
        self.name = name

    async def drivers(self, run_ids: Iterable[str]) -> Mapping[str, ServerRow]:
        if self.town.is_store_away:
            raise PortError("away")
        driver = self.town.beliefs.get(self.name, self.town.driver)
        return {} if driver is None else {one: row_of(driver) for one in run_ids if one == RUN}


def row_of(name: str) -> ServerRow:
    return ServerRow(name, name, f"http://127.0.0.1/{name}")


async def settle() -> None:
    for _ in range(60):
        await asyncio.sleep(0)


class Hand:
    """A worker that is played by hand. Without `instance` it is one of the simplest kind."""

    def __init__(
        self,
        broker: WorkerBroker,
        name: str = "w",
        holding: Iterable[str] = (),
        results: Iterable[str] = (),
        *,
        namespaces: Iterable[str] | None = None,
    ) -> None:
        hello = Hello(
            worker=name,
            protocols=[PROTOCOL_VERSION],
            executors=[ExecutorOffer(name="nap")],
            slots={"tasks": 4},
            holding=list(holding),
            results=list(results),
        )
        self.broker = broker
        self.namespaces = None if namespaces is None else frozenset(namespaces)
        self.session = broker.hello(hello, namespaces=self.namespaces).session
        self.polls = 0

    async def poll(self, *holding: str, free: int = 4) -> Orders:
        self.polls += 1
        poll = Poll(poll=self.polls, free=free, holding=list(holding))
        return await self.broker.poll(self.session, poll, namespaces=self.namespaces)

    def beat(self, *holding: str) -> Orders:
        return self.broker.beat(self.session, BeatMessage(poll=self.polls, holding=list(holding)))

    async def report(self, **parts: Any) -> Receipt:
        return await self.broker.report(self.session, WorkReport(**parts))


def result(token: str, task: TaskAssignment) -> ResultReport:
    run, path = task.ref.run_id, task.ref.path
    return ResultReport(
        token=token,
        result={
            "protocol": 1,
            "taskRunId": f"{run}/{path}",
            "workflowRunId": run,
            "attempt": task.ref.attempt,
            "epoch": task.ref.epoch,
            "code": 0,
        },
    )


def play(body: Callable[[Town], Coroutine[Any, Any, None]]) -> None:
    """Play with four servers: a drives the run at first."""

    async def go() -> None:
        town = Town("a", "b", "c", "d")
        town.open()
        try:
            await settle()
            await body(town)
            await settle()
            for one in town.servers.values():
                check(one.broker.fleet.state)
        finally:
            for name, one in town.servers.items():
                await town.kill(name)
                await one.broker.close()

    asyncio.run(go())


async def begun(town: Town, server: str = "a") -> tuple[str, TaskAssignment]:
    """A worker of a server has an attempt that it has begun; its token and assignment."""
    task = work(1, "nap")
    hand = Hand(town.servers[server].broker)
    await town.servers[server].broker.dispatch([task])
    token = (await hand.poll()).work[0].token
    await hand.report(started=[token])
    return token, task


async def taken_over(town: Town) -> tuple[Hand, str, TaskAssignment]:
    """The server a is gone, c drives its run, and the worker of a is at b. c has found the attempt there."""
    token, task = await begun(town)
    await town.kill("a")
    town.driver = "c"
    hand = Hand(town.servers["b"].broker, holding=[token])
    assert await town.servers["c"].broker.held([task.ref]) == {}, "it may come back"
    await town.pass_time(1.5)
    assert await town.servers["c"].broker.held([task.ref]) == {task.ref: "held"}
    return hand, token, task


def test_an_attempt_whose_worker_is_at_another_server_is_found_and_its_result_recorded() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        assert (await hand.report(results=[result(token, task)])).recorded == [token]
        assert [one.ref for one in town.servers["c"].ear.results] == [task.ref]
        assert town.servers["b"].ear.results == []
        assert town.servers["b"].broker.fleet.state.sessions[hand.session].used == {"tasks": 0}

    play(body)


def test_a_result_is_kept_until_the_driving_server_has_recorded_it() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        town.servers["c"].ear.acknowledges = False
        receipts: list[Receipt] = []

        async def report() -> None:
            receipts.append(await hand.report(results=[result(token, task)]))

        reporting = asyncio.ensure_future(report())
        await town.pass_time(3)
        await reporting
        assert receipts[0].recorded == []
        town.servers["c"].ear.acknowledges = True
        town.servers["c"].ear.acknowledge()
        assert (await hand.report(results=[result(token, task)])).recorded == [token]

    play(body)


def test_a_result_that_a_worker_brings_along_reaches_the_driving_server() -> None:
    async def body(town: Town) -> None:
        token, task = await begun(town)
        await town.kill("a")
        town.driver = "c"
        hand = Hand(town.servers["b"].broker, holding=[token], results=[token])
        await town.pass_time(1.5)
        assert await town.servers["c"].broker.held([task.ref]) == {task.ref: "held"}
        assert (await hand.report(results=[result(token, task)])).recorded == [token]

    play(body)


def test_a_result_of_a_run_that_no_relay_is_known_for_is_passed_on_when_it_comes_again() -> None:
    async def body(town: Town) -> None:
        token, task = await begun(town)
        await town.kill("a")
        town.driver = "c"
        town.servers["b"].ear.acknowledges = False  # its engine does not have the run
        hand = Hand(town.servers["b"].broker)  # it names nothing that it holds
        reporting = asyncio.ensure_future(hand.report(results=[result(token, task)]))
        await town.pass_time(3)
        assert (await reporting).recorded == []
        assert (await hand.report(results=[result(token, task)])).recorded == [token]
        assert len(town.servers["c"].ear.results) == 1

    play(body)


def test_logs_reach_the_driving_server_and_are_acknowledged_by_it_alone() -> None:
    async def body(town: Town) -> None:
        hand, token, _ = await taken_over(town)
        other = Hand(town.servers["b"].broker, "other")
        receipt = await hand.report(logs=[LogReport(token=token, stream="stdout", offset=0, text="é\n")])
        assert [(one.token, one.stored) for one in receipt.logged] == [(token, 3)]
        assert town.servers["c"].ear.logs == ["é\n"]
        assert town.servers["b"].ear.logs == []
        assert (await other.report()).logged == []
        town.cut.add("c")
        lost = await hand.report(logs=[LogReport(token=token, stream="stdout", offset=3, text="more")])
        assert lost.logged == [], "it comes again"

    play(body)


def piece(token: str, offset: int, text: str) -> LogReport:
    return LogReport(token=token, stream="stdout", offset=offset, text=text)


@pytest.mark.rule("RT-133")
def test_no_piece_of_a_log_overtakes_one_that_did_not_arrive() -> None:
    async def body(town: Town) -> None:
        hand, token, _ = await taken_over(town)
        await hand.report(logs=[piece(token, 0, "one ")])
        town.cut.add("c")
        await hand.report(logs=[piece(token, 4, "two ")])
        town.cut.clear()
        assert (await hand.report(logs=[piece(token, 8, "three ")])).logged == []
        receipt = await hand.report(logs=[piece(token, 4, "two "), piece(token, 8, "three ")])
        assert [one.stored for one in receipt.logged][-1] == 14
        assert town.servers["c"].ear.logs == ["one ", "two ", "three "]

    play(body)


@pytest.mark.rule("RT-133")
def test_where_the_run_changes_its_server_logs_come_again_from_what_is_acknowledged() -> None:
    async def body(town: Town) -> None:
        hand, token, _ = await taken_over(town)
        await hand.report(logs=[piece(token, 0, "one ")])
        town.cut.add("c")
        await hand.report(logs=[piece(token, 4, "two ")])
        town.driver = "d"
        await town.pass_time(2)
        assert (await hand.report(logs=[piece(token, 8, "three ")])).logged == []
        await hand.report(logs=[piece(token, 4, "two "), piece(token, 8, "three ")])
        assert town.servers["d"].ear.logs == ["two ", "three "]

    play(body)


def test_a_child_that_died_is_reported_as_blamed_and_a_returned_attempt_as_not() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        await hand.report(died=[DiedReport(token=token, reason="signal 9")])
        assert town.servers["c"].ear.losses == [(task.ref, "signal 9", True)]
        assert town.servers["b"].ear.losses == []

    async def returned(town: Town) -> None:
        hand, token, task = await taken_over(town)
        await hand.report(returned=[ReturnedReport(token=token, reason="drains")])
        assert [(one, blamed) for one, _, blamed in town.servers["c"].ear.losses] == [(task.ref, False)]

    play(body)
    play(returned)


def test_a_death_that_did_not_reach_the_driving_server_is_said_again() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        town.cut.add("c")
        await hand.report(died=[DiedReport(token=token, reason="signal 9")])
        town.cut.clear()
        await town.pass_time(4)
        assert [(one, blamed) for one, _, blamed in town.servers["c"].ear.losses] == [(task.ref, True)]

    play(body)


def test_a_stop_reaches_the_worker_and_the_next_attempt_waits_for_its_end() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        at = town.servers["c"].broker
        await at.stop([task.ref])
        own = Hand(at, "own")
        await at.dispatch([work(1, "nap", attempt=2)])
        polling = asyncio.ensure_future(own.poll())
        await town.pass_time(4)
        assert hand.beat(token).stop == [token]
        assert not polling.done(), "the earlier attempt may still run"
        await hand.report(returned=[ReturnedReport(token=token, reason="stopped")])
        await settle()
        assert [one.assignment["attempt"] for one in (await polling).work] == [2]

    play(body)


def test_a_worker_that_is_lost_at_its_server_is_lost_at_the_driving_one() -> None:
    async def body(town: Town) -> None:
        _, _, task = await taken_over(town)
        await town.pass_time(27)
        assert town.servers["c"].ear.losses == []
        await town.pass_time(10)
        assert [(one, blamed) for one, _, blamed in town.servers["c"].ear.losses] == [(task.ref, False)]

    play(body)


def test_what_this_server_cannot_vouch_for_is_stopped_before_the_driving_one_gives_it_away() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        town.cut.add("c")
        stopped_at = None
        for second in range(70):
            await town.pass_time(1)
            if stopped_at is None and hand.beat(token).stop:
                stopped_at = second
            if town.servers["c"].ear.losses:
                break
        assert stopped_at is not None
        assert stopped_at + 0.9 * 30 < second, "also a worker that heard nothing of it has ended by then"
        assert town.servers["c"].ear.losses[0][0] == task.ref

    play(body)


@pytest.mark.parametrize("store", [True, False])
def test_attempts_of_a_run_without_a_driver_continue_as_long_as_the_store_says_so(store: bool) -> None:
    async def body(town: Town) -> None:
        token, _ = await begun(town)
        await town.kill("a")
        town.driver = None
        hand = Hand(town.servers["b"].broker, holding=[token])
        town.is_store_away = not store
        orders = []
        for _ in range(40):
            await town.pass_time(2)
            orders += hand.beat(token).stop
        assert orders == ([] if store else [token] * len(orders))
        assert bool(orders) is not store

    play(body)


def test_a_run_that_is_handed_on_takes_its_attempts_along() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        await town.servers["c"].broker.release([task.ref])
        town.driver = "d"
        await town.pass_time(2)
        assert await town.servers["d"].broker.held([task.ref]) == {task.ref: "held"}
        town.driver = "b"
        await town.pass_time(2)
        assert await town.servers["b"].broker.held([task.ref]) == {task.ref: "held"}
        assert (await hand.report(results=[result(token, task)])).recorded == [token]
        assert len(town.servers["b"].ear.results) == 1
        assert town.servers["b"].ear.losses == [], "the others do not have the run any more"

    play(body)


def test_a_server_takes_no_hello_that_was_meant_for_the_one_before_at_its_address() -> None:
    """It would say what was held of that one's runs, and end the session in which more is held of this one's."""
    broker = WorkerBroker(ManualClock(), KEY, place=place_of("host-1-new"))
    for place in ("old", ""):
        hello = PeerHello(worker="server b", protocols=[PROTOCOL_VERSION], executors=[], slots={}, instance="b", place=place)
        with pytest.raises(UsageError, match="another server is here"):
            hello_of_peer(broker, hello)
    assert hello_of_peer(broker, replace(hello, place="new")).session.startswith("new.")


def test_a_worker_that_says_hello_anew_loses_nothing_at_the_driving_server() -> None:
    async def body(town: Town) -> None:
        _, token, task = await taken_over(town)
        hand = Hand(town.servers["b"].broker, holding=[token])
        await town.pass_time(8)
        assert town.servers["c"].ear.losses == []
        elsewhere = Hand(town.servers["d"].broker, holding=[token])
        await town.pass_time(8)
        hand.broker.leave(hand.session)
        await town.pass_time(8)
        assert town.servers["c"].ear.losses == []
        assert (await elsewhere.report(results=[result(token, task)])).recorded == [token]

    play(body)


def test_a_server_that_relays_and_is_gone_is_no_loss_where_its_worker_comes_back_elsewhere() -> None:
    async def body(town: Town) -> None:
        _, token, task = await taken_over(town)
        await town.kill("b")
        await town.pass_time(6)
        hand = Hand(town.servers["d"].broker, holding=[token])
        for _ in range(20):
            await town.pass_time(5)
            hand.beat(token)
        assert town.servers["c"].ear.losses == []
        assert (await hand.report(results=[result(token, task)])).recorded == [token]

    play(body)


def test_two_servers_that_take_each_other_for_the_driving_one_pass_nothing_on_in_a_circle() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        town.beliefs = {"b": "c", "c": "b"}
        town.driver = "d"
        for name in ("b", "c"):
            town.servers[name].ear.acknowledges = False
        town.servers["c"].broker.reports.elsewhere.wanted(RUN)
        await town.pass_time(2)
        reporting = asyncio.ensure_future(hand.report(results=[result(token, task)]))
        await town.pass_time(3)
        assert (await reporting).recorded == []
        assert len(town.servers["c"].ear.results) == 1
        town.beliefs = {}
        await town.pass_time(3)
        assert (await hand.report(results=[result(token, task)])).recorded == [token]

    play(body)


def test_one_worker_does_not_speak_for_the_deliveries_of_another() -> None:
    async def body(town: Town) -> None:
        _, token, _ = await taken_over(town)
        other = Hand(town.servers["b"].broker, "other")
        receipt = await other.report(died=[DiedReport(token=token, reason="?")], started=[token])
        assert receipt.unknown == [token, token]
        assert town.servers["c"].ear.losses == []

    play(body)


def test_secrets_are_asked_of_the_driving_server_which_looks_at_the_references() -> None:
    async def body(town: Town) -> None:
        town.driver = "c"
        token, _ = await begun(town, "c")
        hand = Hand(town.servers["b"].broker, holding=[token])
        await town.pass_time(1.5)
        request = SecretRequest(token=token, secrets=[SecretName(name="db", key="password")])
        with pytest.raises(UsageError, match="does not refer to all"):
            await town.servers["b"].broker.secrets(hand.session, request)

    play(body)


def test_secrets_of_a_delivery_that_the_asked_server_does_not_have_are_away_for_the_server_that_asks() -> None:
    """The attempt is no Error by that (seeds 91 and 93 of several servers)."""

    async def body(town: Town) -> None:
        town.driver = "c"
        token, _ = await begun(town, "c")
        c = town.servers["c"].broker
        request = SecretRequest(token=token, secrets=[SecretName(name="db", key="password")])
        hello = Hello(worker="server b", protocols=[PROTOCOL_VERSION], executors=[], slots={}, instance="b")
        with pytest.raises(SecretsAwayError, match="does not have this delivery"):
            await c.secrets(c.hello(hello, via="server b").session, request)
        with pytest.raises(UsageError, match="not one of this session"):
            await c.secrets(Hand(c, "other").session, request)

    play(body)


class Slow:
    """A `LinkTransport` and a `LinkSource`: while a report is on its way, what was asked for before comes."""

    def __init__(self) -> None:
        self.tokens: list[str] = []
        self.beats: list[BeatMessage] = []
        self.link: PeerLink

    def held(self, owner: str) -> list[tuple[str, Holding, bool]]:
        return [(token, Holding(1, ref(1)), False) for token in self.tokens]

    async def hello(self, hello: Hello) -> Welcome:
        return Welcome(session="s", server="a", protocol=1, lease_ms=60_000, beat_ms=3_000, poll_ms=25_000)

    async def report(self, session: str, report: WorkReport) -> Receipt:
        assert await self.link.take(WorkOffer(NeedMessage("nap"), 1, ["default"]), 1, None)
        self.tokens.append("taken")
        return Receipt()

    async def take(self, session: str, request: TakeRequest) -> Orders:
        return Orders(work=[WorkItem(token="taken", assignment={})])

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        self.beats.append(beat)
        return Orders()


def test_what_is_taken_while_a_beat_is_made_is_in_it() -> None:
    """The beat would say that its answer had come, and that nothing is held of it (seed 204238 of several servers)."""

    async def body(town: Town) -> None:
        slow = Slow()
        way: Any = slow
        slow.link = PeerLink("a", name="server b", me="b", transport=way, source=way, clock=town.clock)
        running = asyncio.ensure_future(slow.link.run())
        await town.pass_time(0.1)
        slow.link.give_back(["begun by no worker"])
        await town.pass_time(0.1)
        running.cancel()
        assert [(beat.poll, beat.holding) for beat in slow.beats] == [(1, ["taken"])]

    play(body)


def test_secrets_of_an_attempt_that_is_to_stop_are_away() -> None:
    """The server that drives the run may count on it still: it is no Error by that (seed 202573 of several servers)."""

    async def body(town: Town) -> None:
        town.driver = "c"
        c = town.servers["c"].broker
        hand, task = Hand(c), work(1, "nap")
        await c.dispatch([task])
        token = (await hand.poll()).work[0].token
        await c.stop([task.ref])
        request = SecretRequest(token=token, secrets=[SecretName(name="db", key="password")])
        with pytest.raises(SecretsAwayError, match="is to stop"):
            await c.secrets(hand.session, request)

    play(body)


def test_secrets_of_an_attempt_that_a_server_gave_out_which_is_gone_are_away() -> None:
    """The attempt is returned and given out again: it is no Error of the task (seed 55 of several servers)."""

    async def body(town: Town) -> None:
        hand, token, _ = await taken_over(town)
        request = SecretRequest(token=token, secrets=[SecretName(name="db", key="password")])
        with pytest.raises(SecretsAwayError, match="gave this attempt out is gone"):
            await town.servers["b"].broker.secrets(hand.session, request)

    play(body)


def test_the_server_before_at_the_same_address_is_no_way_to_a_run() -> None:
    """It died, and its lease still counts: the link went from the server to itself (seed 6 of several servers)."""

    async def body(town: Town) -> None:
        town.driver = "a"
        token, _ = await begun(town, "a")
        await town.kill("a")
        relays = town.servers["b"].relays
        relays._me = ServerRow("b", "b", row_of("a").address)
        hand = Hand(town.servers["b"].broker, holding=[token])
        await town.pass_time(1.5)
        assert relays.relay(RUN) is None
        assert list(town.servers["b"].broker.fleet.state.sessions) == [hand.session]

    play(body)


def test_a_link_that_holds_something_does_not_end_while_the_store_is_away() -> None:
    """Its server would give out again what runs here (seed 204520 of several servers)."""

    async def body(town: Town) -> None:
        hand, token, _ = await taken_over(town)
        town.is_store_away = True
        for _ in range(20):
            await town.pass_time(3)
            hand.beat(token)
        assert len(town.servers["c"].broker.fleet.state.sessions) == 1

    play(body)


def test_a_link_that_holds_nothing_ends_after_a_while() -> None:
    async def body(town: Town) -> None:
        hand, token, task = await taken_over(town)
        await hand.report(results=[result(token, task)])
        await town.pass_time(20)
        assert len(town.servers["c"].broker.fleet.state.sessions) == 1
        await town.pass_time(20)
        assert len(town.servers["c"].broker.fleet.state.sessions) == 0
        assert ref(1) == task.ref

    play(body)


# --- what finds no worker ---------------------------------------------------------------------------------------------


async def asked(town: Town, hand: Hand, *holding: str, free: int = 4, seconds: float = 1.0) -> Orders:
    """What a worker gets that asks for work, and time passes."""
    polling = asyncio.ensure_future(hand.poll(*holding, free=free))
    await town.pass_time(seconds)
    if not polling.done():
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        return Orders()
    return polling.result()


@pytest.mark.rule("RT-150")
def test_what_finds_no_worker_for_50_ms_goes_to_one_of_another_server() -> None:
    async def body(town: Town) -> None:
        a, b = town.servers["a"], town.servers["b"]
        hand, task = Hand(b.broker), work(1, "nap")
        await a.broker.dispatch([task])
        orders = await asked(town, hand, seconds=0.04)
        assert orders == Orders(), "a worker of its own comes first"
        orders = await asked(town, hand)
        (item,) = orders.work
        assert [one.number for one in a.broker.fleet.state.deliveries.values()] == [
            one.number for one in b.broker.fleet.state.deliveries.values()
        ]
        await hand.report(started=[item.token])
        assert a.ear.nodes("started") == [1]
        assert (await hand.report(results=[result(item.token, task)])).recorded == [item.token]
        assert [one.ref for one in a.ear.results] == [task.ref]
        assert (b.ear.heard, b.ear.results) == ([], [])

    play(body)


@pytest.mark.rule("RT-150")
def test_a_worker_of_the_own_server_comes_first() -> None:
    async def body(town: Town) -> None:
        a, b = town.servers["a"], town.servers["b"]
        own, other = Hand(a.broker), Hand(b.broker)
        polls = [asyncio.ensure_future(one.poll()) for one in (own, other)]
        await settle()
        await a.broker.dispatch([work(node, "nap") for node in range(1, 4)])
        await town.pass_time(2)
        assert len(polls[0].result().work) == 3
        assert not polls[1].done()

    play(body)


@pytest.mark.rule("RT-150")
def test_each_attempt_is_given_to_one_server_and_no_more_than_workers_have_room_for() -> None:
    async def body(town: Town) -> None:
        a = town.servers["a"]
        hands = [Hand(town.servers[name].broker) for name in ("b", "c", "d")]
        await a.broker.dispatch([work(node, "nap") for node in range(1, 21)])
        polls = [asyncio.ensure_future(hand.poll(free=2)) for hand in hands]
        await town.pass_time(2)
        given = [item.assignment["taskRunId"] for poll in polls for item in poll.result().work]
        assert (len(given), len(set(given))) == (6, 6)
        assert len(a.broker.fleet.state.waiting) == 14, "the rest waits where a cancel reaches it"

    play(body)


@pytest.mark.rule("RT-150")
def test_what_waits_here_goes_before_what_another_server_offers_and_priority_is_kept() -> None:
    async def body(town: Town) -> None:
        a, b = town.servers["a"], town.servers["b"]
        await a.broker.dispatch([work(1, "nap", priority=1), work(2, "nap", priority=900)])
        await b.broker.dispatch([work(3, "nap", priority=1)])
        hand = Hand(b.broker)
        (own,) = (await asked(town, hand, free=1)).work
        assert own.assignment["taskRunId"].endswith("t3")
        (other,) = (await asked(town, hand, own.token, free=1)).work
        assert other.assignment["taskRunId"].endswith("t2")

    play(body)


@pytest.mark.rule("RT-150")
def test_what_waits_here_and_no_worker_of_its_namespace_is_for_keeps_no_worker_from_others() -> None:
    async def body(town: Town) -> None:
        a, b = town.servers["a"], town.servers["b"]
        await a.broker.dispatch([replace(work(1, "nap"), namespace="ops")])
        await b.broker.dispatch([replace(work(2, "nap"), namespace="dev")])
        hand = Hand(b.broker, namespaces=["ops"])
        (item,) = (await asked(town, hand)).work
        assert item.assignment["taskRunId"].endswith("t1")

    play(body)


@pytest.mark.rule("RT-150")
def test_a_stop_of_what_was_taken_reaches_its_worker_and_of_what_waits_takes_it_away() -> None:
    async def body(town: Town) -> None:
        a, hand = town.servers["a"], Hand(town.servers["b"].broker)
        tasks = [work(1, "nap"), work(2, "nap")]
        await a.broker.dispatch(tasks)
        (item,) = (await asked(town, hand, free=1)).work
        await a.broker.stop([one.ref for one in tasks])
        await town.pass_time(4)
        assert hand.beat(item.token).stop == [item.token]
        await hand.report(returned=[ReturnedReport(token=item.token, reason="stopped")])
        assert (len(a.broker.fleet.state.waiting), a.broker.fleet.state.of_task) == (0, {})

    play(body)


@pytest.mark.rule("RT-150")
def test_what_a_worker_returns_or_never_received_is_repeated_by_the_driving_server() -> None:
    async def body(town: Town) -> None:
        a, hand = town.servers["a"], Hand(town.servers["b"].broker)
        await a.broker.dispatch([work(1, "nap"), work(2, "nap")])
        returned, lost = (await asked(town, hand, free=2)).work
        await hand.report(returned=[ReturnedReport(token=returned.token, reason="no", refused=True)])
        again = await asked(town, hand, free=2, seconds=3)  # it does not hold the other one
        assert sorted(one.assignment["taskRunId"] for one in again.work) == sorted(
            one.assignment["taskRunId"] for one in (returned, lost)
        )[-len(again.work) :]
        held = [one.token for one in again.work]
        rest = await asked(town, hand, *held, free=2, seconds=5)
        tokens = {*held, *(one.token for one in rest.work)}
        assert (len(tokens), tokens & {returned.token, lost.token}) == (2, set()), "each has a new delivery"
        assert a.ear.losses == []

    play(body)


@pytest.mark.rule("RT-150")
def test_what_was_taken_and_finds_no_room_after_all_goes_back() -> None:
    async def body(town: Town) -> None:
        a, b = town.servers["a"], town.servers["b"]
        hand = Hand(b.broker)
        await a.broker.dispatch([work(1, "nap")])
        await town.pass_time(0.3)
        polling = asyncio.ensure_future(hand.poll(free=1))
        await settle()
        need = b.broker.fleet.state.waiting
        offer = WorkOffer(NeedMessage("nap"), 9, ["default"])
        assert room_for(b.broker.fleet.state, offer)[0] == 1
        taking = asyncio.ensure_future(b.relays.take(row_of("a"), offer, 1, None))
        await b.broker.dispatch([work(7, "nap")])  # takes the room
        await town.pass_time(0.5)
        assert (await taking, len(need), len(polling.result().work)) == (1, 1, 1)
        await town.pass_time(1.5)
        assert len(need) == 0
        assert a.broker.fleet.state.waits(ref(1)), "it was returned, and not only missed"
        own = Hand(a.broker)
        (item,) = (await asked(town, own)).work
        assert item.assignment["taskRunId"].endswith("t1")

    play(body)


@pytest.mark.rule("RT-150")
def test_what_another_server_placed_here_goes_no_further() -> None:
    async def body(town: Town) -> None:
        a, b, c = (town.servers[name] for name in "abc")
        hand = Hand(b.broker)
        await a.broker.dispatch([work(1, "nap")])
        await town.pass_time(0.3)
        polling = asyncio.ensure_future(hand.poll(free=1))
        await settle()
        taking = asyncio.ensure_future(b.relays.take(row_of("a"), WorkOffer(NeedMessage("nap"), 1, ["default"]), 1, None))
        await b.broker.dispatch([work(7, "nap")])  # takes the room
        await town.pass_time(0.2)
        assert (await taking, len((await polling).work)) == (1, 1)
        assert b.broker.fleet.state.waits(ref(1))
        town.cut = {"a"}
        assert await asked(town, Hand(c.broker), seconds=0.7) == Orders(), "two servers would be between it and its own"
        session = b.broker.hello(
            Hello(worker="server c", protocols=[PROTOCOL_VERSION], executors=[], slots={}, instance="c"), via="server c"
        ).session
        request = TakeRequest(1, NeedMessage("nap"), 1, None, [])
        assert b.broker.fleet.state.waits(ref(1))
        assert take_from(b.broker, session, request) == Orders()

    play(body)


def test_a_server_that_lives_and_was_taken_for_gone_sees_what_is_carried_out_and_gives_it_to_no_other_worker() -> None:
    async def body(town: Town) -> None:
        a, b, task = town.servers["a"], town.servers["b"], work(1, "nap")
        hand = Hand(b.broker)
        await a.broker.dispatch([task])
        (item,) = (await asked(town, hand)).work
        await hand.report(started=[item.token])
        for driver in (None, "c", "b"):  # free at first, then another server has it, at last that of the worker
            town.driver = driver
            for _ in range(3):
                await town.pass_time(2)
                hand.beat(item.token)
                assert not a.broker.fleet.state.waits(task.ref)
                assert a.ear.losses == []
        assert (await hand.report(results=[result(item.token, task)])).recorded == [item.token]
        assert [one.ref for one in b.ear.results] == [task.ref]

    play(body)


@pytest.mark.rule("RT-150")
def test_a_taken_attempt_outlives_the_server_that_gave_it_and_the_one_that_took_it() -> None:
    async def body(town: Town) -> None:
        a, hand, task = town.servers["a"], Hand(town.servers["b"].broker), work(1, "nap")
        await a.broker.dispatch([task])
        (item,) = (await asked(town, hand)).work
        await hand.report(started=[item.token])
        await town.kill("a")
        town.driver = "c"
        for _ in range(3):
            await town.pass_time(1)
            hand.beat(item.token)
        assert await town.servers["c"].broker.held([task.ref]) == {task.ref: "held"}
        await town.kill("b")
        moved = Hand(town.servers["d"].broker, holding=[item.token])
        for _ in range(20):
            await town.pass_time(5)
            moved.beat(item.token)
        assert (await moved.report(results=[result(item.token, task)])).recorded == [item.token]
        assert (len(town.servers["c"].ear.results), town.servers["c"].ear.losses) == (1, [])

    play(body)


@pytest.mark.rule("RT-150")
def test_a_bell_in_the_name_of_no_server_leaves_nothing_behind() -> None:
    async def body(town: Town) -> None:
        spill = town.servers["a"].spill
        for owner in ("a", "nowhere", ""):
            spill.hear(OfferBell(owner, []))
        assert (spill._heard, spill._taking) == ({}, {})
        spill.hear(OfferBell("b", []))
        assert [*spill._heard] == [*spill._taking] == ["b"]

    play(body)
