"""The local broker under the engine: priorities across runs, artifacts, checks at dispatch."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from aether_protocol.engine.artifacts import GRACE_US
from aether_protocol.errors import PortError
from aether_protocol.execution import attempt
from aether_protocol.plan.model import ArtifactBinding, ArtifactOutput, HookEvent
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.service import client_of
from aether_protocol.testing.harness import EngineWorld, run_on, succeed
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, task, value

OUT = (ArtifactOutput("out", "out.txt", None, None),)


class Desk:
    """A stager that writes down what it is asked, and may fail or wait."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.fault: str | None = None
        self.gate: threading.Event | None = None
        self.began = threading.Event()
        self.fetched: dict[str, Any] = {}
        self.renewed: list[dict[str, Any]] = []
        self.often = threading.Event()

    def within(self, namespace: str) -> Self:
        return self

    def bring(self, artifacts: Mapping[str, Any], folder: Path, scratch: Path, origin: str | None) -> dict[str, Any]:
        self.log.append(f"bring {','.join(artifacts)}")
        self.began.set()
        if self.gate is not None:
            assert self.gate.wait(10)
            self.log.append("brought")
        return self.fetched

    def renew(self, fetched: Mapping[str, Any]) -> None:
        self.renewed.append(dict(fetched))
        if len(self.renewed) == 3:
            self.often.set()
        if len(self.renewed) == 1:
            raise PortError("the repository is away for a moment")

    def keep(self, outputs: Sequence[ArtifactOutput], folder: Path, scratch: Path) -> dict[str, Any]:
        self.log.append(f"keep {','.join(output.name for output in outputs)}")
        if self.fault is not None:
            raise PortError(self.fault)
        return {output.name: {"name": output.name, "digest": "sha256:0", "size": 3} for output in outputs}


def needs(name: str) -> tuple[ArtifactBinding, ...]:
    from aether_protocol.expressions import NAMESPACES, parse_template
    from aether_protocol.plan.model import ArtifactSource

    source = ArtifactSource("local", parse_template({"path": "x"}, NAMESPACES))
    return (ArtifactBinding(name, f"{name}.txt", None, None, source),)


@pytest.mark.rule("SCHED-11")
def test_the_run_of_higher_priority_goes_first() -> None:
    order: list[str] = []

    async def slow(given: TaskAssignment, context: Any) -> TaskResult:
        order.append(f"{given.run_id} {given.task_name}")
        await context.sleep(1)
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        low = plan(dag(*(task(f"t{i}", "slow") for i in range(3))), priority=1)
        high = plan(dag(*(task(f"t{i}", "slow") for i in range(3))), priority=900)
        await world.engine.submit(low)
        await settled(world.engine)
        await world.engine.submit(high)
        await world.pass_time()
        assert order == ["run-1 t0", "run-2 t0", "run-2 t1", "run-2 t2", "run-1 t1", "run-1 t2"]

    run_on(EngineWorld({"slow": ("async", slow)}, concurrency=1), body)


