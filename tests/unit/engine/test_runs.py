"""Whole runs through the engine's door, on virtual time."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.engine.submission import read_texts
from aether_protocol.errors import BrokenInvariant, BusyError, PortError, UsageError
from aether_protocol.plan.model import HookEvent, InputBinding, Literal
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.facts import TaskDispatched, unfold
from aether_protocol.service import client_of
from aether_protocol.testing.harness import EngineWorld, run_on, succeed
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, task, value


def test_a_dag_runs_to_its_end_and_the_report_tells_of_it() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(
            plan(dag(task("a", "echo", None, value("x", [1, 2])), task("b", "sleep", {"duration": "2s"}, after=(0,))))
        )
        assert (await client_of(world.engine).runs.report(run)).phase == "Created"
        await world.pass_time()
        report = await client_of(world.engine).runs.wait(run)
        assert (report.phase, report.progress, report.duration_seconds) == ("Succeeded", "2/2", 2.0)
        assert [one.path for one in report.tasks] == ["main", "main.a", "main.b"]
        assert report.tasks[1].outputs == {"x": [1, 2]}
        told = report.to_json()
        assert told["finishedAt"] == "2026-01-01T00:00:02Z"
        assert told["tasks"][2]["startedAt"] == "2026-01-01T00:00:00Z"

    run_on(EngineWorld(), body)


def test_what_a_report_shows_is_a_copy() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "echo", None, value("x", [1])))))
        report = await client_of(world.engine).runs.wait(run)
        report.tasks[1].outputs["x"].append(2)
        assert (await client_of(world.engine).runs.report(run)).tasks[1].outputs == {"x": [1]}

    run_on(EngineWorld(), body)


def test_executors_cannot_reach_the_run_through_what_they_are_given() -> None:
    kept: list[Any] = []

    def spoil(given: TaskAssignment, context: object) -> TaskResult:
        given.inputs["x"].append("spoilt")  # type: ignore[index]
        given.config["y"] = "spoilt"
        kept.append({"out": [1]})
        return TaskResult(given.ref, outputs=kept[-1])

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(
            plan(dag(task("a", "spoil", {"z": 1}, value("x", [1])), task("b", "spoil", None, value("x", []))))
        )
        report = await client_of(world.engine).runs.wait(run)
        kept[0]["out"].append("later")
        assert report.tasks[1].inputs == {"x": [1]}
        assert (await client_of(world.engine).runs.report(run)).tasks[1].outputs == {"out": [1]}
        assert world.engine.driven.state(run).plan.root.target.tasks[0].target.config.raw == {"z": 1}  # type: ignore[union-attr]

    run_on(EngineWorld({"spoil": ("inline", spoil)}), body)


@pytest.mark.rule("SCHED-9", "SCHED-10")
def test_timers_retries_and_timeouts() -> None:
    attempts: list[float] = []

    async def hang(given: TaskAssignment, context: Any) -> TaskResult:
        attempts.append(world.elapsed())
        await context.sleep(100)
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        await world.engine.submit(plan(dag(task("a", "hang", timeout_us=3 * SECOND, retry=retry(2)))))
        await world.pass_time()
        report = await client_of(world.engine).runs.wait("run-1")
        assert (report.phase, report.tasks[1].phase, report.tasks[1].retries) == ("Error", "Timeout", 2)
        assert attempts == [0.0, 4.0, 9.0]
        assert world.elapsed() == 12.0

    world = EngineWorld({"hang": ("async", hang)})
    run_on(world, body)


@pytest.mark.rule("SCHED-10")
def test_waiting_in_the_queue_does_not_count() -> None:
    async def body(world: EngineWorld) -> None:
        slow = [task(f"t{i}", "sleep", {"duration": "2s"}, timeout_us=3 * SECOND) for i in range(4)]
        run = await world.engine.submit(plan(dag(*slow)))
        await world.pass_time()
        report = await client_of(world.engine).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", 8.0)

    run_on(EngineWorld(concurrency=1), body)


def test_at_one_instant_results_come_before_backoffs_and_backoffs_before_deadlines() -> None:
    """What is there before the instant is over is in time."""
    calls: list[int] = []

    def flaky(given: TaskAssignment, context: object) -> TaskResult:
        calls.append(given.attempt)
        return TaskResult(given.ref, 3 if len(calls) < 3 else 0)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(
            plan(dag(task("a", "flaky", retry=retry(5)), task("b", "sleep", {"duration": "3s"})), timeout_us=3 * SECOND)
        )
        await world.pass_time()
        assert (await client_of(world.engine).runs.report(run)).phase == "Succeeded"
        assert calls == [1, 2, 3]

    run_on(EngineWorld({"flaky": ("inline", flaky)}), body)


@pytest.mark.rule("CTRL-1", "CTRL-2")
def test_suspend_and_resume() -> None:
    async def body(world: EngineWorld) -> None:
        engine = world.engine
        run = await engine.submit(plan(dag(task("ask", "await"), task("after", after=(0,)))))
        assert (await client_of(engine).runs.wait(run, or_suspended=True)).phase == "Suspended"
        assert suspended_paths(engine.driven.state(run)) == ["main.ask"]
        with pytest.raises(UsageError, match=r"no task run 'main\.ack'") as told:
            await client_of(engine).control.resume(run, "main.ack")
        assert told.value.hint == "did you mean 'main.ask'?"
        with pytest.raises(UsageError):
            await client_of(engine).control.resume(run, "main")
        with pytest.raises(UsageError, match="the payload holds"):
            await client_of(engine).control.resume(run, "main.ask", {"a": {1}})
        await client_of(engine).control.resume(run, "main.ask", {"approved": True})
        report = await client_of(engine).runs.wait(run)
        assert (report.phase, report.tasks[1].outputs) == ("Succeeded", {"approved": True})

    run_on(EngineWorld(), body)


@pytest.mark.rule("CTRL-3")
def test_cancel_tells_executors_and_waits_for_none_of_them() -> None:
    seen: list[str] = []

    async def slow(given: TaskAssignment, context: Any) -> TaskResult:
        try:
            await context.sleep(1000)
        except asyncio.CancelledError:
            seen.append("told")
            raise
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        engine = world.engine
        run = await engine.submit(plan(dag(task("a", "slow"), task("b", after=(0,)))))
        await world.pass_time(1)
        await client_of(engine).control.cancel(run)
        report = await client_of(engine).runs.wait(run)
        assert (report.phase, report.not_run) == ("Cancelled", ("main.b",))
        with pytest.raises(UsageError, match="Cancelled"):
            await client_of(engine).control.cancel(run)
        await settled(engine)
        assert seen == ["told"]

    run_on(EngineWorld({"slow": ("async", slow)}), body)


def test_a_thread_is_asked_to_stop() -> None:
    began = threading.Event()
    ended = threading.Event()

    def poll(given: TaskAssignment, context: Any) -> TaskResult:
        began.set()
        while not context.cancelled():
            ended.wait(0.001)
        ended.set()
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "poll"))))
        await asyncio.to_thread(began.wait)
        await client_of(world.engine).control.cancel(run)
        assert (await client_of(world.engine).runs.report(run)).phase == "Cancelled"
        await settled(world.engine)
        assert ended.is_set()

    run_on(EngineWorld({"poll": ("thread", poll)}), body)


@pytest.mark.rule("SCHED-12")
def test_late_double_and_unknown_results_change_nothing() -> None:
    async def body(world: EngineWorld) -> None:
        engine = world.engine
        run = await engine.submit(plan(dag(task("a", "echo", None, value("x", 1)), task("b", "await"))))
        await settled(engine)
        steps = len(world.steps)
        for name, attempt in (("main.a", 1), ("main.a", 2), ("main", 1), ("main.z", 1), ("", 1), ("main.b", 7)):
            engine.deliver(TaskResult(AttemptRef(run, name, attempt), 2, "no", {"x": 2}))
        engine.deliver(TaskResult(AttemptRef("nobody", "main.a", 1)))
        await settled(engine)
        assert len(world.steps) == steps
        assert (await client_of(engine).runs.report(run)).tasks[1].outputs == {"x": 1}

    run_on(EngineWorld(), body)


def test_steps_of_many_runs_keep_apart() -> None:
    async def body(world: EngineWorld) -> None:
        runs = [await world.engine.submit(plan(dag(*(task(f"t{i}") for i in range(n))))) for n in range(1, 30)]
        reports = await asyncio.gather(*(client_of(world.engine).runs.wait(run) for run in runs))
        assert [report.progress for report in reports] == [f"{n}/{n}" for n in range(1, 30)]

    run_on(EngineWorld(), body)


@pytest.mark.rule("DATA-14")
def test_all_problems_of_the_arguments_are_told_before_anything_is_there() -> None:
    parameters = (InputBinding("rows", "integer", True, ()), InputBinding("name", "string", True, (Literal("x"),)))

    async def body(world: EngineWorld) -> None:
        with pytest.raises(UsageError, match="'colour' is not declared") as told:
            await world.engine.submit(plan(dag(task("a")), parameters=parameters), {"name": 5, "colour": 1})
        assert "'rows' has no value" in told.value.message
        assert "'name' must be string" in told.value.message
        with pytest.raises(UsageError, match="the arguments hold"):
            await world.engine.submit(plan(dag(task("a"))), {"x": float("nan")})
        assert world.engine.driven.ids == []

    run_on(EngineWorld(), body)


def test_arguments_are_copied() -> None:
    async def body(world: EngineWorld) -> None:
        given = {"rows": [1]}
        run = await world.engine.submit(plan(dag(task("a")), parameters=(InputBinding("rows", "array", True, ()),)), given)
        given["rows"].append(2)
        assert world.engine.driven.state(run).header.parameters == {"rows": [1]}

    run_on(EngineWorld(), body)


@pytest.mark.rule("DATA-14")
def test_text_is_read_as_json_unless_a_string_is_declared() -> None:
    parameters = (InputBinding("s", "string", True, ()), InputBinding("n", "integer", True, ()))
    texts = {"s": "5", "n": "5", "free": '{"a": 1}', "word": "hello", "nan": "NaN"}
    assert read_texts(plan(dag(task("a")), parameters=parameters), texts) == {
        "s": "5",
        "n": 5,
        "free": {"a": 1},
        "word": "hello",
        "nan": "NaN",
    }


def test_run_ids_are_given_once_and_must_be_plain() -> None:
    async def body(world: EngineWorld) -> None:
        await world.engine.submit(plan(dag(task("a"))), run_id="mine")
        with pytest.raises(UsageError, match="exists already"):
            await world.engine.submit(plan(dag(task("a"))), run_id="mine")
        for wrong in ("", "a/b", "-a", "a" * 129):
            with pytest.raises(UsageError, match="is not a run id"):
                await world.engine.submit(plan(dag(task("a"))), run_id=wrong)
        with pytest.raises(UsageError, match="cannot be called 'latest'"):
            await world.engine.submit(plan(dag(task("a"))), run_id="latest")
        with pytest.raises(UsageError, match="not driven here"):
            world.engine.driven.state("other")
        with pytest.raises(UsageError, match="unknown"):
            await client_of(world.engine).runs.report("other")

    run_on(EngineWorld(), body)


def test_hooks_end_before_the_run_is_closed() -> None:
    async def body(world: EngineWorld) -> None:
        hooks = {HookEvent.ON_EXIT: task("tell", "sleep", {"duration": "5s"})}
        run = await world.engine.submit(plan(dag(task("a")), hooks=hooks))
        await world.pass_time()
        report = await client_of(world.engine).runs.wait(run)
        assert world.elapsed() == 5.0
        assert report.duration_seconds == 0
        assert [(hook.hook, hook.path, hook.phase) for hook in report.hooks] == [("workflow:onExit", "", "Succeeded")]

    run_on(EngineWorld(), body)


# --- what breaks ---


class BrokenStore(MemoryStore):
    """Fails at the second append."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error
        self.left = 1
        self._append = self.runs.append
        self.runs.append = self._fail

    async def _fail(self, batch: Any) -> Any:
        if not self.left:
            raise self.error
        self.left -= 1
        return await self._append(batch)


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (PortError("the disk is full"), PortError),
        (BusyError("somebody else drives it"), BusyError),
        (RuntimeError("a bug"), BrokenInvariant),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_a_store_that_fails_ends_the_wait(error: Exception, told: type[Exception]) -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "sleep", {"duration": "5s"}), task("b", after=(0,)))))
        stream = client_of(world.engine).runs.events(run, follow=True)
        with pytest.raises(told):
            await asyncio.gather(client_of(world.engine).runs.wait(run), world.pass_time())
        with pytest.raises(told):
            world.engine.driven.state(run)
        with pytest.raises(told):
            async for _ in stream:
                pass
        with pytest.raises(told):
            await client_of(world.engine).control.cancel(run)

    run_on(EngineWorld(store=BrokenStore(error)), body)


