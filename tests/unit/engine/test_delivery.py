"""RT-116: brokers whose workers are elsewhere: refusals, outages, losses, doubles, workers that outlive engines."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.secrets.mapping import MappingSecrets
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import PortError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.broker import Holding, ResultSink
from aether_protocol.ports.store import Store
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.events import CancelRequested
from aether_protocol.scheduler.invariants import check
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock, SequentialIds, pass_time
from aether_protocol.testing.settling import parts_of, settled
from tests.unit.engine.plans import SECOND, dag, plan, retry, secret, task


class Depot:
    """A queue and its workers, which no engine owns. `away`: it takes nothing; `full`: names that it refuses."""

    def __init__(self) -> None:
        self.away = False
        self.full: set[str] = set()
        self.limit: int | None = None
        self.offers: list[tuple[int, str]] = []
        self.at_work: dict[AttemptRef, TaskAssignment] = {}
        self.stopped: list[AttemptRef] = []
        self.released: list[AttemptRef] = []
        self.clock = ManualClock()
        self.sink: ResultSink

    def names(self) -> list[str]:
        return [f"{ref.path.rpartition('.')[2]}@{ref.attempt}" for ref in self.at_work]

    def ref(self, name: str) -> AttemptRef:
        return next(ref for ref in self.at_work if ref.path.endswith(f".{name}"))

    def give(self, name: str, code: int = 0, stored: Callable[[], None] | None = None, *, again: bool = False) -> None:
        """A worker returns."""
        ref = self.ref(name)
        if not again:
            del self.at_work[ref]
        self.sink.finished(TaskResult(ref, code), stored)

    # --- Broker ---

    def start(self, sink: ResultSink) -> None:
        self.sink = sink

    def room(self) -> int | None:
        return None if self.limit is None else max(self.limit - len(self.at_work), 0)

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        self.offers += [(self.clock.now(), one.ref.path) for one in batch]
        await asyncio.sleep(0)
        if self.away:
            raise PortError("connection refused")
        refused = {one.ref: "too large" for one in batch if one.ref.path.rpartition(".")[2] in self.full}
        self.at_work |= {one.ref: one for one in batch if one.ref not in refused}
        return refused

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        if self.away:
            raise PortError("connection refused")
        self.stopped += refs
        for ref in refs:
            self.at_work.pop(ref, None)

    async def release(self, refs: Sequence[AttemptRef]) -> None:
        self.released += refs

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        if self.away:
            return {}
        return {ref: "held" if ref in self.at_work else "unknown" for ref in refs}

    async def close(self) -> None:
        """The workers go on."""


class Site:
    """Engines that come and go before one depot."""

    def __init__(
        self, store: Callable[[], Store] = MemoryStore, secrets: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.secrets = [MappingSecrets(dict(secrets))] if secrets else []
        self.depot = Depot()
        self.clock = self.depot.clock
        self.begin = self.clock.now()
        self.ids = SequentialIds(7)
        self._store = store
        self.engine: RunEngine

    async def bring_up(self, owner: str = "site") -> RunEngine:
        self.engine = RunEngine(
            store=self._store(),
            broker=self.depot,
            clock=self.clock,
            ids=self.ids,
            owner=owner,
            lease_s=None,
            secrets=self.secrets,
        )
        return await self.engine.__aenter__()

    async def kill(self) -> None:
        """The process of the engine is gone, without a word."""
        await self.engine._driver.halt()

    async def pass_time(self, seconds: float) -> None:
        await pass_time(self.clock, *parts_of(self.engine), until_us=self.begin + round(seconds * SECOND))
        await settled(self.engine)

    def phase(self, run: str) -> str:
        state = self.engine.driven.state(run)
        check(state)
        return str(state.phase)


def at(site: Site, body: Callable[[Site], Coroutine[Any, Any, None]]) -> None:
    async def go() -> None:
        await site.bring_up()
        try:
            await body(site)
        finally:
            await site.engine.close()

    asyncio.run(go())


def two() -> Plan:
    return plan(dag(task("a", "any"), task("b", "any")))


@pytest.mark.rule("SCHED-11", "RT-116")
def test_what_was_refused_is_offered_again_later_and_later_and_is_not_counted() -> None:
    async def body(site: Site) -> None:
        site.depot.full = {"a"}
        run = await site.engine.submit(two())
        await site.pass_time(20)
        assert site.depot.names() == ["b@1"]
        times = [(when - site.begin) / SECOND for when, path in site.depot.offers if path == "main.a"]
        assert times == [0.0, 0.2, 0.6, 1.4, 3.0, 6.2, 11.2, 16.2]
        site.depot.full.clear()
        site.depot.sink.ready()
        await site.pass_time(20.1)
        assert sorted(site.depot.names()) == ["a@1", "b@1"]
        site.depot.give("a")
        site.depot.give("b")
        await site.pass_time(21)
        assert site.phase(run) == "Succeeded"

    at(Site(), body)


def test_a_broker_that_is_away_for_a_minute_loses_no_run(caplog: pytest.LogCaptureFixture) -> None:
    async def body(site: Site) -> None:
        site.depot.away = True
        runs = [await site.engine.submit(two()) for _ in range(20)]
        await site.pass_time(60)
        site.depot.away = False
        await site.pass_time(66)
        assert len(site.depot.at_work) == 40
        for ref in list(site.depot.at_work):
            site.depot.sink.finished(TaskResult(ref))
        await site.pass_time(67)
        assert {site.phase(run) for run in runs} == {"Succeeded"}
        assert all(node.losses == 0 for run in runs for node in site.engine.driven.state(run).nodes[1:])  # type: ignore[attr-defined]

    at(Site(), body)
    told = [one.message for one in caplog.records if "connection refused" in one.message]
    assert len(told) == 1, "an outage is told once"


def test_a_cancel_reaches_what_waits_in_the_engine() -> None:
    async def body(site: Site) -> None:
        site.depot.limit = 1
        run = await site.engine.submit(plan(dag(*(task(f"t{i}", "any") for i in range(50)))))
        await site.pass_time(1)
        assert (site.depot.names(), len(site.depot.offers)) == (["t0@1"], 1)
        await client_of(site.engine).control.cancel(run)
        await site.pass_time(2)
        assert [ref.path for ref in site.depot.stopped] == ["main.t0"]
        site.depot.sink.ready()
        await site.pass_time(3)
        assert (site.depot.at_work, len(site.depot.offers), site.phase(run)) == ({}, 1, "Cancelled")

    at(Site(), body)


@pytest.mark.rule("SCHED-11")
def test_what_exceeds_the_room_goes_by_priority_then_by_arrival() -> None:
    async def body(site: Site) -> None:
        site.depot.limit = 1
        await site.engine.submit(plan(dag(*(task(f"low{i}", "any") for i in range(3)))))
        await settled(site.engine)
        await site.engine.submit(plan(dag(*(task(f"high{i}", "any") for i in range(3))), priority=900))
        order = []
        for _ in range(6):
            await settled(site.engine)
            (name,) = site.depot.names()
            order.append(name.partition("@")[0])
            site.depot.give(order[-1])
        assert order == ["low0", "high0", "high1", "high2", "low1", "low2"]

    at(Site(), body)


def test_a_stop_that_did_not_get_through_is_given_again() -> None:
    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("a", "any", timeout_us=SECOND))))
        await settled(site.engine)
        site.depot.sink.started(site.depot.ref("a"))
        await settled(site.engine)
        site.depot.away = True
        await site.pass_time(10)
        assert (site.phase(run), site.depot.names()) == ("Error", ["a@1"])
        assert site.engine.driven.state(run).find("main.a").phase == "Timeout"  # type: ignore[union-attr]
        site.depot.away = False
        await site.pass_time(16)
        assert site.depot.names() == []

    at(Site(), body)


def test_a_lost_attempt_is_repeated_under_its_number_and_only_blame_counts() -> None:
    async def body(site: Site) -> None:
        run = await site.engine.submit(two())
        await settled(site.engine)
        for _ in range(30):
            site.depot.sink.lost(site.depot.ref("a"), "its worker is gone", False)
            await settled(site.engine)
            assert sorted(site.depot.names()) == ["a@1", "b@1"]
        lost = site.depot.ref("b")
        for _ in range(3):
            site.depot.sink.lost(lost, "signal 9\nthe last line", True)
            await settled(site.engine)
        assert site.depot.stopped == [lost], "nothing of it is kept"
        assert [one for run_ in site.engine._driver.runs.values() for one in run_.open] == ["main.a"]
        site.depot.give("a")
        await settled(site.engine)
        assert site.phase(run) == "Error"
        state = site.engine.driven.state(run)
        assert state.find("main.a").phase == "Succeeded"  # type: ignore[union-attr]
        assert state.find("main.b").message == "its process died 3 times in a row (signal 9)\nthe last line"  # type: ignore[union-attr]

    at(Site(), body)


@pytest.mark.rule("SCHED-12")
def test_every_result_is_acknowledged_once_when_it_is_stored_also_one_that_changes_nothing() -> None:
    """And not before: a broker that forgets it then loses nothing."""
    told: list[str] = []
    appended: list[int] = []

    def slow() -> MemoryStore:
        store = MemoryStore()
        given = store.runs.append

        async def append(batch: Any) -> Any:
            before = len(told)
            await asyncio.sleep(0)
            assert len(told) == before, "acknowledged before it was stored"
            appended.append(len(batch))
            return await given(batch)

        store.runs.append = append  # type: ignore[method-assign]
        return store

    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("a", "any", retry=retry(1)), task("b", "any"))))
        await settled(site.engine)
        stale = site.depot.ref("a")
        site.depot.give("a", 3, lambda: told.append("first"), again=True)
        site.depot.give("a", 3, lambda: told.append("double"))
        assert told == []
        await site.pass_time(30)
        assert told == ["first", "double"]
        site.depot.sink.finished(TaskResult(stale), lambda: told.append("late"))
        site.depot.sink.finished(TaskResult(AttemptRef(run, "main.zzz", 1)), lambda: told.append("unknown task"))
        site.depot.sink.finished(TaskResult(AttemptRef("nobody", "main", 1)), lambda: told.append("unknown run"))
        await settled(site.engine)
        assert sorted(told[2:]) == ["late", "unknown run", "unknown task"]
        site.depot.give("a")
        site.depot.give("b", 0, lambda: told.append("b"))
        await settled(site.engine)
        assert (told[5:], site.phase(run)) == (["b"], "Succeeded")

    at(Site(slow), body)
    assert len(appended) > 2


def test_a_result_that_the_store_refuses_is_not_acknowledged() -> None:
    told: list[str] = []

    def refusing() -> MemoryStore:
        store = MemoryStore()
        given = store.runs.append

        async def append(batch: Any) -> Any:
            if refuses:
                raise PortError("the disk is full")
            return await given(batch)

        store.runs.append = append  # type: ignore[method-assign]
        return store

    refuses: list[bool] = []

    async def body(site: Site) -> None:
        await site.engine.submit(two())
        await settled(site.engine)
        refuses.append(True)
        site.depot.give("a", 0, lambda: told.append("a"))
        site.depot.give("b", 0, lambda: told.append("b"))
        await settled(site.engine)
        assert told == []

    at(Site(refusing), body)


@pytest.mark.rule("SCHED-12")
def test_the_last_result_of_a_run_is_acknowledged_though_the_store_gave_no_clear_answer_to_it(tmp_path: Path) -> None:
    """The engine has given the run up, and the run has ended: else its worker would send the result for ever."""
    told: list[str] = []
    unclear: list[bool] = []

    def store() -> Store:
        opened = open_sqlite(str(tmp_path / "site.db"), durability="normal")
        given = opened.runs.append

        async def append(batch: Any) -> Any:
            refused = await given(batch)
            if unclear:
                raise PortError("the connection broke")
            return refused

        opened.runs.append = append  # type: ignore[method-assign]
        return opened

    async def body(site: Site) -> None:
        run = await site.engine.submit(two())
        await settled(site.engine)
        site.depot.give("b")
        await settled(site.engine)
        unclear.append(True)
        site.depot.give("a", 0, lambda: told.append("a, when it came"), again=True)
        await settled(site.engine)
        unclear.clear()
        assert told == []
        assert run not in await site.engine.recover(), "it has ended"
        site.depot.give("a", 0, lambda: told.append("a, when it came again"))
        for _ in range(100):
            await asyncio.sleep(0.01)
            if told:
                break
        assert told == ["a, when it came again"]

    at(Site(store), body)


@pytest.mark.rule("RT-48")
def test_a_worker_outlives_ten_engines(tmp_path: Path) -> None:
    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("long", "any"), task("quick", "any"), task("after", "any", after=(0, 1)))))
        await settled(site.engine)
        site.depot.sink.started(site.depot.ref("long"))
        site.depot.give("quick")
        for number in range(10):
            await site.pass_time(60 * (number + 1))
            await site.kill()
            await site.bring_up()
            assert await site.engine.recover() == [run]
            assert site.depot.names() == ["long@1"]
        assert len(site.depot.offers) == 2, "it was never handed over again"
        site.depot.give("long")
        await settled(site.engine)
        site.depot.give("after")
        await settled(site.engine)
        assert site.phase(run) == "Succeeded"
        assert site.engine.driven.state(run).find("main.long").losses == 0  # type: ignore[union-attr]

    at(Site(lambda: open_sqlite(str(tmp_path / "site.db"), durability="normal")), body)


@pytest.mark.rule("RT-48")
def test_what_no_worker_has_is_offered_again_under_the_same_name(tmp_path: Path) -> None:
    """Also where the broker can tell only later; a time limit runs on meanwhile."""

    async def body(site: Site) -> None:
        run = await site.engine.submit(plan(dag(task("gone", "any"), task("held", "any", timeout_us=50 * SECOND))))
        await settled(site.engine)
        site.depot.sink.started(site.depot.ref("held"))
        await site.pass_time(1)
        ref, key = site.depot.ref("gone"), site.depot.at_work[site.depot.ref("gone")].idempotency_key
        await site.kill()
        del site.depot.at_work[ref]
        site.depot.away = True
        await site.bring_up()
        await site.engine.recover()
        await site.pass_time(30)
        assert len(site.depot.offers) == 2
        site.depot.away = False
        await site.pass_time(36)
        assert site.depot.at_work[ref].idempotency_key == key
        site.depot.give("gone")
        await site.pass_time(49)
        assert site.engine.driven.state(run).find("main.held").phase == "Running"  # type: ignore[union-attr]
        await site.pass_time(51)
        assert site.engine.driven.state(run).find("main.held").phase == "Timeout"  # type: ignore[union-attr]

    at(Site(lambda: open_sqlite(str(tmp_path / "site.db"), durability="normal")), body)


@pytest.mark.rule("RT-116")
def test_attempts_live_on_where_their_engine_loses_the_run(tmp_path: Path) -> None:
    """Its lease ended, or its store failed: they are the next engine's, and what waits here is not offered any more."""

    async def body(site: Site) -> None:
        site.depot.limit = 2
        run = await site.engine.submit(plan(dag(task("a", "any"), task("b", "any"), task("c", "any"))))
        await settled(site.engine)
        assert sorted(site.depot.names()) == ["a@1", "b@1"]
        first = site.engine
        await site.bring_up("another")
        await first._store.leases.release("site")
        assert await site.engine.recover() == [run]
        site.depot.give("a")  # now the second one's
        first._driver.put(first.driven.get(run), CancelRequested(0, "test"))  # finds that it lost its lease
        await settled(first)
        assert first.driven.get(run).error is not None
        assert (site.depot.stopped, sorted(ref.path for ref in site.depot.released)) == ([], ["main.a", "main.b"])
        await site.pass_time(10)
        assert sorted(site.depot.names()) == ["b@1", "c@1"]
        site.depot.give("b")
        site.depot.give("c")
        await settled(site.engine)
        assert site.phase(run) == "Succeeded"
        assert [node.attempt for node in site.engine.driven.state(run).nodes[1:]] == [1, 1, 1]  # type: ignore[attr-defined]
        await first._driver.halt()

    at(Site(lambda: open_sqlite(str(tmp_path / "site.db"), durability="normal")), body)


