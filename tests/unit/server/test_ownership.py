"""Several servers on one store, in the process of the test: their rows, and how runs are shared among them."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from msgspec.structs import replace

from aether_protocol import Engine
from aether_protocol.engine import leases, releases
from aether_protocol.ports.store.schedules import FireRecord
from aether_protocol.server.hosting.host import ServerHost
from aether_protocol.service import client_of
from aether_protocol.service.documents.texts import DocumentText
from tests.documents import submitted
from tests.postgres import database_url
from tests.unit.server.serving import until
from tests.unit.server.test_host import ended, hosting


def waits(seconds: int = 300) -> dict[str, Any]:
    """A run that waits for so long."""
    return submitted({"name": "job", "executor": {"type": "sleep", "config": {"duration": f"{seconds}s"}}})


def suspends() -> dict[str, Any]:
    """A run that waits for an answer."""
    return submitted({"name": "job", "executor": {"type": "await", "config": {}}})


def held(host: ServerHost) -> int:
    """How many runs a server drives."""
    return sum(host.engine.drives(run) for run in host.engine.driven.ids)


@pytest.fixture(params=["sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store of its own."""
    return f"sqlite:{tmp_path}/runs.db" if request.param == "sqlite" else database_url()


@pytest.fixture
def long_lease(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let runs be leased for 90 s, so that what takes less waits for no lease, however busy the machine is."""
    defaults: Any = Engine.__init__.__kwdefaults__
    monkeypatch.setitem(defaults, "lease_s", 90.0)


@pytest.mark.rule("RT-148")
def test_servers_are_listed_with_their_address_version_and_runs(url: str) -> None:
    async def go() -> None:
        async with hosting(url, advertise="http://box:1234") as one, hosting(url) as other:
            run = await one.engine.submit(waits())
            await until(lambda: other.ownership.lives(one.engine.owner))
            async with httpx.AsyncClient() as client:
                found = (await client.get(f"{other.url}/v1/servers")).json()
            assert [server["address"] for server in found["servers"]] == ["http://box:1234", other.url]
            assert [server["runs"] for server in found["servers"]] == [1, 0]
            assert found["free"] == 0
            assert one.engine.drives(run)
        async with hosting(url) as third:
            assert [row.owner for row in third.ownership.servers] == [third.engine.owner], "those that left are gone"

    asyncio.run(go())


@pytest.mark.rule("RT-148")
def test_runs_are_shared_with_a_server_that_comes_and_taken_over_from_one_that_leaves(url: str, long_lease: None) -> None:
    async def go() -> None:
        async with hosting(url) as one:
            assert one.engine.driven.lease_us == 90_000_000
            runs = [await one.engine.submit(suspends() if number % 2 else waits()) for number in range(20)]
            async with hosting(url) as other:
                await until(lambda: held(one) <= 11 and held(one) + held(other) == 20)
                assert held(other) <= 11
                moved = next(run for run in runs if other.engine.drives(run))
                assert not one.engine.drives(moved)
                await client_of(one.engine).control.cancel(moved)
                assert (await ended(one, moved)).phase == "Cancelled", "any server answers, and passes on what is asked"
            await until(lambda: held(one) == 19, 30)  # at once, and not only after the lease

    asyncio.run(go())


@pytest.mark.rule("RT-148")
def test_who_waits_for_a_run_here_or_follows_it_sees_its_end_elsewhere(tmp_path: Path) -> None:
    async def go() -> None:
        url = f"sqlite:{tmp_path}/runs.db"
        async with hosting(url) as one, hosting(url) as other:
            client = client_of(one.engine, elsewhere=True)
            tasks = [{"name": name, "executor": {"type": "await", "config": {}}} for name in ("t1", "t2")]
            run = await one.engine.submit(submitted(*tasks))
            waiting = asyncio.create_task(client.runs.wait(run))
            feed = client.runs.events(run, follow=True)
            seen: list[int] = []

            async def follow() -> None:
                async for record in feed:
                    seen.append(record["seq"])  # noqa: PERF401  # looked at while it goes

            following = asyncio.create_task(follow())
            await until(lambda: len(seen) > 3)
            while not other.engine.drives(run):  # either of the two takes it, and keeps it for a second
                one.engine.driven.release(1)
                await asyncio.sleep(0.1)
            for task in ("t1", "t2"):
                await client_of(other.engine).control.resume(run, task)
            assert (await asyncio.wait_for(waiting, 20)).phase == "Succeeded"
            await asyncio.wait_for(following, 20)
            stored = [record["seq"] async for record in client.runs.events(run)]
            assert seen == stored, "nothing twice, nothing lost"

    asyncio.run(go())


@pytest.mark.rule("RT-148")
def test_a_run_that_has_just_begun_here_is_not_released(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def go() -> None:
        monkeypatch.setattr(releases, "HELD_US", 3_600_000_000)
        async with hosting(f"sqlite:{tmp_path}/runs.db") as one:
            run = await one.engine.submit(suspends())
            await until(lambda: one.engine.driven.state(run).phase == "Suspended")
            one.engine.driven.release(1)
            await asyncio.sleep(0.2)
            assert one.engine.drives(run)
            monkeypatch.setattr(releases, "HELD_US", 0)
            one.engine.driven.release(1)
            await until(lambda: not one.engine.drives(run))
            await until(lambda: one.engine.drives(run))  # a server that is alone takes it again

    asyncio.run(go())


@pytest.mark.rule("RT-148")
def test_a_request_to_another_server_over_postgres_waits_for_no_beat(
    monkeypatch: pytest.MonkeyPatch, long_lease: None
) -> None:
    monkeypatch.setattr(leases, "BEAT_US", 30_000_000)

    async def go() -> None:
        url = database_url()
        async with hosting(url) as one, hosting(url) as other:
            for _ in range(3):
                run = await one.engine.submit(suspends())
                await until(lambda run=run: one.engine.driven.state(run).phase == "Suspended")  # type: ignore[misc]
                await asyncio.wait_for(client_of(other.engine).control.cancel(run), 15)  # a beat is 30 s

    asyncio.run(go())


@pytest.mark.rule("RT-148")
def test_what_was_due_on_a_schedule_is_started_once_by_servers_that_come_at_once(url: str) -> None:
    async def go() -> None:
        spec = {"schedule": "* * * * *", "startingDeadlineSeconds": 300, "workflowSpec": suspends()["spec"]}
        text = json.dumps({"apiVersion": "aether/v1", "kind": "CronWorkflow", "metadata": {"name": "often"}, "spec": spec})
        async with hosting(url, cron=False) as first:
            await client_of(first.engine).schedules.apply([DocumentText("often.yaml", text)])
            schedules = first.engine.store.schedules
            assert schedules is not None
            schedule = await schedules.get("default", "often")
            assert schedule is not None
            assert schedule.next_at is not None
            before = replace(schedule, seen=schedule.seen - 120_000_000, next_at=schedule.next_at - 120_000_000)
            await schedules.put(before, await schedules.plan("default", "often"))
        async with hosting(url) as one, hosting(url), hosting(url) as other:
            client = client_of(one.engine)
            fires: list[FireRecord] = []
            end = time.monotonic() + 30
            while not fires and time.monotonic() < end:
                await asyncio.sleep(0.1)
                fires = [fire for fire in await client_of(other.engine).schedules.history("default/often") if fire.run_id]
            assert len(fires) == len({fire.at for fire in fires}) > 0
            assert len(await client.runs.list()) == len(fires)

    asyncio.run(go())
