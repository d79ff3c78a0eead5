"""Several engines on one store: who drives a run, who takes it over, and what the others may ask and see."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import SNAPSHOT, RunQuery
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.facts import AttemptRepeated
from aether_protocol.scheduler.machine import START_LIMIT
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on, succeed
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import dag, plan, retry, secret, task, value


def waiting_plan() -> Plan:
    return plan(dag(task("ask", "await"), task("then", "echo", None, value("x", 1), after=(0,))))


def slow_plan(duration: str = "60s") -> Plan:
    return plan(dag(task("a", "sleep", {"duration": duration}), task("b", after=(0,))))


async def work_for_a_minute(given: TaskAssignment, context: Any) -> TaskResult:
    """Begins again after a crash, as most executors do."""
    await context.sleep(60)
    return succeed(given)


def test_a_run_has_one_engine_and_another_takes_it_over_when_that_one_is_gone(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        first, second = await cluster.start("first"), await cluster.start("second")
        run = await first.submit(slow_plan())
        await cluster.pass_time(40)  # the lease is renewed as long as the engine lives
        assert await second.recover() == []
        with pytest.raises(BusyError, match="driven by another engine"):
            await second.recover([run])
        with pytest.raises(UsageError, match="unknown"):
            await second.recover(["nobody"])
        await cluster.kill(first)
        await cluster.pass_time(50)
        assert await second.recover() == []
        await cluster.pass_time(58)
        assert await second.recover() == [run]
        await cluster.pass_time(130)
        assert (await client_of(second).runs.report(run)).phase == "Succeeded"
        assert (await client_of(second).runs.report(run)).duration_seconds == 60.0  # it slept for the rest
        assert [(path, attempt) for path, attempt in cluster.dispatched] == [("main.a", 1), ("main.a", 1), ("main.b", 1)]
        assert (await client_of(second).runs.report(run)).tasks[1].retries == 0
        assert await second.recover([run]) == []

    run_on(Cluster(tmp_path, lease_s=15), body)


def test_an_engine_that_comes_back_too_late_has_lost_its_runs(tmp_path: Path) -> None:
    stopped: list[str] = []

    async def slow(given: TaskAssignment, context: Any) -> TaskResult:
        try:
            await context.sleep(100)
        finally:
            stopped.append(given.path)
        return succeed(given)

    async def body(cluster: Cluster) -> None:
        first = await cluster.start("first")
        run = await first.submit(plan(dag(task("a", "slow"))))
        await cluster.pass_time(1)
        waiting = asyncio.ensure_future(client_of(first).runs.wait(run))
        first._keeper.stop()  # it sleeps, as a laptop does: its beat is not heard
        await cluster.pass_time(20)
        second = await cluster.start("second")
        assert await second.recover() == [run]
        first._keeper._ring()
        await cluster.pass_time(21)
        with pytest.raises(BusyError, match="taken over"):
            await waiting
        assert stopped == ["main.a"]
        with pytest.raises(BusyError):
            first.driven.state(run)
        assert (await client_of(first).runs.report(run)).phase == "Running"  # it may look on, as everybody
        await cluster.pass_time(140)
        assert (await client_of(first).runs.wait(run)).phase == "Succeeded"

    run_on(Cluster(tmp_path, {"slow": ("async", slow)}, lease_s=15), body)


def test_the_writes_of_a_stale_owner_are_refused(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        first = await cluster.start("first")
        run = await first.submit(slow_plan("10s"))
        await cluster.pass_time(1)
        cluster.lease_s = None
        other = await cluster.start("second")
        await other._store.leases.release("first", [run])
        await other._store.leases.claim("second", 10**15, run_ids=[run])
        waiting = asyncio.ensure_future(client_of(first).runs.wait(run))
        await cluster.pass_time(30)  # its first word after that is a result
        with pytest.raises(BusyError, match="taken over"):
            await waiting
        row = await client_of(other).runs.get(run)
        assert (row.phase, row.leaves_ended) == ("Running", 0)

    run_on(Cluster(tmp_path, lease_s=10_000_000), body)


def test_others_may_resume_and_cancel_through_the_mailbox(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        run, second = await driving.submit(waiting_plan()), await driving.submit(waiting_plan())
        await cluster.pass_time(0.5)
        calls = [
            asyncio.ensure_future(call)
            for call in (
                client_of(other).control.resume(run, "main.asc", {}),
                client_of(other).control.resume(run, "main.ask", {"approved": True}),
                client_of(other).control.cancel(second),
            )
        ]
        ended = asyncio.ensure_future(client_of(other).runs.wait(run))
        await cluster.pass_time(4)
        misspelt, resumed, cancelled = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(misspelt, UsageError)
        assert (misspelt.hint, resumed, cancelled) == ("did you mean 'main.ask'?", None, None)
        assert (await ended).phase == "Succeeded"
        assert (await client_of(other).runs.report(second)).phase == "Cancelled"
        with pytest.raises(UsageError, match="Succeeded"):
            await client_of(other).control.cancel(run)

    run_on(Cluster(tmp_path, lease_s=15), body)


def test_a_request_that_nobody_answers_is_taken_back(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        driving = await cluster.start("driving")
        run = await driving.submit(waiting_plan())
        await cluster.pass_time(0.5)
        await cluster.kill(driving)
        other = await cluster.start("other")
        asking = asyncio.ensure_future(client_of(other).control.cancel(run))
        await cluster.pass_time(30)
        with pytest.raises(BusyError, match="no engine answers"):
            await asking
        assert await other.recover() == [run]
        await cluster.pass_time(40)
        assert (await client_of(other).runs.report(run)).phase == "Suspended"
        await client_of(other).control.resume(run, "main.ask", {"approved": True})
        await cluster.pass_time(41)
        assert (await client_of(other).runs.report(run)).phase == "Succeeded"

    run_on(Cluster(tmp_path, lease_s=15), body)


@pytest.mark.rule("CTRL-3")
@pytest.mark.parametrize("last", [1, 2, 3, 0])
def test_what_is_cancelled_at_its_recovery_starts_nothing_more(tmp_path: Path, last: int) -> None:
    """Also where its engine was killed before its first step was written, in the middle of a fan-out, or at rest."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        many = [task(f"t{number}", "sleep", {"duration": "60s"}) for number in range(START_LIMIT + 36)]
        run = await engine.submit(plan(dag(*many, task("z", after=(0,)))))
        await cluster.pass_time(1)
        await cluster.kill(engine)
        cluster.dispatched.clear()
        engine = await cluster.start()
        assert await engine.recover([run], cancel=True) == [run]
        await cluster.pass_time(2)
        assert (await client_of(engine).runs.report(run)).phase == "Cancelled"
        assert (await client_of(engine).runs.get(run)).closed
        assert cluster.dispatched == []
        with pytest.raises(UsageError, match="has ended: it is Cancelled"):
            await client_of(engine).control.cancel(run)

    run_on(Cluster(tmp_path, kill_at=last, kill_before=True), body)


