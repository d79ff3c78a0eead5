"""A worker may call any server of a store: what is of a session elsewhere is passed on, once, and looked at there."""

from __future__ import annotations

import asyncio
import hashlib
import platform
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import msgspec
import pytest
import uvicorn

from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.artifacts.transfers import ArtifactTransfers
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.engine.clock import SystemClock
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import ServerRow
from aether_protocol.ports.worker import BeatMessage, ExecutorOffer, Hello, Poll, ResultReport, WorkReport
from aether_protocol.server.app import make_app
from aether_protocol.server.gate import AccessRules
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.relay.forwarding import FORWARDED, Forwarding
from aether_protocol.server.relay.peers import PeerTransport, peer_url
from aether_protocol.server.relay.relays import Relays
from aether_protocol.service.access.caller import Caller
from aether_protocol.service.process_identity import place as own_place
from aether_protocol.service.process_identity import this_process
from aether_protocol.testing.contracts.broker import Ear, work
from aether_protocol.worker.http import HttpTransport
from aether_protocol.worker.transport import RefusedError, SessionEndedError, TransportError
from tests.server_process import free_port
from tests.unit.server.serving import until

pytestmark = pytest.mark.rule("RT-146")

CONTENT = b"what an attempt made"
DIGEST = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"


class Tokens:
    """See `Authenticator`: of workers w1 and w2, and of the servers of the street."""

    async def caller(self, token: str) -> Caller | None:
        if token.startswith("peer-"):
            return Caller(name=token, kind="peer", roles={"*": "peer"}, token=token)
        if token in ("w1", "w2"):
            return Caller(name=token, kind="worker", roles={"default": "worker"}, token=token)
        return None


class House:
    """One server of a store, on a port of the loopback, without an engine."""

    def __init__(self, street: Street, place: str, term: int, folder: Path) -> None:
        self.port = free_port()
        owner = f"{own_place()}|{term}|1|server-{place}"
        self.row = ServerRow(owner, place, f"http://127.0.0.1:{self.port}")
        artifacts = LocalRepository(folder / place)
        self.broker = WorkerBroker(SystemClock(), b"k" * 32, term=term, place=place, artifacts=artifacts, beat_s=0.2)
        self.ear = Ear()
        self.broker.start(self.ear)
        self.forwarding = Forwarding(lambda: street.rows, owner)
        self.relays = Relays(
            self.broker,
            street,
            lambda row: PeerTransport(row, f"peer-{place}"),
            lambda run_id: street.driver is self,
            me=self.row,
            clock=SystemClock(),
        )
        parts = ServerParts(
            workers=self.broker,
            forwarding=self.forwarding,
            artifacts=ArtifactTransfers(artifacts),
            access=AccessRules(authenticator=Tokens()),
        )
        config = uvicorn.Config(make_app(parts), port=self.port, log_level="warning", lifespan="off")
        self.server = uvicorn.Server(config)
        self.server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]

    async def open(self) -> None:
        self.tasks = [asyncio.create_task(self.server.serve()), asyncio.create_task(self.relays.serve(asyncio.Event()))]
        await until(lambda: self.server.started)

    async def close(self) -> None:
        self.tasks[1].cancel()
        await self.relays.close()
        await self.broker.close()
        self.server.should_exit = True
        await self.tasks[0]
        await self.forwarding.close()


class Street:
    """Servers of one store, and the store's word on which there are and who drives the run."""

    def __init__(self, folder: Path) -> None:
        self.rows: list[ServerRow] = []
        self.a, self.b, self.c = (House(self, place, term, folder) for term, place in enumerate(("aa", "bb", "cc"), 1))
        self.driver = self.a
        self.rows = [self.a.row, self.b.row, self.c.row]

    async def drivers(self, run_ids: Any) -> Mapping[str, ServerRow]:
        return dict.fromkeys(run_ids, self.driver.row)

    def way(self, house: House, token: str = "w1") -> HttpTransport:
        return HttpTransport(house.row.address, token=token)


