"""The local broker keeps the Broker contract."""

from __future__ import annotations

import asyncio
import math
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from aether_protocol.adapters.brokers import local
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.execution import runner
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import ExecutionContext, Executor
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, LocalBrokerContract, Tool, done, ref, work

pytestmark = pytest.mark.rule("SCHED-11")


class TestLocalBroker(LocalBrokerContract):
    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> Broker:
        return LocalBroker(executors, clock, concurrency=concurrency)


class TestNothingHoldsItForEver:
    """Executors that do not stop, whatever is asked of them."""

    @pytest.fixture(autouse=True)
    def short_patience(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "STOP_S", 0.02)
        monkeypatch.setattr(runner, "LEAVE_S", 0.02)

    @staticmethod
    async def deaf(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                continue

    def test_closing_leaves_a_deaf_coroutine_behind(self, caplog: pytest.LogCaptureFixture) -> None:
        async def go() -> None:
            broker = LocalBroker([Tool("deaf", "async", self.deaf)], ManualClock(0))
            broker.start(Ear())
            await broker.dispatch([work(1, "deaf")])
            await asyncio.sleep(0)
            await broker.close()

        asyncio.run(go())  # ends
        assert "1 executors ignored" in caplog.text

    def test_closing_leaves_a_blocked_thread_behind(self) -> None:
        gate = threading.Event()

        async def go() -> None:
            ear = Ear()
            loop = asyncio.get_running_loop()
            under_way = asyncio.Event()

            def blocked(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
                loop.call_soon_threadsafe(under_way.set)
                gate.wait()
                return done(task)

            broker = LocalBroker([Tool("blocked", "thread", blocked)], ManualClock(0))
            broker.start(ear)
            await broker.dispatch([work(1, "blocked")])
            await under_way.wait()
            await broker.close()
            assert ear.nodes("finished") == []

        asyncio.run(go())  # ends, though the thread does not
        gate.set()

    def test_a_stopped_one_that_goes_on_loses_its_slot(self) -> None:
        async def go() -> None:
            had_its_turn = asyncio.Event()
            tools = [Tool("deaf", "async", self.deaf), Tool("next", "inline", lambda task, context: had_its_turn.set())]
            broker = LocalBroker(tools, ManualClock(0), concurrency=1)
            ear = Ear()
            broker.start(ear)
            await broker.dispatch([work(1, "deaf"), work(2, "next")])
            await asyncio.sleep(0)
            await broker.stop([ref(1)])
            async with asyncio.timeout(10):
                await had_its_turn.wait()
            await broker.close()
            assert ear.nodes("finished") == [2], "nothing is heard of the one that was stopped"

        asyncio.run(go())

    def test_a_broker_that_nothing_closed_does_not_keep_its_loop_from_ending(self) -> None:
        """As where a program is interrupted before it comes to that."""

        async def forever(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
            await context.sleep(math.inf)
            return done(task)

        async def go() -> None:
            broker = LocalBroker([Tool("forever", "async", forever), Tool("quick", "async", done)], ManualClock(0))
            broker.start(ear)
            await broker.dispatch([work(1, "forever"), work(2, "quick")])
            await broker.quiet()

        ear = Ear()
        asyncio.run(go())  # ends
        assert ear.nodes("finished")[0] == 2, "the other one ended with its loop"


async def calm(broker: LocalBroker) -> None:
    """Until nothing happens any more that needs no time."""
    for _ in range(50):
        await asyncio.sleep(0)
    await broker.quiet()


class TestAnAttemptNeverRunsBesideItself:
    """Dispatched twice, or once more after it was stopped: as an engine does that gives a run up and takes it again."""

    def play(self, body: Callable[[LocalBroker, Ear, list[str]], Coroutine[Any, Any, None]], concurrency: int | None) -> None:
        said: list[str] = []

        async def slow_to_stop(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
            said.append("begins")
            try:
                await context.sleep(math.inf)
            except asyncio.CancelledError:
                for _ in range(20):
                    await asyncio.sleep(0)
                said.append("has stopped")
                raise
            return done(task)

        async def go() -> None:
            ear = Ear()
            broker = LocalBroker([Tool("slow", "async", slow_to_stop)], ManualClock(0), concurrency=concurrency)
            broker.start(ear)
            try:
                await body(broker, ear, said)
            finally:
                await broker.close()
            assert list(broker._slots) == []
            assert broker._slots.running == broker.busy == 0
            assert ear.losses == []

        asyncio.run(go())

    @pytest.mark.parametrize("concurrency", [None, 1, 2])
    def test_handed_over_twice_it_runs_once(self, concurrency: int | None) -> None:
        async def body(broker: LocalBroker, ear: Ear, said: list[str]) -> None:
            await broker.dispatch([work(1, "slow"), work(1, "slow")])
            await calm(broker)
            await broker.dispatch([work(1, "slow")])
            await calm(broker)
            assert said == ["begins"]

        self.play(body, concurrency)

    @pytest.mark.parametrize("concurrency", [None, 1, 2])
    def test_after_a_stop_it_begins_anew_when_it_has_stopped(self, concurrency: int | None) -> None:
        async def body(broker: LocalBroker, ear: Ear, said: list[str]) -> None:
            await broker.dispatch([work(1, "slow")])
            await calm(broker)
            await broker.stop([ref(1)])
            await broker.dispatch([work(1, "slow")])
            await calm(broker)
            assert said == ["begins", "has stopped", "begins"]
            await broker.stop([ref(1)])  # it is still known, and can be stopped
            await broker.dispatch([work(1, "slow")])
            await broker.stop([ref(1)])  # so that one is not wanted either
            await calm(broker)
            assert said == ["begins", "has stopped"] * 2
            assert ear.results == []

        self.play(body, concurrency)

    @pytest.mark.rule("RT-116")
    @pytest.mark.parametrize("concurrency", [None, 1])
    def test_what_the_engine_releases_stops_for_no_other_one_can_reach_it(self, concurrency: int | None) -> None:
        async def body(broker: LocalBroker, ear: Ear, said: list[str]) -> None:
            await broker.dispatch([work(1, "slow"), work(2, "slow")])
            await calm(broker)
            await broker.release([ref(1), ref(2), ref(3)])
            await calm(broker)
            assert said.count("begins") == said.count("has stopped") > 0
            assert set((await broker.held([ref(1), ref(2)])).values()) == {"lost"}

        self.play(body, concurrency)

    def test_one_that_does_not_stop_is_not_waited_for_for_ever(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local, "STOP_S", 0.02)
        monkeypatch.setattr(runner, "LEAVE_S", 0.02)

        async def go() -> None:
            again = asyncio.Event()
            calls: list[int] = []

            async def deaf(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
                calls.append(task.attempt)
                if len(calls) > 1:
                    again.set()
                return await TestNothingHoldsItForEver.deaf(task, context)

            broker = LocalBroker([Tool("deaf", "async", deaf)], ManualClock(0))
            broker.start(Ear())
            await broker.dispatch([work(1, "deaf")])
            await asyncio.sleep(0)
            await broker.stop([ref(1)])
            await broker.dispatch([work(1, "deaf")])
            async with asyncio.timeout(10):
                await again.wait()
            await broker.close()
            assert calls == [1, 1], "it was begun again beside the one that goes on"

        asyncio.run(go())


@pytest.mark.rule("EXEC-3")
def test_one_that_says_how_long_its_stop_takes_gets_that_long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither closing nor a second attempt of the same task run cuts it short."""
    monkeypatch.setattr(local, "STOP_S", 0.01)
    said: list[str] = []
    again = asyncio.Event()

    async def slow(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        said.append("begins")
        if len(said) == 3:
            again.set()
        context.stops_within(60.0)
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0.1)  # ten times as long as others get
            said.append("ends")
        raise AssertionError

    async def go() -> None:
        broker = LocalBroker([Tool("slow", "async", slow)], ManualClock(0))
        broker.start(Ear())
        await broker.dispatch([work(1, "slow")])
        await asyncio.sleep(0)
        await broker.stop([ref(1)])
        await broker.dispatch([work(1, "slow")])
        async with asyncio.timeout(10):
            await again.wait()
            await broker.close()

    asyncio.run(go())
    assert said == ["begins", "ends"] * 2


@pytest.mark.parametrize("mode", ["inline", "async", "thread"])
def test_whatever_is_raised_is_the_error_of_that_attempt(mode: str) -> None:
    class UnspeakableError(BaseException):
        def __str__(self) -> str:
            raise ValueError("no")

    def boom(task: TaskAssignment, context: object) -> TaskResult:
        raise UnspeakableError

    async def go() -> None:
        ear = Ear()
        broker = LocalBroker([Tool("boom", mode, boom)], ManualClock(0))  # type: ignore[arg-type]
        broker.start(ear)
        await broker.dispatch([work(1, "boom")])
        await broker.quiet()
        await broker.close()
        assert [(result.code, "UnspeakableError" in result.message) for result in ear.results] == [(3, True)]
        assert ear.losses == []

    asyncio.run(go())
