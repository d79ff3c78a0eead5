"""What passed while no engine drove a run has passed before one decides about it; and a clock that is wrong costs no time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.assembly.documents import load_plan
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.mailbox import cancel_question, resume_question
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service import client_of
from aether_protocol.testing.harness import Cluster, run_on, succeed
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, task

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: overdue}\nspec:\n  entrypoint: main\n"
HOUR = 3600 * SECOND

ASK = "{name: ask, executor: {type: await}}"
NEXT = "{name: next, dependencies: [ask], when: tasks.ask.phase == 'Timeout', executor: {type: sleep, config: {duration: 1m}}}"

# what a run that is left suspended looks like, and what it is as soon as it is taken over ten seconds later
OVERDUE: dict[str, tuple[str, str, list[str]]] = {
    "the time limit of a task": (
        f"""
  templates:
    - dag:
        name: main
        tasks: [{{name: ask, timeout: 2s, continueOn: {{timeout: true}}, executor: {{type: await}}}}, {NEXT}]
""",
        "Running",
        ["main.next"],
    ),
    "the time limit of one task of two": (
        f"""
  templates:
    - dag:
        name: main
        tasks: [{ASK}, {{name: late, timeout: 2s, continueOn: {{timeout: true}}, executor: {{type: await}}}}]
""",
        "Suspended",
        [],
    ),
    "the time limit of a dag": (
        f"""
  templates:
    - dag:
        name: main
        tasks: [{{name: ask, template: inner, continueOn: {{timeout: true}}}}, {NEXT}]
    - dag: {{name: inner, timeout: 5s, tasks: [{ASK}]}}
""",
        "Running",
        ["main.next"],
    ),
    "the time limit of a loop": (
        """
  templates:
    - dag: {name: main, tasks: [{name: ask, template: each}]}
    - loop: {name: each, timeout: 5s, items: [1, 2], concurrency: 0, body: wait}
    - task: {name: wait, executor: {type: await}}
""",
        "Error",
        [],
    ),
    "the time limit of the workflow": (
        f"\n  timeout: 9s\n  templates: [{{dag: {{name: main, tasks: [{ASK}]}}}}]\n",
        "Timeout",
        [],
    ),
    "the time limit of an attempt, with another one to come": (
        """
  templates:
    - dag:
        name: main
        tasks: [{name: ask, timeout: 2s, retry: {limit: 1, backoff: {duration: 1m}}, executor: {type: await}}]
""",
        "Running",
        [],
    ),
    "the end of a backoff": (
        """
  templates:
    - dag:
        name: main
        tasks:
          - name: ask
            retry: {limit: 1, expression: "true", backoff: {duration: 3s}}
            executor: {type: echo, config: {failCount: 9}}
""",
        "Failed",
        ["main.ask"],
    ),
    "a hook that was running": (
        f"""
  hooks: {{onSuspend: {{template: note}}}}
  templates:
    - dag: {{name: main, tasks: [{ASK}]}}
    - task: {{name: note, executor: {{type: sleep, config: {{duration: 20s}}}}}}
