"""What every store that keeps schedules must keep (the ScheduleStore port).

Law: subclass `ScheduleContract` beside `StoreContract`. Nothing in this file knows a particular store.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from msgspec.structs import replace

from aether_protocol.cron.settings import CronSettings
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.store import Store, schedules_of
from aether_protocol.ports.store.schedules import (
    KEEP_FIRES,
    MISSED,
    SKIPPED,
    STARTED,
    FireRecord,
    ScheduleDecision,
    ScheduleStore,
    StoredSchedule,
    next_due,
)
from aether_protocol.testing.contracts.store.tools import Contract, all_well, more, new_run, refused, tiny_plan

SETTINGS = CronSettings(
    schedule="0 3 * * MON-FRI",
    timezone="Europe/Berlin",
    start_at=5,
    end_at=1 << 50,
    policy="Forbid",
    deadline_s=60,
    keep_succeeded=1,
    keep_failed=2,
    suspend=False,
)


def new_schedule(name: str = "nightly", namespace: str = "default", **changes: Any) -> StoredSchedule:
    """A schedule that was never stored."""
    bare = StoredSchedule(
        namespace=namespace,
        name=name,
        settings=SETTINGS,
        spec="f" * 64,
        document="kind: CronWorkflow # ü \0",
        applied_at=10,
        changed_at=11,
        seen=9,
        next_at=20,
    )
    return replace(bare, **changes)


def started(run_id: str, at: int) -> FireRecord:
    return FireRecord(at, STARTED, at + 1, run_id)


async def unfinished(store: Store) -> list[str]:
    """The runs of any schedule that are open."""
    return [row.run_id for row in await schedules_of(store).runs(closed=False)]


class ScheduleContract(Contract):
    """Schedules, their records and their runs."""

    def play_cron(self, body: Callable[[Store, ScheduleStore], Coroutine[Any, Any, None]]) -> None:
        """Run `body` on a new store and close it."""

        async def on(store: Store) -> None:
            await body(store, schedules_of(store))

        self.play(on)

    def test_a_schedule_comes_back_as_it_was_given(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            given = new_schedule(last_at=3, generation=2)
            stored = await schedules.put(given, tiny_plan())
            assert stored == replace(given, version=1)
            assert await schedules.get("default", "nightly") == stored
            assert (await schedules.plan("default", "nightly")).name == "tiny"
            assert await schedules.get("ops", "nightly") is None
            await refused(schedules.plan("ops", "nightly"), UsageError)

        self.play_cron(body)

    def test_a_name_is_taken_once_in_its_namespace(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            await schedules.put(new_schedule(), tiny_plan())
            await refused(schedules.put(new_schedule(), tiny_plan()), BusyError)
            await schedules.put(new_schedule(namespace="ops"), tiny_plan())
            await refused(schedules.put(new_schedule("planless")), UsageError)
            found = await schedules.find()
            assert [(one.namespace, one.version) for one in found] == [("default", 1), ("ops", 1)]
            assert [one.namespace for one in await schedules.find("ops")] == ["ops"]

        self.play_cron(body)

    def test_schedules_are_listed_in_pages(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            names = [(space, name) for space in ("a", "a-b", "b") for name in ("x", "y", "z")]
            for space, name in reversed(names):
                await schedules.put(new_schedule(name, namespace=space), tiny_plan())
            for namespace in (None, "a-b"):
                seen: list[tuple[str, str]] = []
                while page := await schedules.find(namespace, after=seen[-1] if seen else None, limit=2):
                    assert len(page) <= 2
                    seen += [(one.namespace, one.name) for one in page]
                assert seen == [one for one in names if namespace in (None, one[0])]
            assert [one.name for one in await schedules.find(after=("a", "y"), limit=1)] == ["z"]
            beside = await schedules.find(after=("a", "zz"), limit=1)  # there is no such schedule
            assert [one.namespace for one in beside] == ["a-b"]
            assert await schedules.find("a", after=("b", "x")) == []

        self.play_cron(body)

    def test_of_two_who_change_a_schedule_the_second_is_refused(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            first = await schedules.put(new_schedule(), tiny_plan())
            changed = await schedules.put(replace(first, settings=replace(SETTINGS, suspend=True), next_at=None, seen=12))
            assert (changed.version, changed.settings.suspend, changed.next_at, changed.seen) == (2, True, None, 12)
            await refused(schedules.put(replace(first, seen=99)), BusyError)
            stale = ScheduleDecision(replace(first, seen=99), [started("a", 20)], [new_run("a")])
            await refused(schedules.decide(stale), BusyError)
            assert await schedules.get("default", "nightly") == changed
            assert (await store.runs.row("a"), await schedules.fires("default", "nightly")) == (None, []), "all or nothing"
            again = await schedules.put(changed, replace(tiny_plan(), name="other"))
            assert (await schedules.plan("default", "nightly")).name == "other"
            assert again.version == 3

        self.play_cron(body)

    def test_what_is_due_is_found(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            assert await next_due(schedules) is None
            for name, next_at in (("a", 30), ("b", 20), ("c", None)):
                await schedules.put(new_schedule(name, next_at=next_at), tiny_plan())
            assert await next_due(schedules) == 20
            assert [[one.name for one in await schedules.find(due=due)] for due in (19, 20, 30)] == [[], ["b"], ["b", "a"]]

        self.play_cron(body)

    def test_a_turn_starts_its_runs_under_a_lease(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            first = await schedules.put(new_schedule(), tiny_plan())
            after = replace(first, seen=20, next_at=30, last_at=20)
            tokens = await schedules.decide(ScheduleDecision(after, [started("a", 20)], [new_run("a", owner="me", ttl=100)]))
            assert set(tokens) == {"a"}
            lease = await store.leases.owner("a")
            assert lease is not None
            assert (lease.owner, lease.left, lease.live) == ("me", 100, True)
            assert await all_well(store, more("a", 0, token=tokens["a"]))
            found = await schedules.get("default", "nightly")
            assert found == replace(after, version=2)
            assert await unfinished(store) == ["a"]
            assert [row.run_id for row in await schedules.runs("default", "nightly")] == ["a"]

        self.play_cron(body)

    def test_a_run_that_is_there_is_not_started_again(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            await schedules.decide(ScheduleDecision(schedule, [started("a", 20)], [new_run("a")]))
            assert await all_well(store, more("a", 0))
            schedule = replace(schedule, version=2)
            turn = ScheduleDecision(schedule, [started("a", 20), started("b", 30)], [new_run("a"), new_run("b")])
            assert set(await schedules.decide(turn)) == {"b"}
            assert [one.run_id for one in await schedules.fires("default", "nightly")] == ["b", "a"]
            row = await store.runs.row("a")
            assert row is not None
            assert row.seq == 1

        self.play_cron(body)

    def test_who_is_to_be_cancelled_is_asked_by_mail(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            await schedules.decide(ScheduleDecision(schedule, [started("a", 20)], [new_run("a", owner="me", ttl=100)]))
            await schedules.decide(ScheduleDecision(replace(schedule, version=2), cancel=["a", "nobody"]))
            [request] = await store.mailbox.requests("me")
            assert (request.run_id, request.request["kind"]) == ("a", "cancel")
            await store.mailbox.answered(request.id, {})
            assert await all_well(store, more("a", 0, token=1, closed=True))
            await schedules.decide(ScheduleDecision(replace(schedule, version=3), cancel=["a"]))
            assert await store.mailbox.requests("me") == [], "it has ended"

        self.play_cron(body)

    def test_records_come_newest_first_in_pages(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            missed = FireRecord(
                at=30, kind=MISSED, noted_at=50, run_id=None, reason="missed: why", count=200, first=20, generation=2
            )
            records = [missed, FireRecord(40, SKIPPED, 50, None, "Forbid: \0 ü"), started("a", 50)]
            await schedules.decide(ScheduleDecision(schedule, records, [new_run("a")]))
            page = await schedules.fires("default", "nightly", limit=2)
            assert [replace(one, id=0) for one in page] == [records[2], records[1]]
            rest = await schedules.fires("default", "nightly", before=page[-1].id)
            assert [replace(one, id=0) for one in rest] == [missed]
            assert await schedules.fires("default", "other") == []

        self.play_cron(body)

    def test_old_records_go_but_not_those_of_runs_that_are_there(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            await schedules.decide(ScheduleDecision(schedule, [started("a", 1)], [new_run("a")]))
            many = [FireRecord(at, SKIPPED, at) for at in range(2, KEEP_FIRES + 10)]
            await schedules.decide(ScheduleDecision(replace(schedule, version=2), many))
            found = await schedules.fires("default", "nightly", limit=5_000)
            assert len(found) == KEEP_FIRES + 1
            assert (found[0].at, found[-1].run_id) == (KEEP_FIRES + 9, "a")
            assert await unfinished(store) == ["a"]

        self.play_cron(body)

    def test_runs_are_listed_by_the_time_of_their_fire(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            await schedules.put(new_schedule("other"), tiny_plan())
            runs = {"late": 50, "early": 20, "gone": 30}
            await schedules.decide(
                ScheduleDecision(schedule, [started(run, at) for run, at in runs.items()], [new_run(run) for run in runs])
            )
            assert await all_well(store, more("early", 0, closed=True))
            await store.runs.delete(["gone"])
            assert [row.run_id for row in await schedules.runs("default", "nightly")] == ["late", "early"]
            assert await schedules.runs("default", "other") == []
            assert await unfinished(store) == ["late"]
            assert len(await schedules.fires("default", "nightly")) == 3, "what became of a fire is known without its run"

        self.play_cron(body)

    def test_a_schedule_that_is_removed_leaves_its_runs(self) -> None:
        async def body(store: Store, schedules: ScheduleStore) -> None:
            schedule = await schedules.put(new_schedule(), tiny_plan())
            await schedules.decide(ScheduleDecision(schedule, [started("a", 20)], [new_run("a")]))
            assert await schedules.remove("default", "nightly")
            assert not await schedules.remove("default", "nightly")
            assert (await schedules.find(), await schedules.fires("default", "nightly")) == ([], [])
            assert (await store.runs.load("a")).plan.name == "tiny"
            await refused(schedules.decide(ScheduleDecision(replace(schedule, version=2))), BusyError)
            await schedules.put(new_schedule(), tiny_plan())
            assert await schedules.runs("default", "nightly") == []
            assert await store.runs.delete(["a"]) == 1
            assert (await schedules.plan("default", "nightly")).name == "tiny", "the schedule needs it still"

        self.play_cron(body)
