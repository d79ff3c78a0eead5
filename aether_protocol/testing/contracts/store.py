"""What every store must keep (the Store port).

Law: subclass `StoreContract` and give `make`; every test here then holds for that store. Nothing in this file knows a
particular store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from aether_protocol.errors import AetherError, BusyError, UsageError
from aether_protocol.expressions import parse_template
from aether_protocol.plan.model import Call, Kind, Plan, TaskDef
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.scheduler.commands import Step
from aether_protocol.scheduler.facts import Reported


def tiny_plan() -> Plan:
    """One no-op task."""
    target = TaskDef("only", "noop", parse_template({}, frozenset()), False, (), (), None, None)
    root = Call("only", 0, Kind.TASK, target)
    return Plan("tiny", "default", None, {}, {}, root, (), 3_600_000_000, 500, {}, "0" * 64, {})


def step(seq: int, text: str = "") -> Step:
    """A step with one fact."""
    return Step(seq, seq * 1_000_000, "test:step", [Reported(0, text or f"step {seq}")], [])


class StoreContract:
    """Subclass it as `TestMyStore`; pytest then collects the tests below."""

    def make(self) -> Store:
        """A new, empty store."""
        raise AssertionError("a contract needs `make`")

    def play(self, body: Callable[[Store], Coroutine[Any, Any, None]]) -> None:
        """Run `body` on a new store and close it."""

        async def go() -> None:
            store = self.make()
            try:
                await body(store)
            finally:
                await store.close()

        asyncio.run(go())

    def test_steps_come_back_in_order(self) -> None:
        async def body(store: Store) -> None:
            await store.create("a", tiny_plan())
            assert store.steps("a") == []
            await store.append([RunAppend("a", 0, [step(1), step(2)])])
            await store.append([RunAppend("a", 2, [step(3)])])
            assert [kept.seq for kept in store.steps("a")] == [1, 2, 3]
            assert store.steps("a")[0].facts == step(1).facts

        self.play(body)

    def test_an_id_is_taken_once(self) -> None:
        async def body(store: Store) -> None:
            await store.create("a", tiny_plan())
            await refused(store.create("a", tiny_plan()), UsageError)

        self.play(body)

    def test_the_second_writer_is_refused_and_nothing_is_written(self) -> None:
        async def body(store: Store) -> None:
            await store.create("a", tiny_plan())
            await store.append([RunAppend("a", 0, [step(1, "first")])])
            await refused(store.append([RunAppend("a", 0, [step(1, "second")])]), BusyError)
            await refused(store.append([RunAppend("a", 5, [step(6)])]), BusyError)
            assert [kept.facts for kept in store.steps("a")] == [step(1, "first").facts]
            await store.append([RunAppend("a", 1, [step(2)])])

        self.play(body)

    def test_several_runs_in_one_append(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b"):
                await store.create(run, tiny_plan())
            await store.append([RunAppend("a", 0, [step(1)]), RunAppend("b", 0, [step(1), step(2)])])
            assert [len(store.steps(run)) for run in ("a", "b")] == [1, 2]

        self.play(body)

    def test_unknown_runs_are_the_callers_fault(self) -> None:
        async def body(store: Store) -> None:
            await refused(store.append([RunAppend("nobody", 0, [step(1)])]), UsageError)
            try:
                store.steps("nobody")
            except UsageError:
                return
            raise AssertionError("steps of an unknown run were given")

        self.play(body)

    def test_what_a_store_gives_is_not_its_own(self) -> None:
        async def body(store: Store) -> None:
            await store.create("a", tiny_plan())
            await store.append([RunAppend("a", 0, [step(1)])])
            store.steps("a").clear()
            assert len(store.steps("a")) == 1

        self.play(body)


async def refused(call: Coroutine[Any, Any, None], kind: type[AetherError]) -> None:
    """`call` raises `kind`."""
    try:
        await call
    except kind:
        return
    raise AssertionError(f"{kind.__name__} was expected")
