"""The broker in memory whose workers are elsewhere keeps the contract, and brokers with a planted fault do not."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.ports.broker import Holding
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import ExecutionContext, Executor
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.invariants import check
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.testing.clock import ManualClock, SequentialIds, pass_time
from aether_protocol.testing.contracts.broker import Tool, done
from aether_protocol.testing.contracts.remote_broker import RemoteBrokerContract
from aether_protocol.testing.remote_broker import RemoteBroker, RemoteWorkers
from aether_protocol.testing.settling import parts_of, settled
from tests.unit.engine.plans import dag, plan, task

pytestmark = pytest.mark.rule("RT-116")


class TestRemoteBroker(RemoteBrokerContract):
    def make_site(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> RemoteWorkers:
        return RemoteWorkers(executors, clock, concurrency=concurrency)


# --- brokers with a fault ---


class ForgetsWhatItDidNotTake(RemoteBroker):
    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        await super().dispatch(batch)
        return {}


class PassesOverStops(RemoteBroker):
    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if not self.workers.away:
            await super().stop(refs)


class HoldsEverything(RemoteBroker):
    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        await super().held(refs)
        return dict.fromkeys(refs, "held")


class HoldsNothing(RemoteBroker):
    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        return dict.fromkeys(refs, "unknown")


class TakesItsAttemptsAlong(RemoteBroker):
    async def close(self) -> None:
        await self.workers.drop(list(self.workers.running.values()))
        await super().close()


class StopsWhatIsReleased(RemoteBroker):
    async def release(self, refs: Sequence[AttemptRef]) -> None:
        await self.stop(refs)


class KeepsNoResult(RemoteWorkers):
    def report(self, ref: AttemptRef) -> None:
        super().report(ref)
        self.results.pop(ref, None)


class NeverForgetsAResult(RemoteWorkers):
    def acknowledge(self, ref: AttemptRef) -> None:
        """It is reported again and again."""


class BlamesEveryLoss(RemoteWorkers):
    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        await super().lose(ref, blamed=True)


class BlamesNoLoss(RemoteWorkers):
    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        await super().lose(ref, blamed=False)


class LosesInSilence(RemoteWorkers):
    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        await self.worker.stop([ref])


class RunsTwiceWhatComesTwice(RemoteWorkers):
    async def take(self, batch: Sequence[TaskAssignment], side: RemoteBroker) -> None:
        for ref in [one.ref for one in batch]:
            self.results.pop(ref, None)
            self.running.pop(ref.task_run_id, None)
        await super().take(batch, side)


class TakesWhatComesLast(RemoteWorkers):
    async def take(self, batch: Sequence[TaskAssignment], side: RemoteBroker) -> None:
        for one in batch:
            before = self.running.pop(one.ref.task_run_id, None)
            if before is not None:
                await self.worker.stop([before])
        await super().take(batch, side)


class ReportsTwice(RemoteWorkers):
    def report(self, ref: AttemptRef) -> None:
        kept = dict(self.results)
        super().report(ref)
        self.results |= kept
        super().report(ref)


class ChangesNames(RemoteWorkers):
    def finished(self, result: TaskResult, stored: Any = None) -> None:
        super().finished(replace(result, ref=replace(result.ref, attempt=1)), stored)


class NeverSaysReady(RemoteWorkers):
    def ready(self) -> None:
        """The engine has to find out."""


BITES: list[tuple[type, str]] = [
    (ForgetsWhatItDidNotTake, "test_what_is_refused_while_the_queue_is_away_is_taken_later"),
    (PassesOverStops, "test_a_stop_that_does_not_get_through_is_an_error_or_works_later"),
    (HoldsEverything, "test_a_queue_that_is_away_says_nothing_wrong_of_attempts"),
    (HoldsEverything, "test_nothing_is_held_that_nobody_dispatched_here"),
    (HoldsEverything, "test_what_was_lost_without_an_engine_is_not_held"),
    (HoldsNothing, "test_attempts_outlive_their_engine_and_are_reported_to_the_next_one"),
    (TakesItsAttemptsAlong, "test_attempts_outlive_their_engine_and_are_reported_to_the_next_one"),
    (StopsWhatIsReleased, "test_what_an_engine_releases_runs_on_for_the_next_one"),
    (KeepsNoResult, "test_a_result_is_reported_until_it_is_acknowledged"),
    (KeepsNoResult, "test_a_result_that_waits_for_its_acknowledgement_is_not_carried_out_again"),
    (NeverForgetsAResult, "test_a_result_is_reported_until_it_is_acknowledged"),
    (BlamesEveryLoss, "test_a_loss_is_reported_once_with_its_blame"),
    (BlamesNoLoss, "test_a_loss_is_reported_once_with_its_blame"),
    (LosesInSilence, "test_a_loss_is_reported_once_with_its_blame"),
    (RunsTwiceWhatComesTwice, "test_a_result_that_waits_for_its_acknowledgement_is_not_carried_out_again"),
    (TakesWhatComesLast, "test_an_older_attempt_that_comes_late_is_passed_over"),
    (ReportsTwice, "test_every_attempt_comes_back_once_under_its_own_name"),
    (ChangesNames, "test_every_attempt_comes_back_once_under_its_own_name"),
    (NeverSaysReady, "test_room_is_what_is_left_and_its_return_is_told"),
]


def faulty(kind: type) -> RemoteBrokerContract:
    """The contract for a broker, or for workers, with a fault."""

    class Workers(kind if issubclass(kind, RemoteWorkers) else RemoteWorkers):  # type: ignore[misc]
        def connect(self) -> RemoteBroker:
            return kind(self) if issubclass(kind, RemoteBroker) else RemoteBroker(self)

    class Contract(RemoteBrokerContract):
        def make_site(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> RemoteWorkers:
            made: RemoteWorkers = Workers(executors, clock, concurrency=concurrency)
            return made

    return Contract()


def outcomes(contract: RemoteBrokerContract, name: str) -> list[bool]:
    """Whether a check of the contract holds, for each of its parameters."""
    check_ = getattr(contract, name)
    sets: list[dict[str, Any]] = [{}]
    for mark in getattr(check_, "pytestmark", []):
        if mark.name == "parametrize":
            names, values = mark.args
            names = [names] if isinstance(names, str) else list(names)
            rows = [dict(zip(names, [one] if len(names) == 1 else one, strict=True)) for one in values]
            sets = [{**known, **row} for known in sets for row in rows]
    held = []
    for arguments in sets:
        try:
            check_(**arguments)
        except (Exception, pytest.fail.Exception):  # an assertion, an unpacking that does not fit, a time limit
            held.append(False)
        else:
            held.append(True)
    return held


@pytest.mark.parametrize(("kind", "name"), BITES, ids=[f"{kind.__name__}-{name[5:40]}" for kind, name in BITES])
def test_a_broker_with_a_fault_does_not_keep_the_contract(kind: type, name: str) -> None:
    assert not all(outcomes(faulty(kind), name))


def test_every_check_that_brokers_elsewhere_have_of_their_own_bites() -> None:
    own = {name for name in vars(RemoteBrokerContract) if name.startswith("test_")}
    assert own <= {name for _, name in BITES}


# --- engines before such a broker ---


@pytest.mark.rule("RT-48", "SCHED-12")
def test_a_worker_outlives_ten_engines_that_are_killed_one_after_the_other(tmp_path: Path) -> None:
    """Through the wire; results come while no engine is there, and before what came before was stored."""
    calls: list[str] = []

    async def at_work(given: TaskAssignment, context: ExecutionContext) -> TaskResult:
        calls.append(given.path)
        await context.sleep({"main.long": 1_000, "main.dark": 90}.get(given.path, 1))
        return done(given)

    async def go() -> None:
        clock = ManualClock()
        begin = clock.now()
        workers = RemoteWorkers([Tool("any", "async", at_work)], clock)
        ids = SequentialIds(7)

        async def bring_up() -> RunEngine:
            store = open_sqlite(str(tmp_path / "site.db"), durability="normal")
            engine = RunEngine(store=store, broker=workers.connect(), clock=clock, ids=ids, owner="site", lease_s=None)
            return await engine.__aenter__()

        async def until(seconds: int, *engines: RunEngine) -> None:
            await pass_time(clock, *parts_of(*engines), until_us=begin + seconds * 1_000_000)

        engine = await bring_up()
        tasks = (task("long", "any"), task("dark", "any"), task("quick", "any"), task("after", "any", after=(0, 1, 2)))
        run = await engine.submit(plan(dag(*tasks)))
        for number in range(10):
            await until(60 * number + 50, engine)
            await engine._driver.halt()
            workers.leave(workers.brokers.pop())
            await until(60 * number + 55)
            for _ in range(50):  # the workers go on meanwhile
                await asyncio.sleep(0)
            engine = await bring_up()
            assert await engine.recover() == [run]
            await settled(engine)
            assert calls == ["main.long", "main.dark", "main.quick"]
        await until(1_010, engine)
        state = engine.driven.state(run)
        check(state)
        assert (str(state.phase), calls[3:]) == ("Succeeded", ["main.after"])
        counts = [(node.attempt, node.losses, node.retries) for node in state.nodes if isinstance(node, TaskNode)]
        assert counts == [(1, 0, 0)] * 4
        assert workers.results == {}, "each was acknowledged"
        await engine.close()
        await workers.close()

    asyncio.run(go())