def test_no_command_goes_out_before_its_step_is_stored() -> None:
    class Slow(MemoryStore):
        def __init__(self) -> None:
            super().__init__()
            self._append = self.runs.append
            self.runs.append = self._slowly

        async def _slowly(self, batch: Any) -> Any:
            await asyncio.sleep(0)
            stored.extend(fact for part in batch for step in part.steps for fact in unfold(step.facts))
            return await self._append(batch)

    stored: list[Any] = []

    def look(given: TaskAssignment, context: object) -> TaskResult:
        assert TaskDispatched(1, given.attempt) in stored
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "look"), task("b", "look", after=(0,)))))
        assert (await client_of(world.engine).runs.wait(run)).phase == "Succeeded"

    run_on(EngineWorld({"look": ("inline", look)}, store=Slow()), body)


def test_an_observer_that_raises_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def shout(run_id: str, state: object, step: object) -> None:
        raise RuntimeError("I am an observer")

    async def body(world: EngineWorld) -> None:
        world.engine.observers.insert(0, shout)
        run = await world.engine.submit(plan(dag(task("a"))))
        assert (await client_of(world.engine).runs.wait(run)).phase == "Succeeded"

    world = run_on(EngineWorld(), body)
    assert world.steps
    assert "an observer of run run-1 raised" in caplog.text


