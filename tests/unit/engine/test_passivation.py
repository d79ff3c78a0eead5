"""Runs that only wait are put down, cost nothing, and are woken in time, whatever happens in between (RT-124)."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.mailbox import cancel_question, resume_question
from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, RunQuery, RunSummary
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, task

pytestmark = pytest.mark.rule("RT-124")


def waiting(**call: Any) -> Plan:
    return plan(dag(task("ask", "await", **call), task("then", after=(0,))))


def flaky(delay_s: int = 60) -> tuple[Plan, dict[str, Any]]:
    """A task that fails once and is tried again after a pause."""
    attempts: Counter[str] = Counter()

    def once(given: TaskAssignment, context: Any) -> TaskResult:
        attempts[given.run_id] += 1
        return TaskResult(given.ref, 0 if attempts[given.run_id] > 1 else 3)

    return plan(dag(task("a", "once", retry=retry(2, delay_s)))), {"once": ("inline", once)}


async def row_of(engine: RunEngine, run: str) -> RunSummary:
    row = await engine.store.runs.row(run)
    assert row is not None
    return row


async def asleep(engine: RunEngine) -> list[str]:
    return [row.run_id for row in await engine.store.runs.rows(RunQuery(asleep=True))]


@pytest.mark.parametrize("tier", [STATE_ACTION_LOG, SNAPSHOT])
def test_a_suspended_run_is_put_down_and_a_resume_wakes_it(tmp_path: Path, tier: str) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(waiting())
        await settled(engine)
        assert engine.driven.ids == [], "its state is not in memory"
        row = await row_of(engine, run)
        assert (row.phase, await engine.store.leases.owner(run)) == ("Suspended", None)
        assert row.wake_at is not None
        await cluster.pass_time(600)
        assert engine.driven.ids == []
        await engine.driven.ask(run, resume_question("main.ask", {}))
        await settled(engine)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 600.0)
        assert await asleep(engine) == []
        assert len(cluster.dispatched) == 3, "the await twice, the other task once"

    run_on(Cluster(tmp_path, tier=tier, passivate_after_s=0), body)


def test_what_is_asked_and_refused_leaves_the_run_asleep(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(waiting())
        await settled(engine)
        for _ in range(2):
            with pytest.raises(UsageError, match="has no task run"):
                await engine.driven.ask(run, resume_question("main.nothing", {}))
            await settled(engine)
            assert await asleep(engine) == [run]
        await engine.driven.ask(run, cancel_question("enough"))
        await settled(engine)
        assert (await row_of(engine, run)).phase == "Cancelled"
        with pytest.raises(UsageError, match="unknown"):
            await engine.driven.ask("nobody", cancel_question())

    run_on(Cluster(tmp_path, passivate_after_s=0), body)


def test_a_pause_before_a_retry_is_slept_through(tmp_path: Path) -> None:
    document, functions = flaky()

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        runs = [await engine.submit(document, run_id=f"r{number}") for number in range(3)]
        await cluster.pass_time(59)
        assert (sorted(await asleep(engine)), engine.driven.ids) == (runs, [])
        assert {(await row_of(engine, run)).wake_at for run in runs} == {cluster.at(60)}
        await cluster.pass_time(60)
        for run in runs:
            report = await client_of(engine).runs.report(run)
            assert (report.phase, report.duration_seconds, report.tasks[1].retries) == ("Succeeded", 60.0, 1)

    run_on(Cluster(tmp_path, functions, passivate_after_s=0), body)


def sleeping(duration: str = "1h", **call: Any) -> Plan:
    return plan(dag(task("nap", "sleep", {"duration": duration}, **call), task("then", after=(0,))))


def test_a_long_sleep_is_slept_through_in_the_store(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(sleeping())
        await cluster.pass_time(59)
        assert (engine.driven.ids, engine.brokers[0].busy) == ([], 0), "no state, and no attempt"
        assert (await row_of(engine, run)).wake_at == cluster.at(3_599), "in time for the attempt to be dispatched again"
        await cluster.pass_time(3_600)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds, report.tasks[1].retries) == ("Succeeded", 3_600.0, 0)
        nap = report.tasks[1]
        assert (nap.started_at, nap.finished_at) == (rfc3339(cluster.at(0)), rfc3339(cluster.at(3_600)))

    run_on(Cluster(tmp_path, passivate_after_s=10), body)


def test_of_several_sleeps_the_first_end_wakes_the_run(tmp_path: Path) -> None:
    several = plan(dag(*(task(f"n{number}", "sleep", {"duration": f"{number}m"}) for number in (2, 5, 9))))

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(several)
        for end in (2, 5, 9):
            await cluster.pass_time(60 * end - 2)
            assert (await row_of(engine, run)).wake_at == cluster.at(60 * end - 1)
            await cluster.pass_time(60 * end)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 540.0)
        assert [one.finished_at for one in report.tasks[1:]] == [rfc3339(cluster.at(end)) for end in (120, 300, 540)]

    run_on(Cluster(tmp_path, passivate_after_s=10), body)


def test_what_works_beside_a_sleep_keeps_the_run_in_memory(tmp_path: Path) -> None:
    async def works(given: TaskAssignment, context: Any) -> TaskResult:
        await context.sleep(100)
        return TaskResult(given.ref)

    both = plan(dag(task("nap", "sleep", {"duration": "1h"}), task("work", "works")))

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(both)
        await cluster.pass_time(99)
        assert engine.driven.ids == [run]
        await cluster.pass_time(130)
        assert engine.driven.ids == []
        await cluster.pass_time(3_600)
        assert (await client_of(engine).runs.report(run)).duration_seconds == 3_600.0

    run_on(Cluster(tmp_path, {"works": ("async", works)}, passivate_after_s=10), body)


def test_a_short_sleep_and_a_time_limit_before_its_end_count(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        short = await engine.submit(sleeping("19s"))
        limited = await engine.submit(sleeping(timeout_us=60 * SECOND))
        await cluster.pass_time(18)
        assert engine.driven.ids == [short]
        assert (await row_of(engine, limited)).wake_at == cluster.at(60)
        await cluster.pass_time(3_600)
        assert (await client_of(engine).runs.report(short)).duration_seconds == 19.0
        report = await client_of(engine).runs.report(limited)
        assert (report.phase, report.tasks[1].phase, report.duration_seconds) == ("Error", "Timeout", 60.0)

    run_on(Cluster(tmp_path, passivate_after_s=10), body)


@pytest.mark.parametrize("tier", [STATE_ACTION_LOG, SNAPSHOT])
def test_a_sleep_ends_in_time_after_a_kill_and_a_cancel_wakes_it(tmp_path: Path, tier: str) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run, other = await engine.submit(sleeping()), await engine.submit(sleeping())
        await cluster.pass_time(600)
        assert set(await asleep(engine)) == {run, other}
        await cluster.kill(engine)
        second = await cluster.start("second")
        assert await second.recover() == []
        await cluster.pass_time(1_200)
        await second.driven.ask(other, cancel_question("enough"))
        await settled(second)
        assert (await row_of(second, other)).phase == "Cancelled"
        await cluster.pass_time(3_600)
        assert (await client_of(second).runs.report(run)).duration_seconds == 3_600.0

    run_on(Cluster(tmp_path, tier=tier, lease_s=15, passivate_after_s=10), body)


def test_a_run_whose_record_is_ahead_of_the_clock_is_not_put_down_with_a_timer(tmp_path: Path) -> None:
    """How much of its wait has passed is known in memory alone, since the clock cannot say (RT-87)."""
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        first = await cluster.start("first")
        run, asks = await first.submit(document, run_id="paused"), await first.submit(waiting(), run_id="asks")
        await cluster.pass_time(1)
        await cluster.kill(first)
        second = await cluster.start("second", ahead_us=-3_600 * SECOND)
        assert sorted(await second.recover([run, asks])) == [asks, run]
        await cluster.pass_time(200)
        report = await client_of(second).runs.report(run)
        assert (report.phase, report.tasks[1].retries) == ("Succeeded", 1), "not an hour later"

    run_on(Cluster(tmp_path, functions, lease_s=15, passivate_after_s=0), body)


def test_what_is_asked_beside_a_sleep_wakes_the_run_and_the_sleep_continues(tmp_path: Path) -> None:
    both = plan(dag(task("nap", "sleep", {"duration": "1h"}), task("ask", "await")))

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(both)
        await cluster.pass_time(600)
        assert await asleep(engine) == [run]
        await engine.driven.ask(run, resume_question("main.ask", {}))
        await cluster.pass_time(700)
        assert await asleep(engine) == [run], "it is passivated again"
        await cluster.pass_time(3_600)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 3_600.0)

    run_on(Cluster(tmp_path, passivate_after_s=10), body)


def test_a_time_limit_wakes_a_run_at_its_instant(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(waiting(timeout_us=60 * SECOND))
        await cluster.pass_time(59)
        assert await asleep(engine) == [run]
        await cluster.pass_time(3_600)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.tasks[1].phase, report.duration_seconds) == ("Error", "Timeout", 60.0)

    run_on(Cluster(tmp_path, passivate_after_s=0), body)


def test_the_threshold_is_how_long_a_run_has_waited_and_will(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        long, soon = await engine.submit(waiting(), run_id="long"), await engine.submit(waiting(timeout_us=25 * SECOND))
        await cluster.pass_time(9.9)
        assert await asleep(engine) == []
        await cluster.pass_time(10)
        assert await asleep(engine) == [soon, long]
        again = await engine.submit(waiting(timeout_us=15 * SECOND))
        await cluster.pass_time(24)
        assert (again in engine.driven.ids, await asleep(engine)) == (True, [soon, long]), "its next timer is near"
        await cluster.pass_time(30)
        assert {(await row_of(engine, run)).phase for run in (soon, again)} == {"Error"}

    run_on(Cluster(tmp_path, passivate_after_s=10), body)


def test_a_run_that_is_waited_for_or_watched_stays(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(waiting())
        joining = asyncio.create_task(engine.driven.join(run))
        following = asyncio.create_task(engine.driven.follow(run))
        await cluster.pass_time(5)
        assert engine.driven.ids == [run]
        joining.cancel()
        await cluster.pass_time(7)
        assert (engine.driven.ids, await following) == ([], False), "a follower is told, and does not hold it"
        await engine.driven.ask(run, resume_question("main.ask", {}))
        assert await engine.driven.follow(run) is True

    run_on(Cluster(tmp_path, passivate_after_s=1), body)


def test_another_process_asks_through_the_mailbox(tmp_path: Path) -> None:
    """Its engine does not passivate, or it has none; the one that does polls."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(waiting())
        await cluster.pass_time(60)
        assert await asleep(engine) == [run]
        cluster.passivate_after_s = None
        other = await cluster.start("other")
        number = await other.store.mailbox.post(run, resume_question("main.ask", {}))
        await cluster.pass_time(61)
        assert (await row_of(engine, run)).phase == "Succeeded"
        assert await other.store.mailbox.answer(number) == {"done": True}

    run_on(Cluster(tmp_path, lease_s=15, passivate_after_s=0), body)


