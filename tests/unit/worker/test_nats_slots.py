"""Several engines share the slots of one worker: none is given out twice, each engine has its part, and all come back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aether_protocol.adapters.brokers.nats.subjects import Announcement, Wanted
from aether_protocol.worker.nats.engines import SILENT_US, Engines
from aether_protocol.worker.nats.slots import PoolShare, SharedObserver, SharedSlots, SlotGate
from aether_protocol.worker.pool import PoolObserver

pytestmark = pytest.mark.rule("RT-144")


class Pool:
    """A pool that does what it is told to, when a test says so."""

    def __init__(self, slots: SharedSlots) -> None:
        self.observer = SharedObserver(slots)
        self.killed: list[str] = []

    def start(self, observer: PoolObserver) -> None:
        """It has one already."""

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        """It runs until the test ends it."""

    def stop(self, token: str) -> None:
        self.observer.returned(token, "it was stopped")

    def kill(self, token: str) -> None:
        self.killed.append(token)

    async def close(self) -> None:
        """Nothing is open."""


class Supervisor:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str]] = []

    def __getattr__(self, what: str) -> Any:
        return lambda token, *_, **__: self.heard.append((what, token))


async def turns(*gates: SlotGate, free: int = 100) -> list[int | None]:
    """What each gate gets now; None: it waits."""
    tasks = [asyncio.create_task(gate.turn(free)) for gate in gates]
    for _ in range(5):
        await asyncio.sleep(0)
    got = [task.result() if task.done() else None for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return got


def test_a_turn_comes_with_a_ticket_and_again_while_there_was_something() -> None:
    async def go() -> None:
        slots = SharedSlots(4)
        gate = SlotGate(slots)
        assert await turns(gate) == [None]
        gate.call()
        assert (await turns(gate), slots.free) == ([4], 0)
        gate.done(4, 1)
        assert (await turns(gate), slots.free) == ([4], 0)
        gate.done(4, 0)
        assert (await turns(gate), slots.free) == ([None], 4)

    asyncio.run(go())


def test_engines_that_ask_at_once_share_what_is_free() -> None:
    async def go() -> None:
        slots = SharedSlots(5)
        gates = [SlotGate(slots) for _ in range(2)]
        for gate in gates:
            gate.call()
        got = [one or 0 for one in await turns(*gates)]
        assert (sum(got), slots.free) == (5, 0)
        late = SlotGate(slots)
        late.call()
        waiting = asyncio.create_task(late.turn(10))
        await asyncio.sleep(0)
        assert not waiting.done()
        gates[0].done(got[0], 0)
        assert await waiting == got[0]

    asyncio.run(go())


def test_an_attempt_takes_its_slot_until_the_pool_says_that_it_has_ended() -> None:
    slots = SharedSlots(3)
    pool, one, two = Pool(slots), Supervisor(), Supervisor()
    shares = [PoolShare(pool, slots), PoolShare(pool, slots)]
    for share, supervisor in zip(shares, (one, two), strict=True):
        share.start(supervisor)  # type: ignore[arg-type]
    shares[0].begin("a", {})
    shares[1].begin("b", {})
    assert slots.free == 1
    asyncio.run(shares[1].close())
    assert (pool.killed, slots.free) == (["b"], 1)
    pool.observer.started("a")
    pool.observer.finished("a", {})
    pool.observer.died("b", "signal 9")
    pool.observer.finished("b", {})  # it had ended
    assert slots.free == 3
    assert (one.heard, two.heard) == ([("started", "a"), ("finished", "a")], [("died", "b")])


def test_the_engine_before_is_asked_as_long_as_it_is_there_then_the_one_heard_of_last() -> None:
    now = [0]
    engines = Engines(lambda: now[0])
    wanted = Wanted("aether.=.4.noop", "noop", "", "", (("tasks", 1),))
    assert engines.choose("s", "a") == "a", "it is the only one that is known"
    assert engines.heard(Announcement("s", "a", [wanted]))
    assert not engines.heard(Announcement("s", "a"))
    now[0] = 1
    assert engines.heard(Announcement("s", "b"))
    assert engines.heard(Announcement("other", "c"))
    assert (engines.choose("s", "a"), list(engines.wanted)) == ("a", ["aether.=.4.noop"])
    engines.drop("s", "a")
    assert engines.choose("s", "a") == "b"
    assert not engines.heard(Announcement("s", "b", gone=True))
    assert engines.choose("s", "b") == "b"
    now[0] = SILENT_US + 2
    assert not engines.is_there("other", "c")
