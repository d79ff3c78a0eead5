"""Why attempts wait for a worker: the fleet's answer, in each place where people and programs look for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.assembly import open_store
from aether_protocol.engine.clock import SystemClock
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.worker import (
    DiedReport,
    ExecutorOffer,
    Hello,
    Poll,
    ReturnedReport,
    WorkReport,
)
from aether_protocol.server.app import make_app
from aether_protocol.server.hosting.known_workers import KnownWorkers
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of, connect
from aether_protocol.service.local import LocalClient
from aether_protocol.service.process_identity import called, is_server, this_process
from tests.documents import submitted
from tests.unit.server.serving import until


def task(name: str = "a", type_: str = "script", **more: Any) -> dict[str, Any]:
    return {"name": name, "executor": {"type": type_, "config": {"source": "true"} if type_ == "script" else {}}, **more}


class Place:
    """A server with workers that do what a test says."""

    def __init__(self, engine: Engine, broker: WorkerBroker, http: httpx.AsyncClient) -> None:
        self.engine = engine
        self.broker = broker
        self.http = http
        self.client: LocalClient = client_of(engine)

    def hello(self, name: str = "w1", *, namespaces: frozenset[str] | None = None, **more: Any) -> str:
        given: dict[str, Any] = {"slots": {"tasks": 1}, "labels": {"zone": "a"}, **more}
        offers = [ExecutorOffer(name=one) for one in ("script", "echo")]
        return self.broker.hello(Hello(worker=name, protocols=[1], executors=offers, **given), namespaces=namespaces).session

    async def work(self, session: str, number: int = 1) -> str:
        """Poll until there is work; its token."""
        orders = await self.broker.poll(session, Poll(poll=number, free=1, holding=[]))
        return orders.work[0].token

    async def begin(self, *tasks: dict[str, Any], **spec: Any) -> str:
        """Begin a run, and wait until its attempts are offered."""
        run = await self.client.control.submit(submitted(*tasks, **spec))
        await self.offered()
        return run

    async def offered(self) -> None:
        """Wait until something waits for a worker."""
        state = self.broker.fleet.state
        await until(lambda: bool(state.waiting.newest))

    async def why(self, run: str) -> list[tuple[str, str, str]]:
        """(path, code, reason), which is the same everywhere."""
        asked = (await self.http.get(f"/v1/runs/{run}/waiting")).json()["waiting"]
        row = (await self.http.get(f"/v1/runs/{run}")).json()
        overview = (await self.http.get(f"/v1/runs/{run}/overview")).json()
        tasks = (await self.http.get(f"/v1/runs/{run}/tasks")).json()["tasks"]
        found = [(one["path"], one["code"], one["reason"]) for one in asked]
        assert [(one["path"], one["code"], one["reason"]) for one in row["waiting"]] == found
        assert row["waitingCount"] == len(found)
        assert [(one["path"], one["code"], one["reason"]) for one in overview["waiting"]] == found
        listed = [(one["path"], one["waiting"]["code"], one["waiting"]["reason"]) for one in tasks if "waiting" in one]
        assert sorted(listed) == found
        return found


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    broker = WorkerBroker(SystemClock(), b"k" * 32, settings=FleetSettings(quarantine_losses=1), poll_s=5)
    async with Engine(store=MemoryStore(), broker=broker) as engine:
        app = make_app(ServerParts(client=client_of(engine, elsewhere=True), workers=broker))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://127.0.0.1")
        async with http:
            yield Place(engine, broker, http)


async def _no_workers(at: Place) -> tuple[str, str]:
    return await at.begin(task()), "no worker is connected"


async def _no_namespace(at: Place) -> tuple[str, str]:
    at.hello(namespaces=frozenset({"other"}))
    return await at.begin(task()), "no worker serves namespace 'default'"


async def _no_pool(at: Place) -> tuple[str, str]:
    at.hello()
    return await at.begin(task(), extensions={"placement": {"pool": "night"}}), "no worker is in pool 'night'"


async def _all_in_pools(at: Place) -> tuple[str, str]:
    at.hello(pool="night")
    return await at.begin(task()), "all workers are in pools, and it asks for none"


async def _no_executor(at: Place) -> tuple[str, str]:
    at.hello()
    return await at.begin(task(type_="noop")), "no worker offers executor 'noop'"


async def _no_labels(at: Place) -> tuple[str, str]:
    at.hello()
    run = await at.begin(
        task(extensions={"placement": {"selector": "gpu=a100"}}), extensions={"placement": {"selector": "zone in (a, b)"}}
    )
    return run, "no worker has the labels 'zone in (a, b), gpu=a100'"


async def _too_large(at: Place) -> tuple[str, str]:
    at.hello(slots={"tasks": 1, "gpu": 1})
    large = {"name": "main", "executor": {"type": "echo"}, "resources": {"gpu": 2}}
    run = await at.client.control.submit(submitted(templates=[{"task": large}]))
    await at.offered()
    return run, "no worker is large enough for gpu=2"


async def _draining(at: Place) -> tuple[str, str]:
    at.broker.drain(at.hello(), 60)
    return await at.begin(task()), "of the workers that fit 1 are draining"


async def _quarantined(at: Place) -> tuple[str, str]:
    session = at.hello()
    run = await at.begin(task())
    token = await at.work(session)
    await at.broker.report(session, WorkReport(started=[token]))
    await at.broker.report(session, WorkReport(died=[DiedReport(token=token, reason="signal 9")]))
    await at.offered()
    return run, "of the workers that fit 1 are quarantined"


async def _limit(at: Place) -> tuple[str, str]:
    at.broker.share({}, {"default": 1})
    session = at.hello(slots={"tasks": 2})
    run = await at.begin(task("a"), task("b"))
    await at.work(session)
    return run, "namespace 'default' is at its limit of running attempts (1)"


async def _no_slots(at: Place) -> tuple[str, str]:
    session = at.hello()
    run = await at.begin(task("a"), task("b"), task("c"))
    await at.work(session)
    return run, "the one worker that fits is busy; 2 wait"


async def _not_asked(at: Place) -> tuple[str, str]:
    at.hello()
    return await at.begin(task()), "a worker has room for it, and has not asked for work yet"


async def _refused(at: Place) -> tuple[str, str]:
    session = at.hello()
    run = await at.begin(task())
    token = await at.work(session)
    returned = ReturnedReport(token=token, reason="no process could be started: too many", refused=True)
    await at.broker.report(session, WorkReport(returned=[returned]))
    return run, "refused 1 times, the last time because no process could be started: too many; it is offered again soon"


REASONS: dict[str, Callable[[Place], Awaitable[tuple[str, str]]]] = {
    "no-workers": _no_workers,
    "no-namespace": _no_namespace,
    "no-pool": _no_pool,
    "no-pool (all in pools)": _all_in_pools,
    "no-executor": _no_executor,
    "no-labels": _no_labels,
    "too-large": _too_large,
    "not-active": _draining,
    "not-active (quarantined)": _quarantined,
    "namespace-limit": _limit,
    "no-slots": _no_slots,
    "not-asked": _not_asked,
    "refused": _refused,
}


@pytest.mark.parametrize("code", REASONS)
def test_the_answer_of_the_fleet_is_in_each_place(code: str) -> None:
    async def go() -> None:
        async with asyncio.timeout(60), place() as at:
            run, reason = await REASONS[code](at)
            found = await at.why(run)
            assert found, "it waits"
            for _, given, text in found:
                assert given == code.split(" ")[0]
                assert text.startswith(reason), text

    asyncio.run(go())


def test_what_has_a_worker_does_not_wait() -> None:
    async def go() -> None:
        async with asyncio.timeout(60), place() as at:
            session = at.hello()
            run = await at.begin(task())
            await at.work(session)
            assert await at.why(run) == []

    asyncio.run(go())


def test_who_looks_from_outside_gets_what_the_store_knows(tmp_path: Path) -> None:
    """The same words for what a worker lacks; what only the server knows is left to it."""

    async def go() -> None:
        store = open_store(f"sqlite:{tmp_path}/a.db")
        broker = WorkerBroker(SystemClock(), b"k" * 32)
        async with asyncio.timeout(60), Engine(store=store, broker=broker, owner=this_process(serves=True)) as engine:
            at = Place(engine, broker, httpx.AsyncClient())
            outside = connect(f"sqlite:{tmp_path}/a.db")
            run = await at.begin(
                task("fits"), task("labels", extensions={"placement": {"selector": "gpu"}}), task("type", type_="noop")
            )
            bare = (await outside.inspect.overview(run)).waiting
            assert [(one.path, one.code) for one in bare] == [
                (f"main.{name}", "no-workers") for name in ("fits", "labels", "type")
            ]
            known = KnownWorkers(store, broker, engine.declare)
            offers = [ExecutorOffer(name="script"), ExecutorOffer(name="echo")]
            await known.note(Hello(worker="w1", protocols=[1], executors=offers, slots={"tasks": 1}))
            found = {one.path: (one.code, one.reason) for one in (await outside.inspect.overview(run)).waiting}
            assert found["main.fits"][0] == "ask-server"
            assert found["main.labels"] == ("no-labels", "no worker has the labels 'gpu' (of 1 that would do otherwise)")
            assert found["main.type"][0] == "no-executor"
            gone = [replace(one, connected=False) for one in await store.fleet.workers()]
            await store.fleet.put_workers(gone)
            assert {one.code for one in (await outside.inspect.overview(run)).waiting} == {"no-workers"}
            await outside.close()

    asyncio.run(go())


def test_of_a_run_that_no_server_drives_nothing_is_said(tmp_path: Path) -> None:
    async def go() -> None:
        store = f"sqlite:{tmp_path}/a.db"
        broker = WorkerBroker(SystemClock(), b"k" * 32)
        async with asyncio.timeout(60), Engine(store=store, broker=broker, owner=this_process()) as engine:
            run = await Place(engine, broker, httpx.AsyncClient()).begin(task())
            async with connect(store) as outside:
                overview = await outside.inspect.overview(run)
            assert (overview.waiting, overview.owner is not None) == ((), True)

    asyncio.run(go())


def test_a_server_is_called_so() -> None:
    assert is_server(this_process(serves=True))
    assert not is_server(this_process())
    assert not is_server("someone")
    assert called(this_process(serves=True)).startswith("server, process ")