def test_a_rule_that_breaks_ends_its_run_alone(caplog: pytest.LogCaptureFixture) -> None:
    async def body(world: EngineWorld) -> None:
        good = await world.engine.submit(plan(dag(task("a", "sleep", {"duration": "1s"}))))
        bad = await world.engine.submit(plan(dag(task("a", "sleep", {"duration": "1s"}))))
        world.engine.driven.get(bad).machine.handle = lambda event: 1 / 0  # type: ignore[method-assign,assignment,return-value]
        await world.pass_time()
        with pytest.raises(BrokenInvariant, match="ZeroDivisionError"):
            await client_of(world.engine).runs.wait(bad)
        assert (await client_of(world.engine).runs.report(good)).phase == "Succeeded"

    run_on(EngineWorld(), body)


def test_closing_stops_executors_and_tells_who_waits() -> None:
    seen: list[str] = []

    async def slow(given: TaskAssignment, context: Any) -> TaskResult:
        try:
            await context.sleep(1000)
        finally:
            seen.append("stopped")
        return succeed(given)

    async def go() -> None:
        world = EngineWorld({"slow": ("async", slow)})
        async with world.engine as engine:
            run = await engine.submit(plan(dag(task("a", "slow"))))
            waiting = asyncio.ensure_future(client_of(engine).runs.wait(run))
            await settled(engine)
        assert seen == ["stopped"]
        with pytest.raises(UsageError, match="closed before run"):
            await waiting
        with pytest.raises(UsageError, match="not open"):
            await engine.submit(plan(dag(task("a"))))
        with pytest.raises(UsageError, match="not open"):
            await client_of(engine).control.cancel(run)

    asyncio.run(go())


def test_runs_long_over_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("aether_protocol.engine.loop.KEEP_ENDED", 2)

    async def body(world: EngineWorld) -> None:
        for _ in range(4):
            await client_of(world.engine).runs.wait(await world.engine.submit(plan(dag(task("a")))))
        assert world.engine.driven.ids == ["run-3", "run-4"]

    run_on(EngineWorld(), body)