def test_logs_that_come_twice_are_written_once() -> None:
    async def body(site: Site) -> None:
        seen: list[str] = []
        site.engine.log_observers.append(lambda record: seen.append(record.text))
        await site.engine.submit(two())
        await settled(site.engine)
        ref, sink = site.depot.ref("a"), site.depot.sink
        for offset, text in ((0, "één "), (0, "één "), (6, "two "), (0, "één two three"), (10, "thr")):
            sink.logged(ref, "stdout", text, offset)
        sink.logged(ref, "stderr", "x", 0)
        sink.logged(ref, "stdout", "as it comes")
        await settled(site.engine)
        assert seen == ["één ", "two ", "three", "x", "as it comes"]

    at(Site(), body)


@pytest.mark.rule("RT-48")
def test_an_attempt_that_a_worker_brings_along_is_wanted_while_its_run_waits_for_it(tmp_path: Path) -> None:
    """A server may die between the end of a run and the order to stop what still runs of it."""

    async def unwanted(site: Site, *refs: AttemptRef) -> list[AttemptRef]:
        found: list[AttemptRef] = []
        for ref in refs:
            site.depot.sink.brought(ref, lambda ref=ref: found.append(ref))  # type: ignore[misc]
        for _ in range(20):
            await asyncio.sleep(0.01)
        return found

    async def body(site: Site) -> None:
        run = await site.engine.submit(two())
        await settled(site.engine)
        a, b = site.depot.ref("a"), site.depot.ref("b")
        stranger = AttemptRef("gone", "main.a", 1)
        assert await unwanted(site, a, b, stranger) == [stranger]
        await site.kill()
        await site.bring_up()
        assert await unwanted(site, a, b) == [], "its run is open, and not here yet"
        assert await site.engine.recover() == [run]
        site.depot.give("b")
        await settled(site.engine)
        assert await unwanted(site, a, b) == [b]
        await site.engine.driven.ask(run, {"kind": "cancel"})
        await settled(site.engine)
        assert site.phase(run) == "Cancelled"
        await site.kill()
        await site.bring_up()
        assert await unwanted(site, a) == [a], "its run has ended"

    at(Site(lambda: open_sqlite(str(tmp_path / "site.db"), durability="normal")), body)