@pytest.mark.rule("CTRL-3")
def test_a_cancel_that_waits_in_the_mailbox_comes_before_anything_is_handed_over(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        run = await driving.submit(slow_plan())
        await cluster.pass_time(10)
        await cluster.kill(driving)
        cluster.dispatched.clear()
        await cluster.pass_time(20)  # its lease continues
        asking = asyncio.ensure_future(client_of(other).control.cancel(run))
        await cluster.pass_time(26)
        successor = await cluster.start("successor")
        assert await successor.recover() == [run]
        await cluster.pass_time(28)
        await asking
        assert ((await client_of(successor).runs.report(run)).phase, cluster.dispatched) == ("Cancelled", [])

    run_on(Cluster(tmp_path, lease_s=15), body)


def test_a_run_whose_requests_cannot_be_read_is_left_to_others(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(slow_plan())
        await cluster.pass_time(1)
        await cluster.kill(engine)
        cluster.dispatched.clear()
        engine = await cluster.start("second")

        async def broken(owner: str) -> Any:
            raise PortError("the disk reports an error")

        engine._store.mailbox.requests = broken  # type: ignore[method-assign]
        await engine._store.leases.release("engine")
        with pytest.raises(PortError, match="the disk"):
            await engine.recover([run])
        await settled(engine)
        third = await cluster.start("third")
        assert await third.recover() == [run]
        await cluster.pass_time()
        assert (await client_of(third).runs.report(run)).phase == "Succeeded"
        assert cluster.dispatched == [("main.a", 1), ("main.b", 1)]

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("SCHED-9", "RT-22")
@pytest.mark.parametrize("concurrency", [None, 1])
def test_what_dies_with_its_engine_is_repeated_and_never_blamed(tmp_path: Path, concurrency: int | None) -> None:
    """However often, and whether it ran or waited for a slot then."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(*(task(name, "work", retry=retry(2)) for name in "ab"), task("c", after=(0, 1)))))
        for _ in range(12):
            await cluster.pass_time(1)
            await cluster.kill(engine)
            engine = await cluster.start()
            assert await engine.recover() == [run]
            await settled(engine)
        repeated = [fact.losses for step in cluster.steps for fact in step.facts if isinstance(fact, AttemptRepeated)]
        assert repeated == [0] * 24
        await cluster.pass_time()
        report = await client_of(engine).runs.report(run)
        assert [(one.path, one.phase, one.retries) for one in report.tasks[1:]] == [
            ("main.a", "Succeeded", 0),
            ("main.b", "Succeeded", 0),
            ("main.c", "Succeeded", 0),
        ]

    run_on(Cluster(tmp_path, {"work": ("async", work_for_a_minute)}, concurrency=concurrency), body)


@pytest.mark.rule("CTRL-4")
def test_a_retry_keeps_what_succeeded(tmp_path: Path) -> None:
    fails = [True]

    def work(given: TaskAssignment, context: object) -> TaskResult:
        if fails[0]:
            return TaskResult(given.ref, 2, "not yet")
        return succeed(given, text=given.inputs["password"])

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        inputs = (secret("password", "db", "password"),)
        run = await engine.submit(
            plan(dag(task("a", "echo", None, value("x", 1)), task("b", "work", None, *inputs, after=(0,))))
        )
        with pytest.raises(UsageError, match="has not ended"):
            await client_of(engine).control.retry(run)
        assert (await client_of(engine).runs.wait(run)).phase == "Failed"
        await cluster.kill(engine)
        engine = await cluster.start()
        fails[0] = False
        again = await client_of(engine).control.retry(run, new_id="again")
        report = await client_of(engine).runs.wait(again)
        assert (report.phase, [one.outputs for one in report.tasks[1:]]) == ("Succeeded", [{"x": 1}, {"text": "***"}])
        assert cluster.dispatched == [("main.a", 1), ("main.b", 1), ("main.b", 1)]
        assert (await client_of(engine).runs.get(again)).retry_of == run
        with pytest.raises(UsageError, match="nothing to retry"):
            await client_of(engine).control.retry(again)
        with pytest.raises(UsageError, match=r"no task run 'main\.aa'") as told:
            await client_of(engine).control.retry(again, "main.aa")
        assert told.value.hint == "did you mean 'main.a'?"
        third = await client_of(engine).control.retry(again, "main.a")
        await client_of(engine).runs.wait(third)
        assert cluster.dispatched[3:] == [("main.a", 1), ("main.b", 1)]
        assert [row.run_id for row in await engine._store.runs.rows(RunQuery(phases=["Succeeded"]))] != []

    run_on(Cluster(tmp_path, {"work": ("inline", work)}, secrets={"db": {"password": "hunter2"}}), body)


def test_any_state_of_the_past_can_be_had(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(slow_plan())
        await cluster.pass_time()
        total = (await client_of(engine).runs.get(run)).seq
        assert (await engine.driven.load(run, 0)).root is None
        phases = [str((await engine.driven.load(run, seq)).phase) for seq in range(1, total + 1)]
        assert phases == ["Ready", *["Running"] * (total - 2), "Succeeded"]
        with pytest.raises(UsageError, match="has no step 99"):
            await engine.driven.load(run, 99)
        with pytest.raises(UsageError, match="unknown"):
            await engine.driven.load("nobody")

    run_on(Cluster(tmp_path), body)


def test_events_of_a_run_that_another_engine_drives(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        run = await driving.submit(slow_plan("5s"))
        own = client_of(driving).runs.events(run, follow=True)
        await cluster.pass_time(1)
        now = [record async for record in client_of(other).runs.events(run)]
        assert now
        assert now[-1]["kind"] != "RunClosed"
        late = client_of(driving).runs.events(run, follow=True)

        async def all_of(stream: Any) -> list[Any]:
            return [record async for record in stream]

        elsewhere = client_of(other).runs.events(run, follow=True)
        watching = [asyncio.ensure_future(all_of(stream)) for stream in (own, late, elsewhere)]
        await cluster.pass_time(10)
        first, second, third = await asyncio.gather(*watching)
        assert first == second == third
        assert first[: len(now)] == now
        assert first[-1]["kind"] == "RunClosed"
        with pytest.raises(UsageError, match="unknown"):
            await anext(client_of(other).runs.events("nobody", follow=True))

    run_on(Cluster(tmp_path, lease_s=15), body)


def test_logs_are_stored_masked_and_can_be_read_while_it_runs(tmp_path: Path) -> None:
    async def talk(given: TaskAssignment, context: Any) -> TaskResult:
        context.log("the password is hun")
        context.log("ter2\nmore\n")
        await context.sleep(5)
        context.log("bye\n", "stderr")
        return succeed(given)

    async def body(cluster: Cluster) -> None:
        driving, other = await cluster.start("driving"), await cluster.start("other")
        run = await driving.submit(plan(dag(task("a", "talk", None, secret("p", "db", "p")))))
        await cluster.pass_time(2)
        assert [line.text async for line in client_of(other).runs.logs(run)] == ["the password is ***\nmore\n"]
        await cluster.pass_time(20)
        lines = [line async for line in client_of(other).runs.logs(run, "main.a", follow=True)]
        assert [(line.stream, line.text) for line in lines[1:]] == [("stderr", "bye\n")]
        assert [line.text async for line in client_of(other).runs.logs(run, after=lines[0].seq)] == ["bye\n"]
        assert [line async for line in client_of(other).runs.logs(run, "main.b")] == []

    run_on(Cluster(tmp_path, {"talk": ("async", talk)}, lease_s=15, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.rule("DATA-12")
def test_what_comes_late_from_before_a_crash_is_masked(tmp_path: Path) -> None:
    async def hang(given: TaskAssignment, context: Any) -> TaskResult:
        await context.sleep(1000)
        return succeed(given)

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "hang", None, secret("p", "db", "p")))))
        await cluster.pass_time(1)
        await cluster.kill(engine)
        engine = await cluster.start()
        await engine.recover()
        engine.deliver(TaskResult(AttemptRef(run, "main.a", 1), 0, "it is hunter2", {"x": "hunter2"}))
        await settled(engine)
        report = await client_of(engine).runs.wait(run)
        assert (report.phase, report.tasks[1].message, report.tasks[1].outputs) == ("Succeeded", "it is ***", {"x": "***"})
        stored = await engine._store.runs.load(run)
        assert "hunter2" not in json.dumps([stored.lines, stored.snapshot])
        assert "hunter2" not in json.dumps([record async for record in client_of(engine).runs.events(run, follow=True)])

    run_on(Cluster(tmp_path, {"hang": ("async", hang)}, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.rule("DATA-12")
def test_what_was_used_before_a_crash_is_masked_in_all_that_follows(tmp_path: Path) -> None:
    """The task that used the secret has ended, and nothing after it names the secret."""

    def tell(given: TaskAssignment, context: Any) -> TaskResult:
        context.log("it was hunter2\n")
        return TaskResult(given.ref, 0, "it was hunter2", {"x": "hunter2"})

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        tasks = [task("a", "echo", None, secret("p", "db", "p")), task("ask", "await", after=(0,))]
        tasks.append(task("c", "tell", after=(1,)))
        run = await engine.submit(plan(dag(*tasks)))
        await cluster.pass_time(1)
        await cluster.kill(engine)
        engine = await cluster.start()
        await engine.recover()
        await client_of(engine).control.resume(run, "main.ask", {"x": "hunter2"})
        report = await client_of(engine).runs.wait(run)
        told = [(one.message, one.outputs) for one in report.tasks if one.path in ("main.ask", "main.c")]
        assert told == [("", {"x": "***"}), ("it was ***", {"x": "***"})]
        stored = await engine._store.runs.load(run)
        lines = [line.text async for line in client_of(engine).runs.logs(run)]
        assert "hunter2" not in json.dumps([stored.lines, stored.snapshot, lines])

    run_on(Cluster(tmp_path, {"tell": ("inline", tell)}, secrets={"db": {"p": "hunter2"}}), body)


@pytest.mark.rule("DATA-12")
def test_the_reason_of_a_cancel_is_masked(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(plan(dag(task("a", "sleep", {"duration": "60s"}, secret("p", "db", "p")))))
        await cluster.pass_time(1)
        await client_of(engine).control.cancel(run, reason="hunter2 was seen in a log")
        report = await client_of(engine).runs.wait(run)
        assert (report.phase, report.message) == ("Cancelled", "cancelled: *** was seen in a log")
        stored = await engine._store.runs.load(run)
        assert "hunter2" not in json.dumps([str(stored.lines), str(stored.snapshot)])

    run_on(Cluster(tmp_path, secrets={"db": {"p": "hunter2"}}), body)


def test_a_damaged_record_is_told_and_harms_no_other_run(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        bad, good = await engine.submit(slow_plan()), await engine.submit(slow_plan())
        await cluster.pass_time(1)
        await cluster.kill(engine)
        engine = await cluster.start()
        with contextlib.closing(sqlite3.connect(cluster.path)) as file, file:
            file.execute("UPDATE steps SET lines = '[1,2,3]' WHERE id = (SELECT min(id) FROM steps)")
        assert await engine.recover() == [good]
        assert f"run {bad} cannot be recovered" in caplog.text
        with pytest.raises(PortError, match="damaged") as told:
            await engine.recover([bad])
        assert told.value.exit_code == 9

    run_on(Cluster(tmp_path), body)


def test_a_lock_is_one_engines(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        first, second = await cluster.start("first"), await cluster.start("second")
        assert await first.lock("nightly")
        assert await first.lock("nightly")
        await cluster.pass_time(60)
        assert not await second.lock("nightly")
        await first.unlock("nightly")
        assert await second.lock("nightly")
        await cluster.kill(second)
        await cluster.pass_time(70)
        assert not await first.lock("nightly")
        await cluster.pass_time(80)
        assert await first.lock("nightly")

    run_on(Cluster(tmp_path, lease_s=15), body)


def test_who_was_cut_off_for_longer_than_its_lease_has_lost_its_lock_and_stops(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        first, second = await cluster.start("first"), await cluster.start("second")
        assert await first.lock("nightly")
        run = await first.submit(slow_plan())
        await cluster.pass_time(1)
        waiting = asyncio.ensure_future(client_of(first).runs.wait(run))
        first._keeper.stop()  # it sleeps, as a laptop does
        await cluster.pass_time(20)
        assert await second.lock("nightly")
        first._keeper._ring()
        await cluster.pass_time(21)
        with pytest.raises(BusyError, match="lock 'nightly' was taken over"):
            await waiting
        await first._keeper.release()
        assert not await first.lock("nightly"), "it is the other one's"
        assert await second.recover() == [run]
        await cluster.pass_time(300)
        assert (await client_of(second).runs.report(run)).phase == "Succeeded"

    run_on(Cluster(tmp_path, lease_s=15), body)


@pytest.mark.parametrize("hours", [-1, 1])
def test_a_clock_that_is_set_takes_no_run_and_no_lock_from_a_living_engine(tmp_path: Path, hours: int) -> None:
    """Others see its lease by the clock as it is set now; so it is written anew at once."""

    async def body(cluster: Cluster) -> None:
        first, second = await cluster.start("first"), await cluster.start("second")
        run = await first.submit(slow_plan("100s"))
        assert await first.lock("nightly")
        await cluster.pass_time(1)
        cluster.clock.set_by = hours * 3_600_000_000
        await cluster.pass_time(3)
        assert await second.recover() == []
        assert not await second.lock("nightly")
        await cluster.pass_time(40)
        assert await second.recover() == []
        assert not await second.lock("nightly")
        await cluster.kill(first)
        await cluster.pass_time(60)
        assert await second.recover() == [run], "and it lasts no longer than it should"
        assert await second.lock("nightly")
        await cluster.pass_time(300)
        report = await client_of(second).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 100.0)

    run_on(Cluster(tmp_path, lease_s=15), body)


@pytest.mark.rule("SCHED-12", "RT-50")
def test_a_result_from_another_past_is_no_result(tmp_path: Path) -> None:
    """On tier snapshot a run goes back: what comes late is not for the namesakes of its task runs."""

    async def body(cluster: Cluster) -> None:
        first = await cluster.start()
        run = await first.submit(slow_plan())
        await cluster.pass_time(1)
        await cluster.kill(first)
        second = await cluster.start()
        assert await second.recover([run]) == [run]
        await cluster.pass_time(2)
        state = second.driven.state(run)
        node = state.find("main.a")
        assert node is not None
        second.deliver(TaskResult(AttemptRef(run, "main.a", 1), message="of the past"))
        await cluster.pass_time(3)
        assert node.phase == "Running"
        assert second.driven.get(run).epoch != 0
        second.deliver(TaskResult(AttemptRef(run, "main.a", 1, second.driven.get(run).epoch)))
        await cluster.pass_time(4)
        assert (await client_of(second).runs.report(run)).phase == "Succeeded"

    run_on(Cluster(tmp_path, tier=SNAPSHOT), body)


@pytest.mark.rule("RT-47")
@pytest.mark.parametrize("ahead_s", [3_600, -3_600])
def test_two_engines_whose_clocks_differ_by_an_hour_never_drive_one_run(tmp_path: Path, ahead_s: int) -> None:
    """Leases are measured by the store's clock: what the clock of an engine shows ends none and keeps none."""

    async def body(cluster: Cluster) -> None:
        first = await cluster.start("first")
        run = await first.submit(slow_plan("200s"))
        other = await cluster.start("second", ahead_us=ahead_s * 1_000_000)
        for second in range(1, 60, 7):
            await cluster.pass_time(second)
            assert await other.recover() == []
            assert first.drives(run)
        await cluster.kill(first)
        await cluster.pass_time(60)
        assert await other.recover() == [], "the dead one's lease lasts, by whatever clock"
        await cluster.pass_time(90)
        assert await other.recover() == [run]

    run_on(Cluster(tmp_path, lease_s=15), body)