def play(folder: Path, body: Callable[[Street], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        street = Street(folder)
        for one in (street.a, street.b, street.c):
            await one.open()
        try:
            await body(street)
        finally:
            for one in (street.a, street.b, street.c):
                if not one.tasks[0].done():
                    await one.close()

    asyncio.run(go())


def hello(*holding: str) -> Hello:
    return Hello(
        worker="w", protocols=[1], executors=[ExecutorOffer(name="nap")], slots={"tasks": 2}, holding=list(holding)
    )


def result_of(assignment: Mapping[str, Any], token: str, **more: Any) -> WorkReport:
    names = ("taskRunId", "workflowRunId", "attempt", "epoch")
    return WorkReport(
        results=[ResultReport(token=token, result={**{name: assignment[name] for name in names}, "code": 0, **more})]
    )


def test_each_call_of_a_worker_may_go_to_another_server(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        at, by, last = street.way(street.a), street.way(street.b), street.way(street.c)
        session = (await at.hello(hello())).session
        assert session.startswith("aa.")
        polling = asyncio.create_task(by.poll(session, Poll(poll=1, free=1, holding=[]), 5.0))
        await until(lambda: any(one.credit for one in street.a.broker.fleet.state.sessions.values()))
        await street.a.broker.dispatch([work(1, "nap")])
        (item,) = (await polling).work
        await last.report(session, WorkReport(started=[item.token]))
        assert street.a.ear.nodes("started") == [1]
        assert (await by.beat(session, BeatMessage(poll=1, holding=[item.token]))).stop == []
        receipt = await last.report(session, result_of(item.assignment, item.token))
        assert receipt.recorded == [item.token]
        await by.leave(session)
        with pytest.raises(SessionEndedError):
            await last.beat(session, BeatMessage(poll=1, holding=[]))
        for way in (at, by, last):
            await way.close()

    play(tmp_path, body)


def test_the_token_of_a_call_that_is_passed_on_is_looked_at_by_the_server_of_the_session(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        at, other, unknown = street.way(street.a), street.way(street.b, "w2"), street.way(street.b, "w3")
        session = (await at.hello(hello())).session
        with pytest.raises(SessionEndedError):
            await other.beat(session, BeatMessage(poll=0, holding=[]))
        with pytest.raises(RefusedError):
            await unknown.beat(session, BeatMessage(poll=0, holding=[]))
        with pytest.raises(RefusedError):
            await PeerTransport(street.a.row, "w1").hello(hello())
        for way in (at, other, unknown):
            await way.close()

    play(tmp_path, body)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # httpx drops a connection that broke unclosed
def test_a_call_is_passed_on_once_and_not_to_a_server_that_is_gone(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        at, by = street.way(street.a), street.way(street.b)
        session = (await at.hello(hello())).session
        url = f"{street.b.row.address}/v1/workers/{session}/beat"
        headers = {"authorization": "Bearer w1", FORWARDED: "1"}
        async with httpx.AsyncClient() as client:
            answer = await client.post(url, json={"poll": 0, "holding": []}, headers=headers)
        assert answer.status_code == 410
        await street.a.close()
        with pytest.raises(TransportError):  # it may be back
            await by.beat(session, BeatMessage(poll=0, holding=[]))
        street.rows.remove(street.a.row)
        with pytest.raises(SessionEndedError):
            await by.beat(session, BeatMessage(poll=0, holding=[]))
        for way in (at, by):
            await way.close()

    play(tmp_path, body)


@pytest.mark.parametrize("taken_over", [False, True])
def test_artifacts_go_through_another_server_and_keep_their_checks(tmp_path: Path, taken_over: bool) -> None:
    """By the session of another server, and by that of a worker here whose run another server drives."""

    async def body(street: Street) -> None:
        at, by = street.way(street.a), street.way(street.b)
        session = (await at.hello(hello())).session
        task = work(1, "nap")
        await street.a.broker.dispatch([task])
        (item,) = (await at.poll(session, Poll(poll=1, free=1, holding=[]), 5.0)).work
        keeper = street.a
        if taken_over:
            await street.a.close()
            street.driver = keeper = street.c
            street.rows.remove(street.a.row)
            session = (await by.hello(hello(item.token))).session
            await until(lambda: bool(street.c.broker.fleet.state.deliveries))
            assert await street.c.broker.held([task.ref]) == {task.ref: "held"}
        source, target = tmp_path / "source", tmp_path / "target"
        source.write_bytes(CONTENT)
        await by.artifacts.send(session, item.token, DIGEST, source)
        kept = {place: any(one.is_file() for one in (tmp_path / place).rglob("*")) for place in ("aa", "bb", "cc")}
        assert kept == {place: place == keeper.row.name for place in ("aa", "bb", "cc")}
        await by.artifacts.send(session, item.token, DIGEST, source)  # it is there, and is not sent again
        with pytest.raises(RefusedError, match="Forbidden"):
            await by.artifacts.send(session, "not-a-token", DIGEST, source)
        if taken_over:  # its assignment is not known there, so that its token is enough
            await by.artifacts.fetch(session, item.token, DIGEST, target)
            assert target.read_bytes() == CONTENT
        else:
            with pytest.raises(RefusedError, match="does not name"):
                await by.artifacts.fetch(session, item.token, DIGEST, target)
        artifacts = {"made": {"digest": DIGEST, "size": len(CONTENT), "mode": "0644", "name": "made"}}
        receipt = await by.report(session, result_of(item.assignment, item.token, artifacts=artifacts))
        assert receipt.recorded == [item.token]
        assert [one.code for one in keeper.ear.results] == [0]
        for way in (at, by):
            await way.close()

    play(tmp_path, body)


@pytest.mark.rule("RT-152")
def test_a_server_names_the_others_but_for_those_that_stop_in_the_welcome_and_to_each_beat(tmp_path: Path) -> None:
    async def body(street: Street) -> None:
        way = street.way(street.a)
        executors = [ExecutorOffer(name="script")]
        welcome = await way.hello(Hello(worker="w", protocols=[1], executors=executors, slots={"tasks": 1}))
        assert welcome.servers == [street.b.row.address, street.c.row.address]
        street.rows[1] = msgspec.structs.replace(street.b.row, stopping=True)
        orders = await way.beat(welcome.session, BeatMessage(poll=0, holding=[]))
        assert orders.servers == [street.c.row.address]
        await way.close()

    play(tmp_path, body)


def test_no_token_goes_to_the_loopback_of_another_machine() -> None:
    here = this_process(serves=True)
    for address, owner in (
        ("http://127.0.0.1:7234", here),
        ("http://localhost:7234", here),
        ("https://other.example.com", "other/1234abcd/4026531836|7|99|server-00aa11bb"),
    ):
        assert peer_url(ServerRow(owner, "one", address)) == address
    elsewhere = "other" + here.removeprefix(platform.node())
    for address in ("http://127.0.0.1:7234", "http://[::1]:7234", "https://localhost:7234"):
        with pytest.raises(UsageError, match="is the loopback of another machine, on which one runs") as told:
            peer_url(ServerRow(elsewhere, "one", address))
        assert told.value.hint == "it says with --advertise URL where the others reach it"