def test_of_two_engines_one_wakes_a_run_and_once(tmp_path: Path) -> None:
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engines = [await cluster.start("first"), await cluster.start("second")]
        runs = [await engines[number % 2].submit(document, run_id=f"r{number}") for number in range(20)]
        await cluster.pass_time(40)
        assert sorted(await asleep(engines[0])) == sorted(runs)
        await cluster.pass_time(200)
        for run in runs:
            report = await client_of(engines[0]).runs.report(run)
            assert (report.phase, report.duration_seconds) == ("Succeeded", 50.0)
        assert set(Counter(cluster.dispatched).items()) == {(("main.a", 1), 20), (("main.a", 2), 20)}
        assert await engines[0].store.upkeep.check() == []

    run_on(Cluster(tmp_path, functions, lease_s=15, passivate_after_s=0), body)


@pytest.mark.parametrize("killed_at", [5, 49.5])
def test_the_engine_is_killed_between_putting_down_and_waking(tmp_path: Path, killed_at: float) -> None:
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(document)
        await cluster.pass_time(killed_at)
        assert await asleep(engine) == [run]
        await cluster.kill(engine)
        second = await cluster.start("second")
        assert (await second.recover(), await asleep(second)) == ([], [run]), "it is left asleep"
        await cluster.pass_time(200)
        report = await client_of(second).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 50.0)

    run_on(Cluster(tmp_path, functions, lease_s=15, passivate_after_s=0), body)


