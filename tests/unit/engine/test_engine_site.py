"""RT-122: executors of site `engine` are carried out by the engine itself: no slot, no broker, but stops and recovery."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.assembly.public import Engine
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock, pass_time
from aether_protocol.testing.settling import parts_of, settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, task

pytestmark = pytest.mark.rule("RT-122")


class RecordingBroker:
    """Takes everything and returns nothing. `room_` is how many attempts it takes."""

    def __init__(self, room_: int | None = None) -> None:
        self.room_ = room_
        self.taken: list[TaskAssignment] = []
        self.stopped: list[AttemptRef] = []
        self.asked: list[AttemptRef] = []
        self.sink: ResultSink

    def names(self) -> list[str]:
        return [one.task_name for one in self.taken]

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def room(self) -> int | None:
        return self.room_

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        self.taken += batch
        return {}

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        self.stopped += refs

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        """It keeps nothing."""

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        self.asked += refs
        return dict.fromkeys(refs, "held")

    async def close(self) -> None:
        """It keeps nothing."""


class Own:
    """An executor of the engine's own site that calls `body`."""

    def __init__(self, name: str, mode: Mode, body: Callable[[TaskAssignment, ExecutionContext], Any]) -> None:
        self.type = ExecutorType(name, "Of a test.", open_config=True, open_outputs=True, site="engine")
        self.mode = mode
        self.execute = body