""",
        "Suspended",
        [],
    ),
}


async def left_for_ten_seconds(
    cluster: Cluster, text: str, meanwhile: Callable[[RunEngine, str], Any] | None = None
) -> tuple[RunEngine, str]:
    """The run of `text` is left as soon as nothing happens any more; another engine takes it over."""
    engine = await cluster.start()
    run = await engine.submit(load_plan(HEAD + text))
    await cluster.pass_time(0)
    await cluster.kill(engine)
    cluster.dispatched.clear()
    other = await cluster.start()
    if meanwhile is not None:
        await meanwhile(other, run)
    await let_pass(cluster, 10)
    assert await other.recover([run]) == [run]
    return other, run


async def let_pass(cluster: Cluster, seconds: float) -> None:
    """Move the clock; no engine drives anything meanwhile."""
    cluster.clock.advance(cluster.begin + round(seconds * SECOND))


@pytest.mark.rule("RT-48", "RT-83", "SCHED-10")
@pytest.mark.parametrize("name", OVERDUE)
def test_what_was_overdue_is_done_when_the_recovery_returns(name: str, tmp_path: Path) -> None:
    text, phase, handed_over = OVERDUE[name]

    async def body(cluster: Cluster) -> None:
        engine, run = await left_for_ten_seconds(cluster, text)
        assert (await client_of(engine).runs.report(run)).phase == phase
        assert [path for path, _ in cluster.dispatched if path] == handed_over
        waiting = asyncio.ensure_future(client_of(engine).runs.wait(run, or_suspended=True))
        await settled(engine)
        hooks = [hook.phase for hook in (await client_of(engine).runs.report(run)).hooks]
        assert waiting.done() == (phase != "Running" and "Running" not in hooks), "nothing is under way"
        await cluster.pass_time(200)
        assert (await waiting).phase in ("Suspended", (await client_of(engine).runs.report(run)).phase)

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-83")
def test_who_waits_while_a_run_is_taken_over_is_told_when_that_is_through(tmp_path: Path) -> None:
    """The store is asked in between: a run that looks suspended then may be about to time out."""

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(load_plan(HEAD + OVERDUE["the time limit of a task"][0]))
        await cluster.pass_time(0)
        await cluster.kill(engine)
        other = await cluster.start()
        await let_pass(cluster, 10)
        seen: list[str] = []
        other._driver.keeper.collect, given = None, other._driver.keeper.collect  # type: ignore[assignment, method-assign]

        async def collect(driver: Any) -> None:
            async def look() -> None:
                seen.append((await client_of(other).runs.wait(run, or_suspended=True)).phase)

            looking.append(asyncio.ensure_future(look()))
            await asyncio.sleep(0)
            await given(driver)

        looking: list[asyncio.Future[None]] = []
        other._driver.keeper.collect = collect  # type: ignore[method-assign]
        await other.recover([run])
        other._driver.keeper.collect = given  # type: ignore[method-assign]
        assert looking
        assert not seen
        await cluster.pass_time(200)
        await looking[0]
        assert seen == ["Succeeded"]

    run_on(Cluster(tmp_path), body)


ASKED: dict[str, tuple[Callable[[], Any], str]] = {
    "a resume": (lambda: resume_question("main.ask", {"approved": True}), "Succeeded"),
    "a cancel": (cancel_question, "Cancelled"),
}


@pytest.mark.rule("RT-48", "RT-83")
@pytest.mark.parametrize("limit", ["", "timeout: 2s, "])
@pytest.mark.parametrize("name", ASKED)
def test_what_waits_in_the_mailbox_is_done_when_the_recovery_returns(name: str, limit: str, tmp_path: Path) -> None:
    question, phase = ASKED[name]
    text = f"\n  templates: [{{dag: {{name: main, tasks: [{{name: ask, {limit}executor: {{type: await}}}}]}}}}]\n"

    async def ask(engine: RunEngine, run: str) -> None:
        await engine._store.mailbox.post(run, question())

    async def body(cluster: Cluster) -> None:
        engine, run = await left_for_ten_seconds(cluster, text, ask)
        await settled(engine)
        over = name == "a resume" and limit  # the time limit counts over suspensions and resumes, to the task's end
        assert (await client_of(engine).runs.report(run)).phase == ("Error" if over else phase)

    run_on(Cluster(tmp_path), body)


# --- clocks ---


async def after_a_crash(cluster: Cluster, made: Any, at: float, set_back_us: int = 0, down: float = 0) -> tuple[RunEngine, str]:
    """A run whose engine dies `at` seconds after the beginning, and another one `down` seconds later."""
    engine = await cluster.start()
    run = await engine.submit(made)
    await cluster.pass_time(at)
    await cluster.kill(engine)
    await let_pass(cluster, at + down)
    cluster.clock._now -= set_back_us
    cluster.begin -= set_back_us
    other = await cluster.start()
    assert await other.recover([run]) == [run]
    return other, run


@pytest.mark.rule("RT-86", "EXEC-2", "SCHED-10")
@pytest.mark.parametrize(("down", "ends_at"), [(0, 60.0), (20, 60.0), (300, 340.0)])
def test_a_sleep_goes_on_with_what_is_left(tmp_path: Path, down: float, ends_at: float) -> None:
    async def body(cluster: Cluster) -> None:
        engine, run = await after_a_crash(cluster, plan(dag(task("a", "sleep", {"duration": "60s"}))), 40, down=down)
        await cluster.pass_time(1000)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds) == ("Succeeded", ends_at)

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-86", "SCHED-10")
def test_a_sleep_that_goes_on_keeps_its_time_limit(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        made = plan(dag(task("a", "sleep", {"duration": "60s"}, timeout_us=50 * SECOND)))
        engine, run = await after_a_crash(cluster, made, 40)
        await cluster.pass_time(1000)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.message, report.duration_seconds) == ("Error", "a: timed out after 50s", 50.0)

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-86")
def test_a_later_attempt_of_a_sleep_counts_from_its_own_start(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        made = plan(dag(task("a", "sleep", {"duration": "60s"}, timeout_us=30 * SECOND, retry=retry(2, 5))))
        engine, run = await after_a_crash(cluster, made, 45)  # 10 s into the second attempt
        await cluster.pass_time(45)
        node = engine.driven.state(run).nodes[1]
        assert (node.attempt, node.attempt_began_at) == (2, cluster.begin + 35 * SECOND)  # type: ignore[attr-defined]
        await cluster.pass_time(1000)
        assert (await client_of(engine).runs.report(run)).duration_seconds == 30 + 5 + 30 + 10 + 30

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-86")
def test_a_hook_that_sleeps_goes_on_with_what_is_left(tmp_path: Path) -> None:
    text = """
  hooks: {onExit: {template: note}}
  templates:
    - task: {name: main, executor: {type: noop}}
    - task: {name: note, executor: {type: sleep, config: {duration: 20s}}}