def test_an_engine_that_does_not_passivate_recovers_what_sleeps(tmp_path: Path) -> None:
    """Else nothing would wake it in time."""
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(document)
        await cluster.pass_time(5)
        await cluster.stop(engine)
        cluster.passivate_after_s = None
        second = await cluster.start("second")
        assert await second.recover() == [run]
        await cluster.pass_time(200)
        assert (await client_of(second).runs.report(run)).duration_seconds == 50.0

    run_on(Cluster(tmp_path, functions, lease_s=15, passivate_after_s=0), body)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("lease_s", [None, 15])
def test_a_release_that_fails_is_tried_again(tmp_path: Path, written: bool, lease_s: float | None) -> None:
    """Also where it was written and nobody knows: the run is not driven meanwhile, and nothing is lost."""
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        leases, failing = engine.store.leases, [3]
        release = leases.release

        async def fails(*given: Any) -> None:
            if failing[0] and len(given) > 2:
                failing[0] -= 1
                if written:
                    await release(*given)
                raise PortError("the disk reports an error")
            await release(*given)

        leases.release = fails  # type: ignore[method-assign]
        asked, paused = await engine.submit(waiting(), run_id="asked"), await engine.submit(document)
        await settled(engine)
        assert engine.driven.ids == []
        await engine.driven.ask(asked, resume_question("main.ask", {}))
        await settled(engine)
        assert (await row_of(engine, asked)).phase == "Succeeded"
        await cluster.pass_time(10)
        assert (failing, await asleep(engine)) == ([0], [paused])
        await cluster.pass_time(200)
        assert (await client_of(engine).runs.report(paused)).duration_seconds == 50.0

    run_on(Cluster(tmp_path, functions, lease_s=lease_s, passivate_after_s=0), body)


