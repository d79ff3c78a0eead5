"""What every broker must keep (the Broker port): identity, order, limits, stops, ends.

Law: subclass `BrokerContract` and give `make`; every test here then holds for that broker. Time is virtual; nothing in this
file knows a particular broker.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Literal, Protocol

import pytest

from aether_protocol.expressions import parse_template
from aether_protocol.expressions.values import Json
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.plan.model import Call, Kind, TaskDef
from aether_protocol.ports.broker import Broker, LogPart, Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import ExecutionContext, Executor, Mode
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.clock import ManualClock, pass_time
from aether_protocol.testing.settling import Settling


def ref(node: int, attempt: int = 1, epoch: int = 0) -> AttemptRef:
    """The name of an attempt of task run `node`."""
    return AttemptRef("run-1", f"main.t{node}", attempt, epoch)


def number(of: AttemptRef) -> int:
    """The task run that this is an attempt of."""
    return int(of.path.removeprefix("main.t"))


def work(
    node: int, type_: str = "inline", *, attempt: int = 1, priority: int = 500, epoch: int = 0
) -> TaskAssignment:
    """An assignment for task run `node`."""
    target = TaskDef(
        name=f"t{node}",
        executor_type=type_,
        config=parse_template({}, frozenset()),
        inline=False,
        outputs=(),
        artifacts=(),
        resources=None,
        library=None,
    )
    call = Call(f"t{node}", node, Kind.TASK, target)
    return TaskAssignment(
        ref=ref(node, attempt, epoch),
        rank=(0, 0, node),
        call=call,
        target=target,
        retry_count=0,
        config={},
        inputs={},
        artifacts={},
        payloads=(),
        priority=priority,
        deadline_us=None,
        secret=False,
        hook=None,
    )


class Ear:
    """A sink that writes down what it hears. `acknowledges`: each result counts as stored at once."""

    def __init__(self, *, acknowledges: bool = True) -> None:
        self.acknowledges = acknowledges
        self.heard: list[tuple[str, int]] = []
        self.results: list[TaskResult] = []
        self.logs: list[str] = []
        self.losses: list[tuple[AttemptRef, str, bool]] = []
        self.acks: list[Stored] = []
        self.readies = 0

    def started(self, ref: AttemptRef) -> None:
        self.heard.append(("started", number(ref)))

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        self.heard.append(("finished", number(result.ref)))
        self.results.append(result)
        if stored is not None:
            self.acks.append(stored)
        if self.acknowledges:
            self.acknowledge()

    def acknowledge(self) -> None:
        """Say of all results so far that they are stored."""
        acks, self.acks = self.acks, []
        for stored in acks:
            stored()

    def logged(
        self,
        ref: AttemptRef,
        stream: Literal["stdout", "stderr"],
        text: str,
        offset: int | None = None,
        *,
        part: LogPart | None = None,
    ) -> None:
        self.logs.append(text)
        if part is not None:
            part.stored()

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        """Nothing here waits for it."""

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        self.losses.append((ref, reason, blamed))

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        """All of them are wanted."""

    def ready(self) -> None:
        self.readies += 1

    def nodes(self, what: str) -> list[int]:
        return [node for kind, node in self.heard if kind == what]


class Tool:
    """An executor made of a function."""

    def __init__(self, name: str, mode: Mode, function: Callable[[TaskAssignment, ExecutionContext], Any]) -> None:
        self.type = ExecutorType(name, "Made for a test.", open_config=True, open_outputs=True)
        self.mode: Mode = mode
        self._function = function
        self.execute: Callable[[TaskAssignment, ExecutionContext], Any] = self._wait if mode == "async" else function

    async def _wait(self, task: TaskAssignment, context: ExecutionContext) -> Any:
        given = self._function(task, context)
        return await given if isinstance(given, Awaitable) else given


def done(task: TaskAssignment, context: object = None) -> TaskResult:
    """A plain success."""
    return TaskResult(task.ref)


async def nap(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
    """As many virtual seconds as the number of the task run."""
    await context.sleep(number(task.ref))
    return done(task)


async def forever(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
    await context.sleep(math.inf)
    return done(task)


def boom(task: TaskAssignment, context: object) -> TaskResult:
    raise ValueError("this went wrong")


def leave(task: TaskAssignment, context: object) -> TaskResult:
    raise SystemExit(3)


async def cancel_itself(task: TaskAssignment, context: object) -> TaskResult:
    current = asyncio.current_task()
    assert current is not None
    current.cancel()
    await asyncio.sleep(0)
    return done(task)


async def raise_cancelled(task: TaskAssignment, context: object) -> TaskResult:
    raise asyncio.CancelledError


TOOLS: Sequence[Executor] = (
    Tool("inline", "inline", done),
    Tool("nap", "async", nap),
    Tool("forever", "async", forever),
    Tool("thread", "thread", done),
    *(Tool(f"boom-{mode}", mode, boom) for mode in ("inline", "async", "thread")),
    *(Tool(f"leave-{mode}", mode, leave) for mode in ("inline", "async", "thread")),
    *(Tool(f"nonsense-{mode}", mode, lambda task, context: 42) for mode in ("inline", "async", "thread")),
    Tool("cancels", "async", cancel_itself),
    Tool("cancelled", "async", raise_cancelled),
    Tool("other", "inline", lambda task, context: TaskResult(ref(number(task.ref) + 1))),
    Tool("no-json", "inline", lambda task, context: TaskResult(task.ref, outputs={"a": {1, 2}})),
)

class QuietBroker(Broker, Settling, Protocol):
    """A broker whose work in this process can be waited for."""


Body = Callable[[QuietBroker, Ear, ManualClock], Coroutine[Any, Any, None]]


class BrokerContract:
    """Subclass it as `TestMyBroker`; pytest then collects the tests below.

    `knows_types`: it knows all types of executors that there will be; others wait for a worker that knows them.
    """

    knows_types = True

    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> QuietBroker:
        """A new broker with these executors and that many slots (None: no limit)."""
        raise AssertionError("a contract needs `make`")

    def play(self, body: Body, concurrency: int | None = None) -> Ear:
        """Run `body` on a new broker; it is closed afterwards."""
        ear = Ear()

        async def go() -> None:
            clock = ManualClock(0)
            broker = self.make(TOOLS, clock, concurrency)
            broker.start(ear)
            await broker.quiet()
            try:
                await body(broker, ear, clock)
            finally:
                await broker.close()

        asyncio.run(go())
        return ear

    def test_every_attempt_comes_back_once_under_its_own_name(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1), work(2, "nap", attempt=3), work(3, "thread")])
            await pass_time(clock, broker)

        ear = self.play(body)
        names = sorted((number(result.ref), result.ref.attempt, result.code) for result in ear.results)
        assert names == [(1, 1, 0), (2, 3, 0), (3, 1, 0)]
        assert ear.losses == []

    def test_a_start_is_told_before_the_result(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "nap"), work(2, "thread")])
            await pass_time(clock, broker)

        ear = self.play(body)
        for node in (1, 2):
            assert [kind for kind, other in ear.heard if other == node] == ["started", "finished"]

    def test_higher_priority_first_then_the_order_of_arrival(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "nap")])
            await broker.dispatch([work(2, "nap"), work(3, "nap", priority=900), work(4, "nap"), work(5, priority=900)])
            await broker.dispatch([work(6, "nap", priority=900), work(7, "nap", priority=1)])
            await pass_time(clock, broker)

        ear = self.play(body, 1)
        assert ear.nodes("finished") == [1, 3, 5, 6, 2, 4, 7]

    def test_one_batch_is_sorted_too(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "nap", priority=1), work(2, "nap"), work(3, "nap", priority=900)])
            await pass_time(clock, broker)

        assert self.play(body, 1).nodes("finished") == [3, 2, 1]

    def test_no_more_than_the_limit_run_at_once(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(node, "nap") for node in range(1, 8)])
            await broker.quiet()
            assert len(ear.nodes("started")) == 3
            await pass_time(clock, broker)

        ear = self.play(body, 3)
        running = peak = 0
        for kind, _ in ear.heard:
            running += 1 if kind == "started" else -1
            peak = max(peak, running)
        assert (peak, running) == (3, 0)

    def test_thousands_may_sleep_without_a_limit(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(node, "forever") for node in range(3_000)])
            await broker.quiet()
            assert len(ear.nodes("started")) == 3_000

        assert self.play(body).results == []

    def test_raising_is_an_error_with_the_text(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            names = [f"{what}-{mode}" for what in ("boom", "leave") for mode in ("inline", "async", "thread")]
            await broker.dispatch([work(node, name) for node, name in enumerate(names)])
            await pass_time(clock, broker)

        ear = self.play(body)
        told = {number(result.ref): (result.code, result.message) for result in ear.results}
        for node in range(3):
            assert told[node] == (3, "this went wrong")
            assert told[node + 3] == (3, "SystemExit: 3")

    def test_cancelling_itself_is_an_error_and_others_run_on(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "cancels"), work(2, "cancelled"), work(3, "nap"), work(4, "cancels")])
            await pass_time(clock, broker)

        for concurrency in (None, 1):
            ear = self.play(body, concurrency)
            assert sorted((number(one.ref), one.code) for one in ear.results) == [(1, 3), (2, 3), (3, 0), (4, 3)]
            assert {one.message for one in ear.results if one.code} == {"the executor cancelled itself"}

    def test_what_is_no_result_is_an_error(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            names = ["nonsense-inline", "nonsense-async", "nonsense-thread", "other", "no-json"]
            await broker.dispatch([work(node, name) for node, name in enumerate(names)])
            await pass_time(clock, broker)

        ear = self.play(body)
        assert sorted((number(result.ref), result.code) for result in ear.results) == [(node, 3) for node in range(5)]

    def test_an_unknown_type_is_an_error_that_names_the_known_ones(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "nip")])
            await pass_time(clock, broker)

        ear = self.play(body)
        if not self.knows_types:
            assert (ear.results, ear.losses) == ([], []), "it waits for a worker that knows it"
            return
        (result,) = ear.results
        assert result.code == 3
        assert "'nip'" in result.message
        assert "nap" in result.message

    def test_stop_drops_what_waits_and_ends_what_runs(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "forever"), work(2, "forever"), work(3)])
            await broker.quiet()
            await broker.stop([ref(2)])
            await broker.stop([ref(1, 9)])
            await broker.stop([ref(77)])
            await pass_time(clock, broker)
            assert ear.results == []
            await broker.stop([ref(1)])
            await pass_time(clock, broker)
            assert ear.nodes("finished") == [3]

        ear = self.play(body, 1)
        assert ear.nodes("started") == [1] or ear.nodes("started") == [1, 3]
        assert ear.losses == []

    def test_a_later_attempt_of_a_task_run_waits_for_the_end_of_the_earlier_one(self) -> None:
        at_work: list[int] = []

        async def slow_to_stop(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
            at_work.append(task.attempt)
            try:
                await context.sleep(math.inf)
            except asyncio.CancelledError:
                if task.attempt == 1:
                    await clock.sleep(2)
                raise
            finally:
                at_work.remove(task.attempt)
            return done(task)

        clock = ManualClock(0)

        async def go() -> None:
            broker = self.make([Tool("slow", "async", slow_to_stop)], clock, None)
            broker.start(Ear())
            await broker.quiet()
            await broker.dispatch([work(1, "slow")])
            await broker.quiet()
            await broker.stop([ref(1)])
            await broker.dispatch([work(1, "slow", attempt=2)])
            seen = [list(at_work)]
            for _ in range(50):
                await asyncio.sleep(0)
            seen.append(list(at_work))
            clock.advance(2_000_000)
            clock.wake()
            for _ in range(50):
                await asyncio.sleep(0)
            seen.append(list(at_work))
            await broker.quiet()
            seen.append(list(at_work))
            assert seen[:2] == [[1], [1]]
            assert ([1, 2] in seen, seen[-1]) == (False, [2])
            assert await broker.held([ref(1, 2)]) == {ref(1, 2): "held"}
            await broker.close()

        asyncio.run(go())

    def test_another_attempt_of_a_task_run_stops_the_one_that_is_there(self) -> None:
        """The engine that should have stopped it was lost before it could."""

        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "forever"), work(2, "forever")])
            await broker.quiet()
            await broker.dispatch([work(1, attempt=2), work(2, attempt=2)])
            await pass_time(clock, broker)
            assert {one.ref: one.code for one in ear.results} == {ref(1, 2): 0, ref(2, 2): 0}

        for concurrency in (None, 1):  # with one slot the second waits in a queue when its successor comes
            assert self.play(body, concurrency).losses == []

    @pytest.mark.parametrize(
        ("first", "then", "stays"),
        [
            ((2, 0), (1, 0), (2, 0)),
            ((1, 7), (2, 3), (1, 7)),  # from before the run went back to an earlier state
            ((1, 7), (1, 0), (1, 7)),
            ((2, 3), (1, 7), (1, 7)),
            ((2, 0), (2, 0), (2, 0)),
        ],
    )
    @pytest.mark.parametrize("concurrency", [None, 1])
    def test_an_older_attempt_that_comes_late_is_passed_over(
        self, first: tuple[int, int], then: tuple[int, int], stays: tuple[int, int], concurrency: int | None
    ) -> None:
        """Later is the one of the later epoch, within an epoch the one with the higher number."""

        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "nap", attempt=first[0], epoch=first[1])])
            await broker.quiet()
            await broker.dispatch([work(1, "nap", attempt=then[0], epoch=then[1])])
            await pass_time(clock, broker)
            assert [one.ref for one in ear.results] == [ref(1, *stays)]

        assert self.play(body, concurrency).losses == []

    @pytest.mark.parametrize("late", [1, 2])
    def test_what_comes_late_does_not_take_the_place_of_what_waits_for_the_end_of_a_stop(self, late: int) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "forever")])
            await broker.quiet()
            await broker.stop([ref(1)])
            await broker.dispatch([work(1, "nap", attempt=3), work(1, "nap", attempt=late)])
            await pass_time(clock, broker)
            assert [one.ref for one in ear.results] == [ref(1, 3)]

        self.play(body)

    def test_room_is_what_is_left_and_its_return_is_told(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            if broker.room() is None:  # it takes all that comes, and orders it by itself
                assert not await broker.dispatch([work(node, "forever") for node in range(9)])
                return
            assert broker.room() == 2
            await broker.dispatch([work(1, "nap"), work(2, "forever")])
            assert broker.room() == 0
            await pass_time(clock, broker)
            assert (broker.room(), ear.readies > 0) == (1, True)
            before = ear.readies
            await broker.stop([ref(2)])
            await pass_time(clock, broker)
            assert (broker.room(), ear.readies > before) == (2, True)

        self.play(body, 2)

    def test_nothing_is_held_that_nobody_dispatched_here(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            await broker.dispatch([work(1, "forever"), work(2, "nap")])
            await pass_time(clock, broker)
            told = await broker.held([ref(1), ref(1, 2), ref(2), ref(3)])
            assert told[ref(1)] == "held"
            assert {told[other] for other in (ref(1, 2), ref(2), ref(3))} <= {"lost", "unknown"}

        self.play(body)

    def test_a_runner_works_on_after_a_stop(self) -> None:
        async def body(broker: QuietBroker, ear: Ear, clock: ManualClock) -> None:
            for node in range(1, 5):
                await broker.dispatch([work(node, "forever")])
                await broker.quiet()
                await broker.stop([ref(node)])
                await pass_time(clock, broker)
            await broker.dispatch([work(9, "nap")])
            await pass_time(clock, broker)

        ear = self.play(body, 1)
        assert ear.nodes("finished") == [9]
        assert ear.losses == []


class LocalBrokerContract(BrokerContract):
    """What a broker must keep whose attempts run in the engine's process, beyond `BrokerContract`."""

    def test_close_ends_what_runs(self) -> None:
        ended: list[str] = []

        async def stubborn(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
            try:
                await context.sleep(math.inf)
            finally:
                ended.append("cleaned up")
            return done(task)

        async def go() -> None:
            broker = self.make([Tool("stubborn", "async", stubborn)], ManualClock(0), None)
            broker.start(Ear())
            await broker.dispatch([work(1, "stubborn")])
            await broker.quiet()
            await broker.close()
            assert ended == ["cleaned up"]

        asyncio.run(go())
