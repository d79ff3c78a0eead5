"""The scheduler of schedules, as its host sees it: what it tells, what one bad schedule does to the others, what it leaves
alone when it is asked to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.cron.settings import FORBID, CronSettings
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.ids import RandomIds
from aether_protocol.engine.schedule_runner import ScheduleRunner
from aether_protocol.engine.schedules import ScheduleSpec, apply
from aether_protocol.errors import AetherError, PortError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import Store
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.service import client_of
from aether_protocol.testing.clock import DEFAULT_START_US, ManualClock
from aether_protocol.testing.settling import settled
from tests.unit.engine.plans import dag, plan, task

MINUTE = 60_000_000
START = DEFAULT_START_US
EVERY_MINUTE = CronSettings("* * * * *")


class Memory:
    """A witness that remembers."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        self.told.append((schedule.name, record.kind, record.at))

    def adopted(self, run_id: str) -> None:
        self.told.append(("adopted", run_id))

    def deleted(self, run_ids: Sequence[str]) -> None:
        self.told.append(("deleted", *run_ids))

    def failed(self, what: str, error: AetherError) -> None:
        self.told.append(("failed", what, error.message))


class Stage:
    """An engine and a scheduler on a virtual clock. `store` may be spoiled before `open`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = ManualClock(START + MINUTE // 2)
        self.memory = Memory()

    async def open(self) -> None:
        broker = LocalBroker([NoopExecutor()], self.clock)
        self.engine = RunEngine(store=self.store, broker=broker, clock=self.clock, ids=RandomIds(), lease_s=None)
        await self.engine.__aenter__()
        self.cron = ScheduleRunner(self.engine, self.store, self.clock, witness=self.memory)

    async def apply(self, name: str, settings: CronSettings = EVERY_MINUTE, namespace: str = "default") -> None:
        made = replace(plan(dag(task("a"))), name=name, namespace=namespace)
        await apply(self.store.schedules, ScheduleSpec(namespace, name, settings, "s", "{}", made), self.clock.now())

    def at(self, minutes: float) -> int:
        return START + round(minutes * MINUTE)


def play(body: Callable[[Stage], Coroutine[Any, Any, None]], make: Callable[[], Store] = MemoryStore) -> Stage:
    async def go() -> Stage:
        stage = Stage(make())
        await stage.open()
        try:
            await body(stage)
        finally:
            await stage.engine.close()
        return stage

    return asyncio.run(go())


class Spoilt(MemoryStore):
    """The plan of schedule `bad` cannot be read."""

    def __init__(self) -> None:
        super().__init__()
        self._read = self.schedules.plan
        self.schedules.plan = self._plan

    async def _plan(self, namespace: str, name: str) -> Plan:
        if name == "bad":
            raise PortError("the disk is gone")
        return await self._read(namespace, name)


def test_the_witness_is_told_once_what_became_of_each_fire() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("slow", replace(EVERY_MINUTE, policy=FORBID))
        stage.clock.advance(stage.at(1))
        (first,) = await stage.cron.tick()
        await client_of(stage.engine).runs.wait(first)
        stage.clock.advance(stage.at(3.5))
        assert len(await stage.cron.tick()) == 1
        assert await stage.cron.tick() == []

    told = play(body).memory.told
    assert told == [
        ("slow", "started", START + MINUTE),
        ("slow", "missed", START + 2 * MINUTE),
        ("slow", "started", START + 3 * MINUTE),
    ]


def test_a_run_that_is_there_already_is_neither_started_nor_told() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly")
        stage.clock.advance(stage.at(1))
        assert await stage.cron.backfill("default", "nightly", stage.at(1)) is not None
        assert await stage.cron.backfill("default", "nightly", stage.at(1)) is None
        assert await stage.cron.tick() == []

    assert [kind for _, kind, _ in play(body).memory.told] == ["backfilled"]


def test_a_schedule_that_cannot_be_dealt_with_keeps_no_other_from_its_fires() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("bad")
        await stage.apply("good")
        stage.clock.advance(stage.at(1))
        for _ in range(3):
            await stage.cron.tick()

    assert [one[:2] for one in play(body, Spoilt).memory.told] == [("failed", "schedule default/bad"), ("good", "started")]


def test_what_keeps_failing_is_told_again_only_for_another_reason() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly")
        stage.clock.advance(stage.at(1))
        reasons = iter(["first", "first", "second"])

        async def fail(namespace: str, name: str) -> Plan:
            raise PortError(next(reasons))

        readable = stage.store.schedules.plan
        stage.store.schedules.plan = fail  # type: ignore[method-assign]
        for _ in range(3):
            await stage.cron.tick()
        stage.store.schedules.plan = readable  # type: ignore[method-assign]
        assert len(await stage.cron.tick()) == 1

    told = play(body).memory.told
    assert [one[-1] for one in told[:2]] == ["first", "second"]
    assert told[2][:2] == ("nightly", "started")
    assert len(told) == 3


def test_a_failing_schedule_makes_no_hot_loop() -> None:
    looks: list[int] = []

    class Counted(Spoilt):
        def __init__(self) -> None:
            super().__init__()
            self._find = self.schedules.find
            self.schedules.find = self._look

        async def _look(self, namespace: str | None = None, **asked: int | None) -> list[StoredSchedule]:
            if asked.get("limit") is None:
                looks.append(1)
            return await self._find(namespace, **asked)

    class Impatient(ManualClock):
        """Time stands still; a wait of no time is over at once."""

        async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
            if seconds > 0:
                await super().sleep(seconds, rank)

    async def body(stage: Stage) -> None:
        await stage.apply("bad")
        stage.clock.advance(stage.at(1))
        stage.cron = ScheduleRunner(stage.engine, stage.store, Impatient(stage.clock.now()), witness=stage.memory)
        stopping = asyncio.Event()
        serving = asyncio.create_task(stage.cron.serve(stopping))
        for _ in range(200):
            await asyncio.sleep(0)
        assert not serving.done()
        stopping.set()
        await serving

    play(body, Counted)
    assert 1 <= len(looks) <= 4


def test_a_tick_for_some_schedules_leaves_the_others_due() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly")
        await stage.apply("other")
        stage.clock.advance(stage.at(1))
        assert len(await stage.cron.tick(lambda schedule: schedule.name == "other")) == 1
        left = await stage.store.schedules.find(due=stage.clock.now())
        assert [one.name for one in left] == ["nightly"]

    play(body)


def test_a_scheduler_that_is_told_to_stop_starts_nothing_more() -> None:
    async def body(stage: Stage) -> None:
        for name in ("one", "three", "two"):
            await stage.apply(name)
        stage.clock.advance(stage.at(1))
        stopping = asyncio.Event()
        witnessed = stage.memory.fired

        def stop(schedule: StoredSchedule, record: FireRecord) -> None:
            witnessed(schedule, record)
            stopping.set()

        stage.memory.fired = stop  # type: ignore[method-assign]
        await stage.cron.serve(stopping)

    assert [name for name, *_ in play(body).memory.told] == ["one"]


def test_orphans_are_adopted_once_all_or_those_that_are_named(tmp_path: Any) -> None:
    path = str(tmp_path / "cron.db")

    async def go() -> None:
        first = Stage(open_sqlite(path, durability="normal"))
        await first.open()
        for name in ("nightly", "other"):
            await first.apply(name)
        first.clock.advance(first.at(1))
        begin = first.engine.begin
        first.engine.begin = lambda draft, token: draft.run.id  # type: ignore[method-assign]
        nightly, other = await first.cron.tick()  # written, and the process is gone before they begin
        first.engine.begin = begin  # type: ignore[method-assign]
        await first.engine.close()

        second = Stage(open_sqlite(path, durability="normal"))
        await second.open()
        second.clock.advance(second.at(2))
        try:
            assert await second.cron.adopt_orphans([other]) == [other]
            assert await second.cron.adopt_orphans() == [nightly]
            assert await second.cron.adopt_orphans() == []
            assert second.memory.told == [("adopted", other), ("adopted", nightly)]
            for run_id in (nightly, other):
                assert (await client_of(second.engine).runs.wait(run_id)).phase == "Succeeded"
        finally:
            await second.engine.close()

    asyncio.run(go())


def test_a_run_that_cannot_be_gone_on_with_is_told_once_and_left_alone(tmp_path: Any) -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly")
        stage.clock.advance(stage.at(1))
        stage.engine.begin = lambda draft, token: draft.run.id  # type: ignore[method-assign]
        (run_id,) = await stage.cron.tick()
        stage.memory.told.clear()

        async def fail(run_id: str) -> Any:
            raise PortError("its record is damaged")

        stage.store.runs.load = fail  # type: ignore[method-assign]
        assert await stage.cron.adopt_orphans() == []
        assert await stage.cron.adopt_orphans() == []
        assert stage.memory.told == [("failed", f"run {run_id}", "its record is damaged")]

    play(body, lambda: open_sqlite(str(tmp_path / "cron.db"), durability="normal"))


def test_a_fire_that_cannot_start_a_run_is_skipped_and_told() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly")
        stage.clock.advance(stage.at(1))

        def refuse(*given: Any, **named: Any) -> Any:
            raise UsageError("parameter 'x' has no value")

        stage.engine.draft = refuse  # type: ignore[method-assign]
        assert await stage.cron.tick() == []
        (record,) = await stage.store.schedules.fires("default", "nightly")
        assert (record.kind, record.run_id) == ("skipped", None)
        assert "parameter 'x' has no value" in record.reason

    told = play(body).memory.told
    assert ("failed", "schedule default/nightly", "parameter 'x' has no value") in told


@pytest.mark.rule("CRON-5")
def test_old_runs_that_go_are_told() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly", replace(EVERY_MINUTE, keep_succeeded=1))
        for minute in (1, 2, 3):
            stage.clock.advance(stage.at(minute))
            (run_id,) = await stage.cron.tick()
            await client_of(stage.engine).runs.wait(run_id)
            await settled(stage.engine)
            assert len(await stage.cron.tidy()) == (minute > 1)

    told = play(body).memory.told
    assert [one for one in told if one[0] == "deleted"] == [
        ("deleted", "nightly.20260101T000100Z"), ("deleted", "nightly.20260101T000200Z")
    ]


@pytest.mark.rule("CRON-5")
def test_old_runs_go_once_the_store_answers_again() -> None:
    async def body(stage: Stage) -> None:
        await stage.apply("nightly", replace(EVERY_MINUTE, keep_succeeded=0))
        stage.clock.advance(stage.at(1))
        (run_id,) = await stage.cron.tick()
        await client_of(stage.engine).runs.wait(run_id)
        await settled(stage.engine)
        delete = stage.store.runs.delete

        async def refuse(*given: Any, **named: Any) -> Any:
            raise PortError("the disk reports an error")

        stage.store.runs.delete = refuse  # type: ignore[method-assign]
        with pytest.raises(PortError):
            await stage.cron.tidy()
        stage.store.runs.delete = delete  # type: ignore[method-assign]
        assert await stage.cron.tidy() == [run_id]

    play(body)


def test_without_a_witness_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    async def body(stage: Stage) -> None:
        cron = ScheduleRunner(stage.engine, stage.store, stage.clock)
        await stage.apply("bad")
        await stage.apply("good")
        stage.clock.advance(stage.at(200))
        await cron.tick()

    play(body, Spoilt)
    assert [record.getMessage() for record in caplog.records] == [
        "schedule default/bad: the disk is gone",
        "schedule default/good missed 199 fires",
    ]