@pytest.mark.parametrize("written", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_a_release_that_failed_is_not_tried_again_once_the_run_is_recovered(tmp_path: Path, written: bool, named: bool) -> None:
    """The run is in memory again by another way than the waking: to release it then would take it from its own engine."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        leases, failing = engine.store.leases, [True]
        release = leases.release

        async def fails(*given: Any) -> None:
            if failing[0] and len(given) > 2:
                if written:
                    await release(*given)
                raise PortError("the disk reports an error")
            await release(*given)

        leases.release = fails  # type: ignore[method-assign]
        run = await engine.submit(waiting())
        await cluster.pass_time(1)
        assert engine.driven.ids == []
        recovering = asyncio.create_task(engine.recover([run] if named else None))
        await settled(engine)
        recovered = [run] if named or not written else []  # what sleeps is recovered where it is named
        assert (await recovering, engine.driven.ids) == (recovered, recovered)
        failing[0] = False
        await engine.driven.ask(run, resume_question("main.ask", {}))
        await settled(engine)
        await cluster.pass_time(30)
        row = await row_of(engine, run)
        assert (row.phase, row.wake_at) == ("Succeeded", None)

    run_on(Cluster(tmp_path, lease_s=15, passivate_after_s=1), body)


def test_a_request_that_crosses_the_putting_down_is_not_lost(tmp_path: Path) -> None:
    """It is in the mailbox when the run is released, and the engine has not looked."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(waiting())
        leases = engine.store.leases
        release, posted = leases.release, []

        async def crossed(*given: Any) -> None:
            if len(given) > 2 and not posted:
                posted.append(await engine.store.mailbox.post(run, resume_question("main.ask", {})))
            await release(*given)

        leases.release = crossed  # type: ignore[method-assign]
        await cluster.pass_time(3)
        assert (posted, (await row_of(engine, run)).phase) == ([1], "Succeeded")

    run_on(Cluster(tmp_path, lease_s=15, passivate_after_s=0), body)


def test_on_tier_snapshot_every_wait_is_saved_before_the_run_is_put_down(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "await"), task("b", "await", after=(0,)), task("c", after=(1,)))))
        await settled(engine)
        for number, path in enumerate(("main.a", "main.b")):
            await cluster.pass_time(10 * (number + 1))
            assert await asleep(engine) == [run]
            await engine.driven.ask(run, resume_question(path, {}))
            await settled(engine)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.progress) == ("Succeeded", "3/3")

    run_on(Cluster(tmp_path, tier=SNAPSHOT, passivate_after_s=0), body)


@pytest.mark.parametrize("fault", [None, "refused", "away"])
def test_on_tier_snapshot_what_is_not_saved_is_saved_first(tmp_path: Path, fault: str | None) -> None:
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start("first")
        run = await engine.submit(document)
        await cluster.pass_time(1)
        append, failing = engine.store.runs.append, [fault]

        async def fails(batch: Any) -> Any:
            match failing.pop() if failing else None:
                case "refused":
                    return {part.run_id: BusyError("another engine has it") for part in batch}
                case "away":
                    raise PortError("the disk reports an error")
            return await append(batch)

        engine.store.runs.append = fails  # type: ignore[method-assign]
        await cluster.pass_time(4)
        assert (engine.driven.ids, failing) == ([run] if fault else [], []), "its state is ahead of its snapshot"
        await cluster.pass_time(40)
        assert (engine.driven.ids, await asleep(engine)) == ([], [run])
        await cluster.kill(engine)
        second = await cluster.start("second")
        await cluster.pass_time(200)
        report = await client_of(second).runs.report(run)
        assert (report.phase, report.duration_seconds, report.tasks[1].retries) == ("Succeeded", 50.0, 1)

    run_on(Cluster(tmp_path, functions, tier=SNAPSHOT, lease_s=15, passivate_after_s=3), body)


def test_many_runs_that_are_due_at_once_are_woken_in_batches(tmp_path: Path) -> None:
    document, functions = flaky(50)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        for number in range(300):
            await engine.submit(document, run_id=f"r{number}")
        await cluster.pass_time(40)
        assert (len(await asleep(engine)), engine.driven.ids) == (300, [])
        await cluster.pass_time(200)
        rows = await engine.store.runs.rows(RunQuery(phases=["Succeeded"]))
        assert (len(rows), {row.ended_at for row in rows}) == (300, {cluster.at(50)})

    run_on(Cluster(tmp_path, functions, passivate_after_s=0), body)
