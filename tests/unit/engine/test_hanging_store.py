"""A store that does not answer at all: the lease ends by the engine's own clocks, whatever it waits for (RT-153)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.leases import LeaseEndedError
from aether_protocol.ports.store import STATE_ACTION_LOG
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock, SequentialIds
from aether_protocol.testing.gate import GatedStore
from tests.unit.engine.plans import dag, plan, task

LEASE_S: Final = 15
SECOND: Final = 1_000_000
TASK: Final = plan(dag(task("a", "work")))


class Silence:
    """A gate whose calls of these names are answered once `over` is done; what was asked is carried out then, or `before`."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self.before = False
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if name not in self.names:
            return await call()
        if not self.before:
            await self.over
            return await call()
        given = await call()
        await self.over
        return given


class Place:
    """One engine whose attempts go to workers that never ask for them."""

    def __init__(self, appends: int = 1) -> None:
        self.clock = ManualClock()
        self.begin = self.clock.now()
        self.silence = Silence()
        self.store = GatedStore(MemoryStore(tier=STATE_ACTION_LOG, now=self.clock.now), self.silence)
        self.store.appends_at_once = appends
        self.engine = self.made("one")

    def made(self, owner: str) -> RunEngine:
        """An engine with a broker of its own."""
        self.broker = WorkerBroker(self.clock, b"k" * 32)
        return RunEngine(
            store=self.store, broker=self.broker, clock=self.clock, ids=SequentialIds(), lease_s=LEASE_S, owner=owner
        )

    @property
    def queued(self) -> list[str]:
        """The runs of which an attempt waits to be given out."""
        return [ref.run_id for ref in self.broker.fleet.state.waiting.queued]

    async def pass_time(self, seconds: float) -> None:
        """Let time pass until so many seconds after the beginning, at rest or not."""
        until = self.begin + round(seconds * SECOND)
        await turns()
        while self.clock.step(until):
            await turns()
        self.clock.advance(until)

    def end(self) -> None:
        if not self.silence.over.done():
            self.silence.over.set_result(None)


async def turns() -> None:
    for _ in range(30):
        await asyncio.sleep(0)


def play(body: Callable[[Place], Awaitable[None]], appends: int = 1) -> None:
    async def go() -> None:
        place = Place(appends)
        async with asyncio.timeout(20), place.engine:
            try:
                await body(place)
            finally:
                place.end()

    asyncio.run(go())


@pytest.mark.parametrize("appends", [1, 4])
@pytest.mark.parametrize("name", ["leases.renew", "runs.append", "mailbox.requests", "leases.release"])
def test_runs_are_given_up_at_the_end_of_the_lease_whatever_is_not_answered(name: str, appends: int) -> None:
    async def body(place: Place) -> None:
        engine = place.engine
        run = await engine.submit(TASK)
        await place.pass_time(0.5)
        assert place.queued == [run]
        place.silence.names = {name}
        end = LEASE_S + (0.5 if name == "runs.append" else 0)  # what begins takes the lease, too
        if name == "runs.append":
            await engine.submit(TASK, run_id="other")
        if name == "leases.release":
            engine._keeper.release_run("other")
        waiting = asyncio.ensure_future(client_of(engine).runs.wait(run))
        await place.pass_time(end - 0.001)
        assert place.queued == [run]
        assert not waiting.done()
        await place.pass_time(end)
        await turns()
        assert place.queued == [], "no attempt goes out any more"
        assert not engine.drives(run)
        with pytest.raises(LeaseEndedError, match=f"of run '{run}' ended before it could be renewed: the store did not"):
            await waiting
        place.end()  # it answers after all
        assert (await client_of(engine).runs.report(run)).phase == "Ready", "the store is asked for what is not driven here"
        await place.pass_time(LEASE_S + 2)
        assert place.queued == []
        again = await engine.submit(TASK)
        await place.pass_time(3 * LEASE_S)
        assert place.queued == [again], "what begins after that is driven, and its lease renewed"

    play(body, appends)


def test_a_lease_counts_from_when_its_renewal_was_sent() -> None:
    async def body(place: Place) -> None:
        run = await place.engine.submit(TASK)
        await place.pass_time(0.5)
        place.silence.names, place.silence.before = {"leases.renew"}, True
        await place.pass_time(9)  # sent after 5 s
        place.end()
        await turns()
        place.silence.over = asyncio.get_running_loop().create_future()
        await place.pass_time(5 + LEASE_S - 0.001)
        assert place.queued == [run]
        await place.pass_time(5 + LEASE_S)
        await turns()
        assert place.queued == []

    play(body)


@pytest.mark.parametrize("before", [False, True])
def test_a_claim_that_is_answered_after_its_lease_gives_nothing(*, before: bool) -> None:
    """Whether the store carried it out at once or late."""

    async def body(place: Place) -> None:
        first = place.engine
        run = await first.submit(TASK)
        await place.pass_time(0.5)
        await first._driver.halt()  # it was lost
        await place.pass_time(LEASE_S + 1)
        async with place.made("two") as second:
            place.silence.names, place.silence.before = {"leases.claim"}, before
            claimed = asyncio.ensure_future(second.recover([run]))
            await place.pass_time(2 * LEASE_S + 2)
            assert not claimed.done()
            place.end()
            with pytest.raises(LeaseEndedError, match="ended before"):
                await claimed
            await turns()
            assert place.queued == []
            assert not second.drives(run)
            assert await second.recover([run]) == [run], "it is free once more"
            await place.pass_time(6 * LEASE_S)
            assert place.queued == [run]

    play(body)


def test_a_run_that_is_being_recovered_is_given_up_with_the_lease() -> None:
    async def body(place: Place) -> None:
        first = place.engine
        run = await first.submit(TASK)
        await place.pass_time(0.5)
        await first._driver.halt()
        await place.pass_time(LEASE_S + 1)
        async with place.made("two") as second:
            place.silence.names = {"mailbox.requests"}
            recovered = asyncio.ensure_future(second.recover([run]))
            await place.pass_time(2 * LEASE_S + 1)
            await turns()
            assert not second.drives(run)
            place.end()
            with pytest.raises(LeaseEndedError, match="ended before"):
                await recovered
            await turns()
            assert place.queued == []

    play(body)


def test_a_run_that_began_after_its_lease_is_left_to_others() -> None:
    async def body(place: Place) -> None:
        place.silence.names, place.silence.before = {"runs.create"}, True
        begun = asyncio.ensure_future(place.engine.submit(TASK))
        await place.pass_time(LEASE_S)
        place.end()
        run = await begun
        await turns()
        assert place.queued == []
        assert not place.engine.drives(run)

    play(body)


def test_a_machine_that_slept_asks_the_store_before_it_gives_its_runs_up() -> None:
    async def body(place: Place) -> None:
        run = await place.engine.submit(TASK)
        await place.pass_time(0.5)
        place.clock.set_by = 100 * SECOND
        await place.pass_time(2)
        assert place.engine.drives(run)
        place.silence.names = {"leases.renew"}
        place.clock.set_by += 100 * SECOND
        await place.pass_time(3.5)
        assert place.engine.drives(run)
        await place.pass_time(4)
        await turns()
        assert not place.engine.drives(run), "one that does not answer gets one beat more"

    play(body)
