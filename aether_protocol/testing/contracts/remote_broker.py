"""What a broker whose workers are elsewhere must keep beyond `BrokerContract`: outages, losses, attempts that outlive engines.

Law: subclass `RemoteBrokerContract` and give `make_site`; every test here and of `BrokerContract` then holds for that broker.
Nothing in this file knows a particular broker. `live_broker` asks the same of brokers whose workers are real processes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import pytest

from aether_protocol.errors import PortError
from aether_protocol.ports.broker import Holding
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import ExecutionContext, Executor
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.testing.clock import ManualClock, pass_time
from aether_protocol.testing.contracts.broker import BrokerContract, Ear, QuietBroker, Tool, done, nap, ref, work

MINUTE = 60_000_000
TRIES = 20


class BrokerSite(Protocol):
    """A queue and its workers, which outlive the brokers of engines, and what can be done to them."""

    def connect(self) -> QuietBroker:
        """The broker of one more engine."""
        ...

    def cut(self) -> None:
        """Let the queue be away."""
        ...

    def mend(self) -> None:
        """Let the queue be back."""
        ...

    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        """Let an attempt be lost with its worker; or, blamed, since what carried out that attempt alone died."""
        ...

    async def close(self) -> None:
        """Stop the workers."""
        ...


class Scene:
    """A site on virtual time, with the engines before it. `calls`: the attempts that began, in their order."""

    def __init__(self, site: BrokerSite, clock: ManualClock, calls: list[AttemptRef]) -> None:
        self.site = site
        self.clock = clock
        self.calls = calls

    async def engine(self) -> tuple[QuietBroker, Ear]:
        """One more engine, which comes when those before it are gone; what its start leads to has happened."""
        broker, ear = self.site.connect(), Ear(acknowledges=False)
        broker.start(ear)
        await broker.quiet()
        return broker, ear

    async def told(self, broker: QuietBroker, *refs: AttemptRef) -> dict[AttemptRef, Holding]:
        """What became of these attempts. A broker that cannot say yet is asked again, as engines do."""
        answers = dict(await broker.held(refs))
        for _ in range(TRIES):
            if len(answers) == len(refs):
                break
            await broker.quiet()
            answers |= await broker.held([one for one in refs if one not in answers])
        return answers

    async def pass_all(self, broker: QuietBroker) -> None:
        """Let everything happen that needs no more than time."""
        await pass_time(self.clock, broker)


class RemoteBrokerContract(BrokerContract):
    """Subclass it as `TestMyBroker`; pytest then collects the tests below and those of `BrokerContract`."""

    def make_site(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> BrokerSite:
        """A new site whose workers have these executors and so many slots (None: no limit)."""
        raise AssertionError("a contract needs `make_site`")

    def make(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> QuietBroker:
        return self.make_site(executors, clock, concurrency).connect()

    def on_site(self, body: Callable[[Scene], Coroutine[Any, Any, None]]) -> None:
        """Run `body` before a new site."""
        calls: list[AttemptRef] = []

        async def counted(task: TaskAssignment, context: ExecutionContext) -> TaskResult:
            calls.append(task.ref)
            return await nap(task, context)

        async def go() -> None:
            clock = ManualClock(0)
            site = self.make_site([Tool("nap", "async", counted), Tool("inline", "inline", done)], clock, None)
            try:
                async with asyncio.timeout(30):
                    await body(Scene(site, clock, calls))
            finally:
                await site.close()

        asyncio.run(go())

    def test_what_is_refused_while_the_queue_is_away_is_taken_later(self) -> None:
        async def body(scene: Scene) -> None:
            broker, ear = await scene.engine()
            scene.site.cut()
            tasks = [work(1, "nap"), work(2, "nap")]
            for _ in range(3):
                try:
                    refused = set(await broker.dispatch(tasks))
                except PortError:
                    refused = {ref(1), ref(2)}
                assert refused in ({ref(1), ref(2)}, set()), "it takes all of them, where they can wait in it, or none"
                scene.clock.advance(scene.clock.now() + MINUTE // 3)
            assert scene.calls == []
            scene.site.mend()
            assert not refused or not await broker.dispatch(tasks)
            await scene.pass_all(broker)
            assert sorted(scene.calls, key=str) == [ref(1), ref(2)]
            assert set(ear.nodes("finished")) == {1, 2}
            assert ear.losses == []

        self.on_site(body)

    def test_a_stop_that_does_not_get_through_is_an_error_or_works_later(self) -> None:
        async def body(scene: Scene) -> None:
            broker, ear = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await broker.quiet()
            scene.site.cut()
            try:
                await broker.stop([ref(5)])
            except PortError:
                scene.site.mend()
                await broker.stop([ref(5)])
            else:  # it remembers what it was asked
                scene.site.mend()
            await scene.pass_all(broker)
            assert ear.results == []

        self.on_site(body)

    def test_a_queue_that_is_away_says_nothing_wrong_of_attempts(self) -> None:
        async def body(scene: Scene) -> None:
            broker, _ = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await broker.quiet()
            scene.site.cut()
            try:
                answers = await broker.held([ref(5), ref(6)])
            except PortError:
                answers = {}
            assert (answers.get(ref(5), "held"), answers.get(ref(6)) == "held") == ("held", False)
            scene.site.mend()
            assert (await scene.told(broker, ref(5)))[ref(5)] == "held"

        self.on_site(body)

    def test_attempts_outlive_their_engine_and_are_reported_to_the_next_one(self) -> None:
        async def body(scene: Scene) -> None:
            broker, first = await scene.engine()
            await broker.dispatch([work(5, "nap"), work(9, "nap")])
            await broker.quiet()
            await broker.close()
            for _ in range(3):
                broker, ear = await scene.engine()
                assert set((await scene.told(broker, ref(5), ref(9))).values()) == {"held"}
                await broker.close()
            broker, ear = await scene.engine()
            await scene.told(broker, ref(5), ref(9))
            await scene.pass_all(broker)
            assert set(ear.nodes("finished")) == {5, 9}
            assert (first.results, len(scene.calls)) == ([], 2)

        self.on_site(body)

    def test_a_result_is_reported_until_it_is_acknowledged(self) -> None:
        async def body(scene: Scene) -> None:
            broker, ear = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await scene.pass_all(broker)
            assert set(ear.nodes("finished")) == {5}, "once or more often"
            await broker.close()  # its engine was lost before that was stored
            broker, ear = await scene.engine()
            assert (await scene.told(broker, ref(5)))[ref(5)] == "held"
            await scene.pass_all(broker)
            assert set(ear.nodes("finished")) == {5}
            ear.acknowledges = True
            ear.acknowledge()
            await scene.pass_all(broker)
            await broker.close()
            broker, ear = await scene.engine()
            assert (await scene.told(broker, ref(5)))[ref(5)] in ("unknown", "lost")
            await scene.pass_all(broker)
            assert (ear.results, scene.calls) == ([], [ref(5)])

        self.on_site(body)

    def test_a_result_that_waits_for_its_acknowledgement_is_not_carried_out_again(self) -> None:
        async def body(scene: Scene) -> None:
            broker, ear = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await scene.pass_all(broker)
            await broker.dispatch([work(5, "nap")])
            await scene.pass_all(broker)
            assert (set(ear.nodes("finished")), scene.calls) == ({5}, [ref(5)])

        self.on_site(body)

    @pytest.mark.parametrize("blamed", [False, True])
    def test_a_loss_is_reported_once_with_its_blame(self, blamed: bool) -> None:
        async def body(scene: Scene) -> None:
            broker, ear = await scene.engine()
            await broker.dispatch([work(5, "nap"), work(6, "nap")])
            await broker.quiet()
            await scene.site.lose(ref(5), blamed=blamed)
            await scene.pass_all(broker)
            ((lost, reason, was_blamed),) = ear.losses
            assert (lost, bool(reason), was_blamed) == (ref(5), True, blamed)
            assert set(ear.nodes("finished")) == {6}
            await broker.dispatch([work(5, "nap")])  # under the same name
            await scene.pass_all(broker)
            assert set(ear.nodes("finished")) == {5, 6}

        self.on_site(body)

    def test_what_was_lost_without_an_engine_is_not_held(self) -> None:
        async def body(scene: Scene) -> None:
            broker, _ = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await broker.quiet()
            await broker.close()
            await scene.site.lose(ref(5), blamed=False)
            broker, ear = await scene.engine()
            assert (await scene.told(broker, ref(5)))[ref(5)] in ("unknown", "lost")
            await broker.dispatch([work(5, "nap")])
            await scene.pass_all(broker)
            assert set(ear.nodes("finished")) == {5}

        self.on_site(body)

    def test_what_an_engine_releases_runs_on_for_the_next_one(self) -> None:
        async def body(scene: Scene) -> None:
            broker, first = await scene.engine()
            await broker.dispatch([work(5, "nap")])
            await broker.quiet()
            await broker.release([ref(5), ref(6)])
            other, ear = await scene.engine()
            assert (await scene.told(other, ref(5)))[ref(5)] == "held"
            await scene.pass_all(other)
            assert (first.results, set(ear.nodes("finished")), scene.calls) == ([], {5}, [ref(5)])

        self.on_site(body)
