"""Runs side by side: what is reported, what is waited for, what code they give; and applying where the store refuses."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.cli.hosting import worst_of
from aether_protocol.cli.render.journal import entry_of
from aether_protocol.cron.settings import CronSettings
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import BusyError
from aether_protocol.plan.model import Call
from aether_protocol.ports.store.schedules import STARTED, FireRecord, StoredSchedule
from aether_protocol.service import client_of
from aether_protocol.service.run_host import HostEvent, RunHost
from aether_protocol.testing.harness import Cluster, run_on
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import dag, plan, task

SCHEDULE = StoredSchedule("default", "nightly", CronSettings("* * * * *"), "s", "{}", 0, 0, 0, None)


class Scene:
    """An engine with a host of runs around it, on a virtual clock."""

    def __init__(self, cluster: Cluster, engine: RunEngine, told: list[HostEvent], *, serves: bool) -> None:
        self.cluster = cluster
        self.engine = engine
        self.told = told
        self.runs = RunHost(engine, self.told.append, asyncio.Event(), serves=serves)

    @property
    def codes(self) -> dict[str, int]:
        return {what: worst_of([outcome]) for what, outcome in self.runs.outcomes.items()}

    async def start(self, run_id: str, *tasks: Call) -> None:
        """A run of these tasks that a fire has started."""
        await self.engine.submit(plan(dag(*tasks)), run_id=run_id)
        self.runs.fired(SCHEDULE, FireRecord(0, STARTED, 0, run_id))

    async def adopt(self, run_id: str) -> None:
        await self.engine.recover([run_id])
        self.runs.adopted(run_id)


Body = Callable[[Scene], Coroutine[Any, Any, None]]


def play(
    tmp_path: Path, body: Body, *, serves: bool = False, passivate_after_s: float | None = None
) -> list[tuple[str, ...]]:
    """(kind, run, phase) of all that was reported."""
    told: list[HostEvent] = []

    async def go(cluster: Cluster) -> None:
        scene = Scene(cluster, await cluster.start(), told, serves=serves)
        try:
            await body(scene)
        finally:
            scene.runs.close()

    run_on(Cluster(tmp_path, passivate_after_s=passivate_after_s), go)
    entries = [entry_of(event, "") for event in told]
    return [(one.kind, *(str(one.fields[name]) for name in ("runId", "phase") if name in one.fields)) for one in entries]


def test_runs_are_waited_for_until_the_last_has_ended(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("long", task("a", "sleep", {"duration": "10s"}))
        await scene.start("short", task("a", "noop"))
        through = asyncio.create_task(scene.runs.through())
        await scene.cluster.pass_time(5)
        assert scene.runs.watched == ["long"]
        assert not through.done()
        await scene.cluster.pass_time()
        await through
        assert scene.codes == {"short": 0, "long": 0}

    assert play(tmp_path, body) == [
        ("FireStarted", "long"), ("FireStarted", "short"),
        ("RunEnded", "short", "Succeeded"), ("RunEnded", "long", "Succeeded"),
    ]


def test_a_host_that_leaves_waits_for_no_run(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("long", task("a", "sleep", {"duration": "10s"}))
        through = asyncio.create_task(scene.runs.through())
        await scene.cluster.pass_time(5)
        scene.runs.leaving.set()
        await through
        assert scene.runs.watched == ["long"]
        assert scene.codes == {}

    assert play(tmp_path, body) == [("FireStarted", "long")]


def test_a_run_that_was_lost_is_told_with_its_code(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("long", task("a", "sleep", {"duration": "10s"}))
        through = asyncio.create_task(scene.runs.through())
        await scene.cluster.pass_time(5)
        run = scene.engine._driver.runs["long"]
        scene.engine._driver.abandon(run, BusyError("run 'long' was taken over by another engine"))
        await through
        assert scene.codes == {"long": 8}

    assert play(tmp_path, body) == [("FireStarted", "long"), ("RunLost", "long")]


def test_a_suspended_run_is_reported_once_by_a_host_that_leaves_it(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("asks", task("a", "await"))
        through = asyncio.create_task(scene.runs.through())
        await scene.cluster.pass_time(1)
        await through
        assert scene.codes == {"asks": 7}
        await scene.cluster.stop(scene.engine)
        again = Scene(scene.cluster, await scene.cluster.start("next"), scene.told, serves=False)
        await again.adopt("asks")
        await again.runs.through()
        assert again.codes == {}
        again.runs.close()

    assert play(tmp_path, body) == [("FireStarted", "asks"), ("RunSuspended", "asks")]


def test_a_suspended_run_whose_time_ran_out_meanwhile_is_seen_to_its_end(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("asks", task("a", "await", timeout_us=60_000_000))
        await scene.cluster.pass_time(1)
        await scene.runs.through()
        await scene.cluster.stop(scene.engine)
        scene.cluster.clock.advance(scene.cluster.begin + 61_000_000)
        again = Scene(scene.cluster, await scene.cluster.start("next"), scene.told, serves=False)
        await again.adopt("asks")
        through = asyncio.create_task(again.runs.through())
        await scene.cluster.pass_time()
        await through
        assert list(again.codes) == ["asks"]
        again.runs.close()

    assert play(tmp_path, body)[-1] == ("RunEnded", "asks", "Error")


def test_a_host_that_serves_waits_on_and_reports_each_question(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("asks", task("a", "await"), replace(task("b", "await", after=(0,)), position=1))
        await scene.cluster.pass_time(1)
        for path in ("main.a", "main.b"):
            assert scene.runs.watched == ["asks"]
            await client_of(scene.engine).control.resume("asks", path, {})
            await scene.cluster.pass_time(1)
        assert scene.runs.watched == []
        assert scene.codes == {}  # of weeks of runs nothing is kept

    assert play(tmp_path, body, serves=True) == [
        ("FireStarted", "asks"), ("RunSuspended", "asks"), ("RunSuspended", "asks"), ("RunEnded", "asks", "Succeeded"),
    ]


@pytest.mark.rule("RT-124")
def test_a_host_that_serves_keeps_no_run_that_only_waits(tmp_path: Path) -> None:
    async def body(scene: Scene) -> None:
        await scene.start("asks", task("ask", "await"))
        await scene.start("naps", task("nap", "sleep", {"duration": "30m"}), task("then", after=(0,)))
        await scene.cluster.pass_time(30)
        await asyncio.sleep(0)
        assert (scene.engine.driven.ids, scene.runs.watched) == ([], [])
        assert await scene.runs.grace(1) == [], "nothing is left behind by a host that leaves now"
        await scene.cluster.pass_time(1_800)
        await client_of(scene.engine).control.resume("asks", "ask")
        await settled(scene.engine)

    told = play(tmp_path, body, serves=True, passivate_after_s=10)
    assert [one for one in told if one[0] != "FireStarted"] == [
        ("RunSuspended", "asks"),
        ("RunEnded", "naps", "Succeeded"),
        ("RunEnded", "asks", "Succeeded"),
    ]


@pytest.mark.rule("RT-124")
def test_a_run_that_is_woken_after_a_restart_is_reported_by_the_host_that_woke_it(tmp_path: Path) -> None:
    told: list[HostEvent] = []

    async def go(cluster: Cluster) -> None:
        first = await cluster.start("first")
        run = await first.submit(plan(dag(task("nap", "sleep", {"duration": "1h"}))))
        await cluster.pass_time(60)
        await cluster.kill(first)
        second = await cluster.start("second")
        runs = RunHost(second, told.append, asyncio.Event(), serves=True)
        await cluster.pass_time(3_599.5)
        assert runs.watched == [run]
        await cluster.pass_time(3_601)
        runs.close()

    run_on(Cluster(tmp_path, lease_s=15, passivate_after_s=10), go)
    assert [entry_of(event, "").kind for event in told] == ["RunEnded"]
