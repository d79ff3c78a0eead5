"""A run that breaks the engine that drives it, again and again, is set aside, and no other run suffers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.recovery import rebuild
from aether_protocol.errors import BrokenInvariant, PortError, UsageError
from aether_protocol.plan.model import Plan, Retry
from aether_protocol.ports.store import RunAppend, RunQuery
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import RunClosed
from aether_protocol.scheduler.snapshot import snapshot
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import dag, plan, task


def breaking_plan() -> Plan:
    """The end of its second task breaks the scheduler: the plan, which no compiler made, gives a wait without end."""
    endless = Retry(1, jitter=-sys.float_info.max)
    made = dag(task("first"), task("bad", "of-no-known-type", after=(0,), retry=endless))
    return plan(made, timeout_us=10**15)


async def broken(engine: RunEngine, run: str) -> str | None:
    await settled(engine)
    return (await client_of(engine).runs.get(run)).broken


@pytest.mark.rule("RT-84")
def test_what_breaks_its_engine_three_times_in_a_row_is_set_aside(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        good = await engine.submit(plan(dag(task("a", "sleep", {"duration": "60s"}))))
        run = await engine.submit(breaking_plan())
        with pytest.raises(BrokenInvariant, match="OverflowError"):
            await client_of(engine).runs.wait(run)
        assert await broken(engine, run) is None
        for time in (2, 3):
            assert await engine.recover() == [run], "it was given back"
            assert (await broken(engine, run) is not None) == (time == 3)
        assert await engine.recover() == []
        with pytest.raises(UsageError, match=r"was set aside, for it broke its engine 3 times in a row: OverflowError"):
            await engine.recover([run])
        assert [row.broken is not None for row in await engine._store.runs.rows(RunQuery())] == [True, False]
        other = await cluster.start("other")
        assert await other.recover() == [], "nor does another one take it"
        await cluster.pass_time(70)
        assert (await client_of(engine).runs.report(good)).phase == "Succeeded"
        assert await client_of(other).control.mend(run)
        assert not await client_of(other).control.mend(run)
        assert await other.recover() == [run]
        assert "OverflowError" in str(await broken(other, run)), "once more, and not three times"
        assert await other.recover() == []

    run_on(Cluster(tmp_path), body)
    assert "was set aside: it broke its engine 3 times in a row" in caplog.text


@pytest.mark.rule("RT-84")
def test_an_engine_that_closes_at_once_has_told_what_broke_it(tmp_path: Path) -> None:
    """As each `aether resume` of such a run is one."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(breaking_plan())
        for _ in range(2):
            with pytest.raises(BrokenInvariant):
                await client_of(engine).runs.wait(run)
            await cluster.stop(engine)
            engine = await cluster.start("next")
            assert await engine.recover([run]) == [run]
        assert await broken(engine, run) is not None

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-84")
def test_a_killed_engine_was_not_broken(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "sleep", {"duration": "60s"}))))
        for _ in range(5):
            await settled(engine)
            await cluster.kill(engine)
            engine = await cluster.start()
            assert await engine.recover() == [run]
        await cluster.pass_time(70)
        assert await broken(engine, run) is None
        assert (await client_of(engine).runs.report(run)).phase == "Succeeded"

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-84")
def test_a_store_that_fails_is_not_the_runs_fault(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(*(task(name, "sleep", {"duration": "60s"}) for name in "ab"))))
        await settled(engine)
        given = engine._store.runs.append

        async def fails(batch: Any) -> Any:
            raise PortError("the disk is full")

        for _ in range(5):
            engine._store.runs.append = fails  # type: ignore[method-assign]
            engine._driver.reports.started(AttemptRef(run, "main.a", 99))  # changes nothing
            with pytest.raises(PortError):
                await client_of(engine).control.cancel(run)
            engine._store.runs.append = given  # type: ignore[method-assign]
            await settled(engine)
            assert await engine.recover() == [run]
        assert await broken(engine, run) is None

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-84")
def test_what_cannot_be_carried_on_with_is_set_aside_too(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An invariant that does not hold in a record is met by every recovery."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "sleep", {"duration": "60s"}))))
        await settled(engine)
        await cluster.kill(engine)
        engine = await cluster.start()
        store = engine._store
        [(_, token)] = await store.leases.claim(engine.owner, 1, run_ids=[run])
        row = await client_of(engine).runs.get(run)
        step = LogEntry(row.seq + 1, cluster.clock.now(), "test", [RunClosed()], [])
        after = replace(row, seq=step.seq)
        assert await store.runs.append([RunAppend(run, row.seq, [step], 0, after, token=token)]) == {}
        for time in (1, 2, 3):
            assert await engine.recover() == []
            assert (await broken(engine, run) is not None) == (time == 3)
        with pytest.raises(UsageError, match="set aside"):
            await engine.recover([run])

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-48")
def test_a_run_of_a_kind_that_is_not_known_is_left_alone(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "sleep", {"duration": "60s"}))))
        await settled(engine)
        await cluster.kill(engine)
        engine = await cluster.start()
        load = engine._store.runs.load

        async def newer(run_id: str) -> Any:
            stored = await load(run_id)
            state = rebuild(stored)
            state.header.program = "code"
            return replace(stored, header=state.header, snapshot=snapshot(state), lines=[])

        engine._store.runs.load = newer  # type: ignore[method-assign]
        with pytest.raises(PortError, match="program of kind 'code'"):
            await engine.recover([run])
        engine._store.runs.load = load  # type: ignore[method-assign]
        assert await engine.recover([run]) == [run]

    run_on(Cluster(tmp_path), body)