@pytest.mark.rule("ART-2")
@pytest.mark.parametrize("mode", ["async", "thread"])
def test_what_was_fetched_counts_as_put_again_as_long_as_its_attempt_runs(mode: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until its result no run names it, and a collection would take it after the grace."""
    assert attempt.RENEW_S * 1_000_000 <= GRACE_US / 3
    monkeypatch.setattr(attempt, "RENEW_S", 0.001)
    desk = Desk()

    async def wait(given: TaskAssignment, context: object) -> TaskResult:
        await asyncio.to_thread(desk.often.wait, 20)
        return succeed(given)

    def wait_in_thread(given: TaskAssignment, context: object) -> TaskResult:
        desk.often.wait(20)
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "look", needs=needs("data")))))
        assert (await client_of(world.engine).runs.wait(run)).phase == "Succeeded"
        assert (count := len(desk.renewed)) >= 3
        await asyncio.sleep(0.01)
        assert desk.renewed == [desk.fetched] * count, "and no longer"

    desk.fetched = {"data": {"digest": "sha256:" + "0" * 64, "size": 3, "mode": "0644"}}
    run_on(EngineWorld({"look": (mode, wait if mode == "async" else wait_in_thread)}, stager=desk), body)


@pytest.mark.rule("ART-1", "ART-2")
def test_artifacts_are_there_before_and_kept_after() -> None:
    desk = Desk()

    def look(given: TaskAssignment, context: object) -> TaskResult:
        desk.log.append("execute")
        return succeed(given, x=1)

    async def body(world: EngineWorld) -> None:
        for mode in ("inline", "async", "thread"):
            desk.log.clear()
            run = await world.engine.submit(plan(dag(task("a", f"look-{mode}", keeps=OUT, needs=needs("data")))))
            report = await client_of(world.engine).runs.wait(run)
            assert report.phase == "Succeeded"
            assert desk.log == ["bring data", "execute", "keep out"]
            node = world.engine.driven.state(run).nodes[1]
            assert node.artifacts == {"out": {"name": "out", "digest": "sha256:0", "size": 3}}

    tools: dict[str, Any] = {f"look-{mode}": (mode, look) for mode in ("inline", "async", "thread")}
    run_on(EngineWorld(tools, stager=desk), body)


@pytest.mark.rule("ART-1")
def test_nothing_is_kept_of_a_failure_and_a_missing_artifact_is_an_error() -> None:
    desk = Desk()

    def fail(given: TaskAssignment, context: object) -> TaskResult:
        return TaskResult(given.ref, 2)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", "fail", keeps=OUT))))
        assert (await client_of(world.engine).runs.wait(run)).tasks[1].phase == "Failed"
        assert desk.log == []
        desk.fault = "output artifact 'out': there is no 'out.txt'"
        run = await world.engine.submit(plan(dag(task("a", keeps=OUT))))
        node = (await client_of(world.engine).runs.wait(run)).tasks[1]
        assert (node.phase, node.message) == ("Error", desk.fault)

    run_on(EngineWorld({"fail": ("inline", fail)}, stager=desk), body)


def test_without_a_repository_a_task_with_artifacts_is_an_error() -> None:
    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", keeps=OUT))))
        assert "no artifact repository" in (await client_of(world.engine).runs.wait(run)).tasks[1].message

    run_on(EngineWorld(), body)


def test_a_stop_waits_until_artifacts_are_moved() -> None:
    desk = Desk()
    desk.gate = threading.Event()

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(task("a", needs=needs("data")))))
        await asyncio.to_thread(desk.began.wait)
        await client_of(world.engine).control.cancel(run)
        assert (await client_of(world.engine).runs.report(run)).phase == "Cancelled"
        assert world.broker.busy == 1
        desk.gate.set()  # type: ignore[union-attr]
        await settled(world.engine)
        assert desk.log == ["bring data", "brought"]

    run_on(EngineWorld(stager=desk), body)


@pytest.mark.rule("SPEC-15")
def test_a_config_with_placeholders_is_checked_again_at_dispatch() -> None:
    async def body(world: EngineWorld) -> None:
        config = {"duration": "{{inputs.parameters.d}}"}
        run = await world.engine.submit(plan(dag(task("a", "sleep", config, value("d", "soon")))))
        node = (await client_of(world.engine).runs.wait(run)).tasks[1]
        assert node.phase == "Error"
        assert "executor.config.duration" in node.message
        run = await world.engine.submit(plan(dag(task("a", "sleep", config, value("d", "1s")))))
        await world.pass_time()
        assert (await client_of(world.engine).runs.report(run)).phase == "Succeeded"

    run_on(EngineWorld(), body)


def test_a_task_that_was_stopped_frees_its_slot_and_its_name() -> None:
    """A retry of the same task run has another attempt number; the stop of the first one does not reach it."""
    began: list[int] = []

    async def hang_once(given: TaskAssignment, context: Any) -> TaskResult:
        began.append(given.attempt)
        await context.sleep(100 if len(began) == 1 else 1)
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(
            plan(dag(task("a", "hang", timeout_us=2 * SECOND, retry=retry(1)), task("b", after=(0,))))
        )
        await world.pass_time()
        assert (await client_of(world.engine).runs.report(run)).phase == "Succeeded"
        assert began == [1, 2]

    run_on(EngineWorld({"hang": ("async", hang_once)}, concurrency=1), body)


def test_a_pause_is_when_the_hooks_are_through() -> None:
    async def body(world: EngineWorld) -> None:
        hooks = {HookEvent.ON_SUSPEND: task("tell", "sleep", {"duration": "3s"})}
        run = await world.engine.submit(plan(dag(task("ask", "await")), hooks=hooks))
        waiting = asyncio.ensure_future(client_of(world.engine).runs.wait(run, or_suspended=True))
        await world.pass_time(2)
        assert not waiting.done()
        await world.pass_time(3)
        assert (await waiting).hooks[0].phase == "Succeeded"

    run_on(EngineWorld(), body)


def test_an_endless_stream_of_quick_tasks_starves_nobody() -> None:
    """The driver and its runners yield: a timer of the loop gets its turn while 3 000 tasks run."""

    async def quick(given: TaskAssignment, context: object) -> TaskResult:
        return succeed(given)

    async def body(world: EngineWorld) -> None:
        run = await world.engine.submit(plan(dag(*(task(f"t{i}", "quick") for i in range(3_000)))))
        turns = 0
        while not world.engine.driven.state(run).closed:
            await asyncio.sleep(0)
            turns += 1
        assert turns > 20

    run_on(EngineWorld({"quick": ("async", quick)}, concurrency=4), body)