@pytest.mark.rule("RT-108")
def test_what_a_worker_elsewhere_did_not_mask_is_masked_where_the_engine_knows_the_secret() -> None:
    async def body(site: Site) -> None:
        seen: list[str] = []
        site.engine.log_observers.append(lambda record: seen.append(record.text))
        run = await site.engine.submit(plan(dag(task("a", "any", None, secret("p", "db", "p")))))
        await settled(site.engine)
        ref, sink = site.depot.ref("a"), site.depot.sink
        for offset, text in ((0, "it is hunter2, "), (0, "it is hunter2, "), (15, "indeed")):
            sink.logged(ref, "stdout", text, offset)
        sink.heartbeat(ref, {"at": "hunter2"})
        assert site.engine.driven.find(run).open[ref.path].details == {"at": "***"}
        fetched = {"in": {"digest": "sha256:0", "size": 1}}
        del site.depot.at_work[ref]
        sink.finished(TaskResult(ref, 0, "hunter2!", {"x": ["hunter2"]}, fetched=fetched))
        await settled(site.engine)
        assert seen == ["it is ***, ", "indeed"]
        node = site.engine.driven.state(run).nodes[-1]
        assert (node.message, dict(node.outputs)) == ("***!", {"x": ["***"]})
        assert site.phase(run) == "Succeeded"

    at(Site(secrets={"db": {"p": "hunter2"}}), body)
