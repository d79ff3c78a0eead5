"""Several appends on their way at once, to a store that is waited for: of each run one, what follows in order, what must not
meet a write alone."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence

import pytest

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.errors import AetherError, PortError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import STATE_ACTION_LOG, RunAppend
from aether_protocol.scheduler.machine import START_LIMIT
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock
from tests.unit.engine.plans import dag, plan, task

AT_ONCE = 4


class SlowStore(MemoryStore):
    """Takes appends as they are let through, and refuses to write where two of one run meet. `held`: those that wait to be let
    through; `before` is called for each."""

    def __init__(self) -> None:
        super().__init__(tier=STATE_ACTION_LOG)
        self.appends_at_once = AT_ONCE
        self.held: list[asyncio.Future[None]] = []
        self.holds = False
        self.sizes: list[int] = []
        self.on_their_way: Counter[str] = Counter()
        self.most = 0
        self.calls: list[str] = []
        self.refuse: Callable[[Sequence[RunAppend]], bool] = lambda batch: False
        self._append = self.runs.append
        self._renew = self.leases.renew
        self.runs.append = self.append  # type: ignore[method-assign]
        self.leases.renew = self.renew  # type: ignore[method-assign]

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        ids = [part.run_id for part in batch]
        assert not any(self.on_their_way[run_id] for run_id in ids), "of one run one append is on its way"
        self.on_their_way.update(ids)
        self.sizes.append(sum(len(part.steps) for part in batch))
        gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.held.append(gate)
        self.most = max(self.most, len(self.held))
        if not self.holds:
            asyncio.get_running_loop().call_later(0.001, self.let_through, gate)
        await gate
        self.held.remove(gate)
        self.on_their_way.subtract(ids)
        if self.refuse(batch):
            raise PortError("the disk is full")
        return await self._append(batch)

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        self.calls.append(f"renew with {len(self.held)} appends on their way")
        return await self._renew(owner, ttl, held)

    def let_through(self, gate: asyncio.Future[None] | None = None) -> None:
        for one in list(self.held) if gate is None else [gate]:
            if not one.done():
                one.set_result(None)


def play(
    body: Callable[[RunEngine, SlowStore], Awaitable[None]], *, lease_s: float | None = None, time: Clock | None = None
) -> None:
    async def go() -> None:
        clock, store = time or SystemClock(), SlowStore()
        broker = LocalBroker([NoopExecutor()], clock)
        async with RunEngine(store=store, broker=broker, clock=clock, ids=RandomIds(), lease_s=lease_s) as engine:
            await asyncio.wait_for(body(engine, store), 20)
            store.holds = False
            store.let_through()

    asyncio.run(go())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - what is waited for is the engine's own
        await asyncio.sleep(0.001)


async def held_at_once(engine: RunEngine, store: SlowStore, document: Plan) -> list[str]:
    """Begin as many runs as there may be appends on their way; one of each is, and is held."""
    store.holds = True
    runs = []
    for count in range(1, AT_ONCE + 1):
        runs.append(await engine.submit(document))
        await until(lambda count=count: len(store.held) == count)  # type: ignore[misc]
    return runs


def test_runs_have_their_appends_on_their_way_at_once_four_at_most() -> None:
    async def body(engine: RunEngine, store: SlowStore) -> None:
        chain = plan(dag(*(task(f"t{at}", after=(at - 1,) if at else ()) for at in range(5))))
        runs = [*await held_at_once(engine, store, chain), *[await engine.submit(chain) for _ in range(26)]]
        store.holds = False
        store.let_through()
        for run in runs:
            await engine.driven.join(run)
            row = await store.runs.row(run)
            assert row is not None
            assert (row.phase, row.leaves_ended) == ("Succeeded", 5)
            numbers = [number for number, _ in await store.runs.lines(run)]
            assert numbers == list(range(1, row.seq + 1)), "each step once, in order"
        assert store.most == AT_ONCE

    play(body)


def test_a_run_goes_on_while_its_steps_are_on_their_way() -> None:
    """The next tasks of a fan-out are started while those before are being stored, no more than one window ahead."""

    async def body(engine: RunEngine, store: SlowStore) -> None:
        store.holds = True
        run = await engine.submit(plan(dag(*(task(f"t{at}") for at in range(5 * START_LIMIT)))))
        await until(lambda: len(store.held) == 1)
        for _ in range(20):
            await asyncio.sleep(0)
        state = engine.driven.state(run)
        assert len(state.nodes) == 1 + 2 * START_LIMIT, "two windows: one is on its way, one follows"
        assert len(engine.driven.get(run).open) == 0, "nothing goes out before it is stored"
        store.let_through()
        await until(lambda: len(store.sizes) == 2 and len(store.held) == 1)
        store.holds = False
        store.let_through()
        await engine.driven.join(run)
        assert engine.driven.state(run).phase == "Succeeded"

    play(body)


def test_a_request_is_answered_after_all_that_came_before_it_is_stored() -> None:
    async def body(engine: RunEngine, store: SlowStore) -> None:
        long = plan(dag(task("t", "noop", {}), task("u", after=(0,))))
        store.holds = True
        first = await engine.submit(long)
        await until(lambda: len(store.held) == 1)
        second = await engine.submit(long)
        await until(lambda: len(store.held) == 2)
        asked = asyncio.ensure_future(client_of(engine).control.cancel(second))
        await until(lambda: engine.driven.state(second).phase == "Cancelled")
        store.let_through(store.held[1])
        await until(lambda: len(store.sizes) == 3)
        store.let_through(store.held[-1])
        for _ in range(20):
            await asyncio.sleep(0.001)
        assert (await store.runs.row(second)).phase == "Cancelled"  # type: ignore[union-attr]
        assert not asked.done(), "the first step of the first run came before, and is not stored yet"
        store.holds = False
        store.let_through()
        await asked
        await engine.driven.join(first)

    play(body)


def test_an_append_that_fails_breaks_its_own_runs() -> None:
    async def body(engine: RunEngine, store: SlowStore) -> None:
        chain = plan(dag(*(task(f"t{at}", after=(at - 1,) if at else ()) for at in range(5))))
        store.holds = True
        bad = await engine.submit(chain)
        await until(lambda: len(store.held) == 1)
        good = await engine.submit(chain)
        await until(lambda: len(store.held) == 2)
        store.refuse = lambda batch: any(part.run_id == bad for part in batch)
        store.holds = False
        store.let_through()
        await engine.driven.join(good)
        assert engine.driven.state(good).phase == "Succeeded"
        with pytest.raises(PortError, match="the disk is full"):  # its states are ahead of the record
            await engine.driven.join(bad)

    play(body)


def test_the_lease_is_renewed_while_no_append_is_on_its_way() -> None:
    clock = ManualClock()

    async def body(engine: RunEngine, store: SlowStore) -> None:
        chain = plan(dag(*(task(f"t{at}", after=(at - 1,) if at else ()) for at in range(400))))
        runs = await held_at_once(engine, store, chain)
        later = clock.now() + 1_200_000  # the lease is to be renewed by then
        while clock.step(later):
            for _ in range(20):
                await asyncio.sleep(0)
        assert store.calls == []
        store.holds = False
        store.let_through()
        for run in runs:
            await engine.driven.join(run)
        assert set(store.calls) == {"renew with 0 appends on their way"}

    play(body, lease_s=3, time=clock)