"""

    async def body(cluster: Cluster) -> None:
        engine, run = await after_a_crash(cluster, load_plan(HEAD + text), 15)
        await cluster.pass_time(1000)
        [hook] = (await client_of(engine).runs.report(run)).hooks
        assert (hook.phase, hook.finished_at) == ("Succeeded", rfc3339(cluster.begin + 20 * SECOND))

    run_on(Cluster(tmp_path), body)


async def work_for_a_minute(given: TaskAssignment, context: Any) -> TaskResult:
    assert given.elapsed_us == 0, "it begins again"
    await context.sleep(60)
    return succeed(given)


BEHIND: dict[str, tuple[Callable[[], Any], str, float]] = {  # after a crash at 10 s: how it ends, and when
    "a sleep": (lambda: plan(dag(task("a", "sleep", {"duration": "60s"}))), "Succeeded", 60),
    "work that begins again": (lambda: plan(dag(task("a", "work"))), "Succeeded", 70),
    "a time limit": (lambda: plan(dag(task("a", "await", timeout_us=90 * SECOND))), "Error", 90),
    "a time limit of all": (lambda: plan(dag(task("a", "await")), timeout_us=80 * SECOND), "Timeout", 80),
    "a backoff": (lambda: plan(dag(task("a", "of-no-known-type", retry=retry(1, 30)))), "Error", 30),
}


@pytest.mark.rule("RT-47", "RT-87")
@pytest.mark.parametrize("hours", [1, 5000])
@pytest.mark.parametrize("name", BEHIND)
def test_a_record_from_the_future_goes_on_with_what_was_left(
    tmp_path: Path, name: str, hours: int, caplog: pytest.LogCaptureFixture
) -> None:
    make, phase, ends_at = BEHIND[name]

    async def body(cluster: Cluster) -> None:
        made = make()
        engine = await cluster.start()
        run = await engine.submit(made)
        await cluster.pass_time(10)
        begin, known = cluster.begin, engine.driven.state(run).now
        await cluster.kill(engine)
        cluster.clock._now -= hours * HOUR
        cluster.begin -= hours * HOUR
        other = await cluster.start()
        assert await other.recover([run]) == [run]
        left = ends_at - (known - begin) / SECOND  # of what had been recorded: how long it was down is unknown
        before = cluster.clock.now()
        waiting = asyncio.ensure_future(client_of(other).runs.wait(run))
        await cluster.pass_time((before - cluster.begin) / SECOND + left + 20)
        report = await waiting
        assert report.phase == phase
        assert report.started_at == rfc3339(begin), "what is recorded stays"
        assert report.duration_seconds is not None
        assert abs(report.duration_seconds - ends_at) <= 10
        ats = [step.at for step in cluster.steps]
        assert ats == sorted(ats)
        [note] = [note for note in report.warnings if "clock" in note.message]
        assert "behind this run" in note.message
        assert note.path == ""

    run_on(Cluster(tmp_path, {"work": ("async", work_for_a_minute)}), body)
    assert "behind the last step of run" in caplog.text


@pytest.mark.rule("RT-87")
def test_less_than_a_second_is_not_worth_a_word(tmp_path: Path) -> None:
    async def body(cluster: Cluster) -> None:
        made = plan(dag(task("a", "sleep", {"duration": "60s"}), task("b")))
        engine, run = await after_a_crash(cluster, made, 0, set_back_us=900_000)
        await cluster.pass_time(100)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.duration_seconds, report.warnings) == ("Succeeded", 60.0, ())

    run_on(Cluster(tmp_path), body)


@pytest.mark.rule("RT-87")
@pytest.mark.parametrize("name", BEHIND)
def test_a_clock_that_is_set_back_under_a_living_engine_costs_no_time(tmp_path: Path, name: str) -> None:
    """As the clock of `aether cron run` may be: it shows what the machine's clock shows."""
    make, phase, ends_at = BEHIND[name]
    ends_at = 60 if name == "work that begins again" else ends_at

    async def body(cluster: Cluster) -> None:
        engine = await cluster.start()
        run = await engine.submit(make())
        await cluster.pass_time(10)
        began = cluster.begin
        back = 2 * HOUR
        cluster.clock._now -= back  # alarms and sleeps come when they would have come
        cluster.clock._timers[:] = [(due - back, *rest) for due, *rest in cluster.clock._timers]
        cluster.clock._sleepers[:] = [(due - back, *rest) for due, *rest in cluster.clock._sleepers]
        cluster.begin -= back
        await cluster.pass_time(200)
        report = await client_of(engine).runs.report(run)
        assert (report.phase, report.started_at) == (phase, rfc3339(began))
        assert report.duration_seconds is not None
        assert ends_at - 1 <= report.duration_seconds <= ends_at  # a beat of the engine

    run_on(Cluster(tmp_path, {"work": ("async", work_for_a_minute)}, lease_s=15), body)