class Holds(Own):
    """Waits until it is stopped, and notes its beginnings and ends."""

    def __init__(self) -> None:
        super().__init__("holds", "async", self._hold)
        self.seen: list[str] = []

    async def _hold(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        self.seen.append(f"begins {task.task_name}@{task.attempt}")
        try:
            await context.sleep(math.inf)
        finally:
            self.seen.append(f"ends {task.task_name}@{task.attempt}")
        return task.succeed()


class Scene:
    """An engine of the public kind on virtual time."""

    def __init__(self, **options: Any) -> None:
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.engine = Engine(clock=self.clock, **options)

    async def pass_time(self, seconds: float) -> None:
        await pass_time(self.clock, *parts_of(self.engine), until_us=self.begin + round(seconds * SECOND))
        await settled(self.engine)

    def phase(self, run_id: str, path: str | None = None) -> str:
        state = self.engine.driven.state(run_id)
        check(state)
        node = state.root if path is None else state.find(path)
        assert node is not None
        return str(node.phase)


def play(scene: Scene, body: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        async with scene.engine:
            await body(scene)

    asyncio.run(go())


def test_a_recording_broker_sees_no_await() -> None:
    broker = RecordingBroker()

    async def body(scene: Scene) -> None:
        run = await scene.engine.submit(plan(dag(task("ask", "await"), task("work", "noop", after=(0,)))))
        await settled(scene.engine)
        assert (scene.phase(run), broker.taken) == ("Suspended", [])
        await client_of(scene.engine).control.resume(run, "main.ask", {"approved": True})
        await settled(scene.engine)
        assert scene.engine.driven.state(run).find("main.ask").outputs == {"approved": True}  # type: ignore[union-attr]
        assert broker.names() == ["work"]
        broker.sink.finished(TaskResult(broker.taken[0].ref))
        await settled(scene.engine)
        assert scene.phase(run) == "Succeeded"

    play(Scene(broker=broker), body)


@pytest.mark.parametrize("mode", ["inline", "async", "thread"])
def test_any_executor_may_be_of_the_engine(mode: Mode) -> None:
    """It has all that others have: a context, a log, outputs."""
    broker = RecordingBroker()
    logged: list[str] = []

    def give(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        context.log("here\n")
        assert context.workspace.is_dir()
        return task.succeed(answer=task.config["n"] + 1)

    async def give_later(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        await context.sleep(5)
        return give(task, context)

    async def body(scene: Scene) -> None:
        scene.engine.log_observers.append(lambda record: logged.append(record.text))
        run = await scene.engine.submit(plan(dag(task("a", "own", {"n": 41}))))
        await scene.pass_time(6)
        assert scene.phase(run) == "Succeeded"
        assert scene.engine.driven.state(run).find("main.a").outputs == {"answer": 42}  # type: ignore[union-attr]

    play(Scene(broker=broker, executors=Own("own", mode, give_later if mode == "async" else give)), body)
    assert (broker.taken, logged) == ([], ["here\n"])


def test_it_takes_no_slot() -> None:
    """Neither of this process, nor of a broker without room."""
    holds = Holds()

    async def body(scene: Scene) -> None:
        many = [task(f"h{n}", "holds") for n in range(20)]
        run = await scene.engine.submit(
            plan(dag(*many, task("long", "sleep", {"duration": "1m"}), task("ask", "await")))
        )
        await settled(scene.engine)
        assert len(holds.seen) == 20
        assert (scene.phase(run, "main.long"), scene.phase(run, "main.ask")) == ("Running", "Suspended")
        await scene.pass_time(61)
        assert scene.phase(run, "main.long") == "Succeeded"

    play(Scene(concurrency=1, executors=holds), body)
    full = RecordingBroker(room_=0)

    async def other(scene: Scene) -> None:
        run = await scene.engine.submit(plan(dag(task("work", "noop"), task("ask", "await"))))
        await settled(scene.engine)
        assert (scene.phase(run, "main.ask"), full.taken) == ("Suspended", [])

    play(Scene(broker=full), other)


def test_a_timeout_a_cancel_and_a_closing_reach_it() -> None:
    holds, broker = Holds(), RecordingBroker()

    async def body(scene: Scene) -> None:
        late = await scene.engine.submit(plan(dag(task("slow", "holds", timeout_us=3 * SECOND, retry=retry(1)))))
        asked = await scene.engine.submit(plan(dag(task("other", "holds"))))
        await scene.engine.submit(plan(dag(task("left", "holds"))))
        await scene.pass_time(30)
        assert scene.phase(late, "main.slow") == "Timeout"
        await client_of(scene.engine).control.cancel(asked)
        await settled(scene.engine)
        assert scene.phase(asked) == "Cancelled"
        assert "ends left@1" not in holds.seen

    play(Scene(broker=broker, executors=holds), body)
    assert [one for one in holds.seen if "slow" in one] == ["begins slow@1", "ends slow@1", "begins slow@2", "ends slow@2"]
    assert {"ends other@1", "ends left@1"} <= set(holds.seen)
    assert (broker.taken, broker.stopped) == ([], [])


@pytest.mark.rule("RT-48")
def test_after_a_crash_it_is_repeated_and_not_blamed(tmp_path: Path) -> None:
    """Beside an attempt of a worker, which is asked for and continues."""
    holds, broker = Holds(), RecordingBroker()
    url = f"sqlite:{tmp_path / 'runs.db'}?durability=normal"

    async def go() -> None:
        run = ""
        for number in range(12):
            scene = Scene(store=url, broker=broker, executors=holds, lease_s=None, owner="one")
            await scene.engine.__aenter__()
            if run:
                await scene.engine.recover()
            else:
                run = await scene.engine.submit(plan(dag(task("own", "holds"), task("far", "script"))))
            await settled(scene.engine)
            assert holds.seen.count("begins own@1") == number + 1
            await scene.engine._driver.halt()  # its process is gone,
            await scene.engine._driver._brokers[1].close()  # and with it what it carried out
        assert scene.phase(run, "main.own") == "Running"
        assert scene.engine.driven.state(run).find("main.own").losses == 0  # type: ignore[union-attr]
        assert (broker.names(), {ref.path for ref in broker.asked}) == (["far"], {"main.far"})

    asyncio.run(go())


def test_without_a_site_everything_goes_to_the_broker() -> None:
    """As where a caller builds an engine of parts."""
    from aether_protocol.adapters.stores.memory.store import MemoryStore
    from aether_protocol.engine import api
    from aether_protocol.testing.clock import SequentialIds

    broker = RecordingBroker()

    async def go() -> None:
        async with api.RunEngine(store=MemoryStore(), broker=broker, clock=ManualClock(), ids=SequentialIds(7)) as engine:
            await engine.submit(plan(dag(task("ask", "await"))))
            await settled(engine)

    asyncio.run(go())
    assert broker.names() == ["ask"]
