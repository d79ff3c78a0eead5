"""Runs that the store counts as a server's and that it does not drive: they are released, or claimed once more."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import PortError
from aether_protocol.ports.store import STATE_ACTION_LOG, ServerRow, Store
from aether_protocol.server.sharing.ownership import RunOwnership
from aether_protocol.testing.clock import ManualClock, SequentialIds
from aether_protocol.testing.gate import GatedStore
from tests.unit.engine.plans import dag, plan, task
from tests.unit.engine.test_hanging_store import turns

LEASE_S: Final = 15
LOOK_US: Final = 250_000
TASK: Final = plan(dag(task("a", "work")))


class Failures:
    """A gate: the next call of each of `refused` is refused, the answer to the next one of each of `unanswered` is lost."""

    def __init__(self) -> None:
        self.refused: list[str] = []
        self.unanswered: list[str] = []

    async def call(self, name: str, call: Callable[[], Awaitable[Any]], arguments: tuple[Any, ...]) -> Any:
        if name in self.refused:
            self.refused.remove(name)
            raise PortError("the disk is full")
        given = await call()
        if name in self.unanswered:
            self.unanswered.remove(name)
            raise PortError("the connection broke")
        return given


def engine(store: Store, clock: ManualClock, owner: str) -> RunEngine:
    broker = WorkerBroker(clock, b"k" * 32)
    return RunEngine(store=store, broker=broker, clock=clock, ids=SequentialIds(), lease_s=LEASE_S, owner=owner)


async def pass_looks(clock: ManualClock, ownership: RunOwnership, count: int) -> None:
    """Let a server look so many times, as often as servers do."""
    for _ in range(count):
        with contextlib.suppress(PortError):
            await ownership.look()
        until = clock.now() + LOOK_US
        while clock.step(until):
            await turns()
        clock.advance(until)


async def nothing() -> None:
    pass


@pytest.mark.rule("RT-148")
@pytest.mark.parametrize(
    ("refused", "unanswered"),
    [([], ["leases.claim"]), (["runs.load", "leases.release"], []), (["runs.load"], ["leases.release"])],
    ids=["claim unanswered", "load and release refused", "load refused and release unanswered"],
)
def test_a_run_that_was_claimed_and_is_not_driven_is_claimed_once_more(refused: list[str], unanswered: list[str]) -> None:
    async def go() -> None:
        clock, failures = ManualClock(), Failures()
        store = MemoryStore(tier=STATE_ACTION_LOG, now=clock.now)
        async with engine(store, clock, "first") as first:
            run = await first.submit(TASK)
        await store.servers.put(ServerRow("other", "other", "there", started_at=1), 100 * LEASE_S * 1_000_000)
        gated = GatedStore(store, failures)
        async with engine(gated, clock, "me") as mine:
            row = ServerRow("me", "me", "here", started_at=2)
            ownership = RunOwnership(gated, mine, row, root=None, tend=nothing, recovered=lambda run_id: None, clock=clock)
            await ownership.begin()
            failures.refused, failures.unanswered = list(refused), list(unanswered)
            await pass_looks(clock, ownership, 1)
            assert not mine.drives(run), "it was claimed, and is not driven"
            assert (failures.refused, failures.unanswered) == ([], [])
            await pass_looks(clock, ownership, 8)
            assert mine.drives(run)

    asyncio.run(go())


def test_the_release_of_the_only_run_is_tried_again_until_the_store_takes_it() -> None:
    async def go() -> None:
        clock, failures = ManualClock(), Failures()
        store = MemoryStore(tier=STATE_ACTION_LOG, now=clock.now)
        async with engine(GatedStore(store, failures), clock, "me") as mine:
            run = await mine.submit(TASK)
            await turns()
            failures.refused = ["leases.release", "leases.release"]
            mine._driver.abandon(mine._driver.runs[run], PortError("the disk is full"))
            await turns()
            assert await store.leases.owner(run) is not None
            until = clock.now() + 3_000_000
            while clock.step(until):
                await turns()
            assert failures.refused == []
            assert await store.leases.owner(run) is None

    asyncio.run(go())
