"""Logs that workers report: once in the store, whatever comes twice, late, or after a restart; masked by the server too."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.brokers.log_gate import LogGate
from aether_protocol.adapters.brokers.tokens import Tokens
from aether_protocol.adapters.brokers.worker_logs import WorkerLogs
from aether_protocol.adapters.brokers.workers import SessionOverError, WorkerBroker
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.dispatch.late_logs import LateLogs
from aether_protocol.engine.logs import LogRecord, Logs
from aether_protocol.engine.observers import Observers
from aether_protocol.errors import NotFoundError, PortError
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.fleet.events import Holding
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.broker import LogPart, ResultSink
from aether_protocol.ports.store import STATE_ACTION_LOG, LogLine, LogStore, Store, StoredRun
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.ports.worker import (
    ExecutorOffer,
    Hello,
    LogReceipt,
    LogReport,
    Poll,
    ResultReport,
    SecretName,
    SecretRequest,
    WorkItem,
    WorkReport,
)
from aether_protocol.service import client_of
from aether_protocol.testing.clock import ManualClock
from tests.documents import submitted

pytestmark = pytest.mark.rule("RT-133")

KEY = b"k" * 32


class Vault:
    blocking = True

    def get(self, name: str, key: str) -> str | None:
        return "s3cr3t-value" if (name, key) == ("db", "password") else None


def workflow() -> dict[str, object]:
    secret = {"name": "password", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    task = {"name": "job", "executor": {"type": "script", "config": {"source": "true"}}, "inputs": {"parameters": [secret]}}
    return submitted(task)


class Side:
    """A server on a store, and a worker that is this test."""

    def __init__(self, folder: Path) -> None:
        self.broker = WorkerBroker(SystemClock(), KEY, secrets=[Vault()])
        self.engine = Engine(store=f"sqlite:{folder}/runs.db", broker=self.broker, secrets=[Vault()])

    def hello(self, holding: list[str]) -> None:
        offers = [ExecutorOffer(name="script")]
        hello = Hello(worker="w", protocols=[1], executors=offers, slots={"tasks": 1}, holding=holding)
        self.session = self.broker.hello(hello).session

    async def work(self) -> WorkItem:
        (item,) = (await self.broker.poll(self.session, Poll(poll=1, free=1, holding=[]))).work
        return item

    async def logs(self, token: str, *pieces: tuple[int, str]) -> list[LogReceipt]:
        reports = [LogReport(token=token, stream="stdout", offset=offset, text=text) for offset, text in pieces]
        return (await self.broker.report(self.session, WorkReport(logs=reports))).logged

    async def text(self, run: str) -> str:
        return "".join([line.text async for line in client_of(self.engine).runs.logs(run)])


def test_logs_are_acknowledged_when_they_are_stored_and_stored_once_also_by_the_next_server(tmp_path: Path) -> None:
    async def go() -> None:
        first = Side(tmp_path)
        async with first.engine:
            first.hello([])
            run = await first.engine.submit(workflow())
            item = await first.work()
            await first.broker.report(first.session, WorkReport(started=[item.token]))
            stored = await first.logs(item.token, (0, "één "), (6, "two "))
            assert stored == [LogReceipt(token=item.token, stream="stdout", stored=10)]
            assert await first.logs(item.token, (6, "two "), (10, "three ")) != []
        second = Side(tmp_path)
        async with second.engine:
            second.hello([item.token])
            known = await second.logs(item.token, (0, "één "), (6, "two "))
            assert known == [LogReceipt(token=item.token, stream="stdout", stored=10)], "its run is in the store"
            await second.engine.recover()
            assert (await second.logs(item.token, (0, "één "), (6, "two three four ")))[0].stored == 21
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            result = ResultReport(token=item.token, result={**{name: item.assignment[name] for name in names}, "code": 0})
            receipt = await second.broker.report(second.session, WorkReport(results=[result]))
            assert receipt.recorded == [item.token]
            assert (await second.logs(item.token, (21, "after its result")))[0].stored == 37
            assert await second.text(run) == "één two three four after its result"

    asyncio.run(go())


def test_logs_are_masked_by_the_server_too(tmp_path: Path) -> None:
    """By one that does not mask what it sends."""

    async def go() -> None:
        side = Side(tmp_path)
        async with side.engine:
            side.hello([])
            run = await side.engine.submit(workflow())
            item = await side.work()
            asked = SecretRequest(token=item.token, secrets=[SecretName(name="db", key="password")])
            (given,) = (await side.broker.secrets(side.session, asked)).texts
            await side.logs(item.token, (0, f"it is {given.text}, "), (20, "and more"))
            assert await side.text(run) == "it is ***, and more"

    asyncio.run(go())


def test_logs_of_a_run_that_has_ended_are_stored_by_the_next_server_too(tmp_path: Path) -> None:
    """A server may die between the end of a run and the store's answer to its last log."""

    async def go() -> None:
        first = Side(tmp_path)
        async with first.engine:
            first.hello([])
            run = await first.engine.submit(workflow())
            item = await first.work()
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            result = ResultReport(token=item.token, result={**{name: item.assignment[name] for name in names}, "code": 0})
            await first.broker.report(first.session, WorkReport(results=[result]))
            await client_of(first.engine).runs.wait(run)
        second = Side(tmp_path)
        async with second.engine:
            await second.engine.recover()
            second.hello([])
            first_piece, rest = (0, "its first "), (10, "and its last words")
            assert (await second.logs(item.token, first_piece, rest, first_piece))[0].stored == 28
            assert (await second.logs(item.token, (28, ".")))[0].stored == 29
            assert await second.text(run) == "its first and its last words."

    asyncio.run(go())


def test_a_session_that_is_over_brings_no_logs_out_of_order(tmp_path: Path) -> None:
    """A message of it may come late, when what it follows was lost with another server."""

    async def go() -> None:
        side = Side(tmp_path)
        async with side.engine:
            side.hello([])
            run = await side.engine.submit(workflow())
            item = await side.work()
            late = WorkReport(logs=[LogReport(token=item.token, stream="stdout", offset=6, text="late")])
            with pytest.raises(SessionOverError):
                await side.broker.report("of another server", late)
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            given = {**{name: item.assignment[name] for name in names}, "code": 0}
            late.results = [ResultReport(token=item.token, result=given)]
            receipt = await side.broker.report("of another server", late)
            assert (receipt.recorded, receipt.logged) == ([item.token], []), "a result counts, whoever brings it"
            await client_of(side.engine).runs.wait(run)
            assert await side.text(run) == ""

    asyncio.run(go())


def test_a_worker_that_reports_nothing_but_logs_lives() -> None:
    """Its lease counts from each message that is answered, as it does for the worker itself."""

    async def go() -> None:
        clock = ManualClock()
        broker = WorkerBroker(clock, KEY, settings=FleetSettings(lease=30_000_000))
        broker.start(cast("ResultSink", Sink()))
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="script")], slots={"tasks": 1})
        session = broker.hello(hello).session

        def pass_time(until: int) -> None:
            while clock.step(until):
                pass
            clock.advance(until)

        for _ in range(3):
            pass_time(clock.now() + 20_000_000)
            await broker.report(session, WorkReport())
        assert session in broker.fleet.state.sessions
        pass_time(clock.now() + 31_000_000)
        assert session not in broker.fleet.state.sessions
        await broker.close()

    asyncio.run(go())


def test_a_hello_that_comes_twice_begins_one_session() -> None:
    """Another one would take the deliveries with it, and the first, whose slots were free, be given more (seed 315392)."""

    async def go() -> None:
        broker = WorkerBroker(ManualClock(), KEY)
        offers = [ExecutorOffer(name="script")]
        hello = Hello(worker="w", protocols=[1], executors=offers, slots={"tasks": 1}, instance="w 1", number=1)
        session = broker.hello(hello).session
        assert broker.hello(hello).session == session
        hello.number = 2
        assert broker.hello(hello).session != session
        await broker.close()

    asyncio.run(go())


class Sink:
    """See `ports.broker.ResultSink`: keeps the parts of logs, to be stored or lost."""

    def __init__(self) -> None:
        self.parts: list[LogPart] = []

    def logged(self, ref: object, stream: str, text: str, offset: int | None = None, *, part: LogPart | None = None) -> None:
        assert part is not None
        self.parts.append(part)


def test_nothing_is_stored_behind_a_piece_that_was_lost_until_that_comes_again() -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Holding(7, AttemptRef("r", "main", 1, 0)))
    logs = WorkerLogs(ManualClock(), tokens, SecretBook([]))
    sink = Sink()
    logs.sink = sink  # type: ignore[assignment]

    def take(*pieces: tuple[int, str]) -> list[int]:
        before = len(sink.parts)
        for offset, text in pieces:
            logs.take("s", LogReport(token=token, stream="stdout", offset=offset, text=text), [])
        return [part.size for part in sink.parts[before:]]

    assert take((0, "one"), (3, "two"), (6, "three")) == [3, 3, 5]
    first, second, third = sink.parts
    first.stored()
    assert take((0, "one")) == [], "what is stored and comes twice is passed on once"
    third.lost()
    second.lost()
    assert take((6, "three"), (11, "four")) == [], "they would stand before what is lost"
    assert logs.receipts("s") == [LogReceipt(token=token, stream="stdout", stored=3)]
    assert take((3, "two"), (6, "three"), (11, "four")) == [3, 5, 4]
    for part in sink.parts[3:]:
        part.stored()
    assert logs.receipts("s") == [LogReceipt(token=token, stream="stdout", stored=15)]


def test_an_old_message_that_comes_twice_closes_no_gap() -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Holding(7, AttemptRef("r", "main", 1, 0)))
    logs = WorkerLogs(ManualClock(), tokens, SecretBook([]))
    sink = Sink()
    logs.sink = sink  # type: ignore[assignment]

    def take(*pieces: tuple[int, str]) -> list[int]:
        before = len(sink.parts)
        for offset, text in pieces:
            logs.take("s", LogReport(token=token, stream="stdout", offset=offset, text=text), [])
        return [part.size for part in sink.parts[before:]]

    take((0, "one"), (3, "two"))
    sink.parts[0].lost()
    sink.parts[1].lost()
    assert take((6, "three")) == []
    assert take((0, "one")) == [3], "the first message once more"
    assert take((6, "three")) == [], "two is missing still"
    assert take((3, "two"), (6, "three"), (11, "four")) == [3, 5, 4]


def test_on_the_way_to_another_server_an_old_message_that_comes_twice_closes_no_gap() -> None:
    gate = LogGate()
    way = ["there"]

    def admitted(*pieces: tuple[int, str]) -> list[int]:
        logs = [LogReport(token="t", stream="stdout", offset=offset, text=text) for offset, text in pieces]
        return [log.offset for log in gate.admit("s", logs, lambda token: way[0])]

    second = [LogReport(token="t", stream="stdout", offset=3, text="two")]
    assert admitted((0, "one")) == [0]
    assert admitted((3, "two")) == [3]
    gate.failed("s", second)
    way[0] = "here"
    assert admitted((0, "one")) == [0], "the first message once more"
    gate.stored("s", [LogReceipt(token="t", stream="stdout", stored=3)])
    assert admitted((6, "three")) == [], "two is missing still"
    assert admitted((3, "two"), (6, "three")) == [3, 6]


def test_an_old_message_of_a_stream_of_which_all_is_acknowledged_holds_nothing_up() -> None:
    """Seed 300560 of several servers: what followed was waited for from a byte that its worker sent no more."""
    gate = LogGate()
    first, second = (LogReport(token="t", stream="stdout", offset=offset, text="one") for offset in (0, 3))
    gate.admit("s", [first], lambda token: "there")
    gate.stored("s", [LogReceipt(token="t", stream="stdout", stored=3)])
    gate.admit("s", [first], lambda token: "there")
    gate.failed("s", [first])
    assert gate.admit("s", [second], lambda token: "here") == [second]


def test_what_is_acknowledged_is_not_waited_for_again() -> None:
    gate = LogGate()
    logs = [LogReport(token="t", stream="stdout", offset=offset, text="one") for offset in (0, 3, 6)]
    gate.admit("s", logs, lambda token: "there")
    gate.failed("s", logs[2:])
    gate.stored("s", [LogReceipt(token="t", stream="stdout", stored=6)])
    assert gate.admit("s", logs[2:], lambda token: "there") == logs[2:], "its worker sends no more of what is stored"


@pytest.mark.parametrize("lost_first", [True, False])
def test_a_piece_that_came_twice_and_was_stored_once_is_not_lost(*, lost_first: bool) -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Holding(7, AttemptRef("r", "main", 1, 0)))
    logs = WorkerLogs(ManualClock(), tokens, SecretBook([]))
    sink = Sink()
    logs.sink = sink  # type: ignore[assignment]
    for offset, text in ((0, "one"), (0, "one")):
        logs.take("s", LogReport(token=token, stream="stdout", offset=offset, text=text), [])
    if lost_first:
        sink.parts[0].lost()
        sink.parts[1].stored()
    else:
        sink.parts[0].stored()
        logs.forget([])
        sink.parts[1].lost()
    assert logs.receipts("s") == [LogReceipt(token=token, stream="stdout", stored=3)]
    logs.take("s", LogReport(token=token, stream="stdout", offset=3, text="two"), [])
    assert len(sink.parts) == 3, "its worker sends no more of the first"


def test_logs_that_the_store_refuses_are_lost_with_all_that_came_meanwhile() -> None:
    async def go() -> None:
        told: list[str] = []

        class Away:
            async def write(self, lines: object) -> None:
                take("meanwhile")
                raise PortError("the disk is full")

        logs = Logs(ManualClock(), cast("LogStore", Away()), lambda: None, Observers())

        def take(name: str) -> None:
            part = LogPart(7, 1, stored=lambda: told.append(f"{name} is stored"), lost=lambda: told.append(f"{name} is lost"))
            logs.keep(LogRecord("r", 0, "main", 1, "stdout", name, 0), part, len(told))

        take("first")
        await logs.save()
        assert told == ["first is lost", "meanwhile is lost"]
        assert logs.pending == []

    asyncio.run(go())


def test_a_second_save_waits_for_the_first_whose_pieces_may_be_lost() -> None:
    """A reader that asks for what is stored, beside the loop: what it would store is behind what the loop is storing."""

    async def go() -> None:
        begun, goes_on, stored = asyncio.Event(), asyncio.Event(), Lines()

        class FirstRefused:
            async def write(self, lines: Sequence[LogLine]) -> None:
                if not begun.is_set():
                    begun.set()
                    await goes_on.wait()
                    raise PortError("the disk reports an error")
                stored.extend(line.text for line in lines)

        logs = Logs(ManualClock(), cast("LogStore", FirstRefused()), lambda: None, Observers())
        ends: list[str] = []

        def keep(text: str, offset: int) -> None:
            record = LogRecord("run", 0, "main.a", 1, "stdout", text, 0)
            part = LogPart(7, len(text), lambda: ends.append(f"{text} stored"), lambda: ends.append(f"{text} lost"))
            logs.keep(record, part, offset)

        keep("one\n", 0)
        first = asyncio.ensure_future(logs.save())
        await begun.wait()
        keep("two\n", 4)
        second = asyncio.ensure_future(logs.save())
        await asyncio.sleep(0)
        goes_on.set()
        await asyncio.gather(first, second)
        assert stored == []
        assert ends == ["one\n lost", "two\n lost"], "both come again, in their order"

    asyncio.run(go())


def test_what_a_closing_engine_stores_last_begins_with_what_it_was_storing() -> None:
    async def go() -> None:
        begun, stored = asyncio.Event(), Lines()

        class FirstCancelled:
            async def write(self, lines: Sequence[LogLine]) -> None:
                if not begun.is_set():
                    begun.set()
                    await asyncio.Event().wait()
                stored.extend(line.text for line in lines)

        logs = Logs(ManualClock(), cast("LogStore", FirstCancelled()), lambda: None, Observers())
        ends: list[str] = []

        def keep(text: str, offset: int, attempt: int) -> None:
            record = LogRecord("run", 0, "main.a", attempt, "stdout", text, 0)
            logs.keep(record, LogPart(7, len(text), lambda: ends.append(text), lambda: ends.append("lost")), offset)

        keep("one\n", 0, 1)
        saving = asyncio.ensure_future(logs.save())
        await begun.wait()
        keep("two\n", 4, 2)
        saving.cancel()
        await asyncio.gather(saving, return_exceptions=True)
        await logs.save()
        assert stored == ends == ["one\n", "two\n"]

    asyncio.run(go())


def test_what_was_lost_in_a_session_says_nothing_of_the_next_one() -> None:
    """Another server may have stored it meanwhile."""
    tokens = Tokens(KEY)
    token = tokens.make(Holding(7, AttemptRef("r", "main", 1, 0)))
    logs = WorkerLogs(ManualClock(), tokens, SecretBook([]))
    sink = Sink()
    logs.sink = sink  # type: ignore[assignment]

    def take(session: str, offset: int, text: str) -> None:
        logs.take(session, LogReport(token=token, stream="stdout", offset=offset, text=text), [])

    take("first", 0, "one")
    take("first", 3, "two")
    sink.parts[0].lost()
    logs.close("first")
    take("second", 6, "three")
    sink.parts[1].stored()
    sink.parts[2].stored()
    assert logs.receipts("second") == [LogReceipt(token=token, stream="stdout", stored=11)]


def test_what_is_stored_behind_a_lost_piece_acknowledges_neither() -> None:
    tokens = Tokens(KEY)
    token = tokens.make(Holding(7, AttemptRef("r", "main", 1, 0)))
    logs = WorkerLogs(ManualClock(), tokens, SecretBook([]))
    sink = Sink()
    logs.sink = sink  # type: ignore[assignment]

    def take(offset: int, text: str) -> None:
        logs.take("s", LogReport(token=token, stream="stdout", offset=offset, text=text), [])

    take(0, "one")
    take(3, "two")
    sink.parts[0].lost()
    sink.parts[1].stored()
    assert logs.receipts("s") == []
    take(0, "one")
    assert [part.size for part in sink.parts] == [3, 3, 3], "it is taken again"


class Lines(list[str]):
    """The lines of a record; says in which thread they are read."""

    reader = 0

    def __iter__(self) -> Iterator[str]:
        self.reader = threading.get_ident()
        return super().__iter__()


class Slow:
    """A store of one run, or of none that it can read, that answers when it is `free`."""

    durable = True
    tier = STATE_ACTION_LOG

    def __init__(self, stored: StoredRun | Exception) -> None:
        self.stored = stored
        self.free = asyncio.Event()
        self.runs = self

    async def load(self, run_id: str) -> StoredRun:
        await self.free.wait()
        if isinstance(self.stored, Exception):
            raise self.stored
        return self.stored


class Late:
    """Logs of a run that no engine drives, and what becomes of each piece."""

    def __init__(self, stored: StoredRun | Exception) -> None:
        self.seen: list[str] = []
        self.fails = False
        self.store = Slow(stored)
        self.logs = Logs(ManualClock(), cast("LogStore", self), lambda: None, Observers())
        self.late = LateLogs(cast("Store", self.store), self.logs, lambda: 0)

    async def write(self, lines: object) -> None:
        if self.fails:
            raise PortError("the disk is full")

    def part(self, name: str, delivery: int = 7) -> LogPart:
        seen = self.seen
        return LogPart(delivery, 1, stored=lambda: seen.append(f"{name} stored"), lost=lambda: seen.append(f"{name} lost"))

    async def answer(self) -> None:
        self.store.free.set()
        for _ in range(200):
            await asyncio.sleep(0.002)
            if not self.late.holds("r"):
                break


async def stored_run(folder: Path) -> tuple[StoredRun, AttemptRef]:
    side = Side(folder)
    async with side.engine:
        side.hello([])
        run = await side.engine.submit(workflow())
        await side.work()
        stored = await side.engine._store.runs.load(run)
    return stored, AttemptRef(run, "main.job", 1, 0)


def test_a_refused_write_loses_what_is_still_looked_up_of_the_same_deliveries() -> None:
    """Its run may have ended between two pieces: the second would be stored without the first."""

    async def go() -> None:
        late = Late(NotFoundError("run 'r' is unknown"))
        late.logs.keep(LogRecord("r", 0, "main", 1, "stdout", "x", 0), late.part("first"), 0)
        late.late.take(AttemptRef("r", "main", 1, 0), "stdout", "x", 1, late.part("second"))
        late.late.take(AttemptRef("r", "main", 2, 0), "stdout", "x", 0, late.part("other", 8))
        late.fails = True
        await late.logs.save()
        assert late.seen == ["first lost", "second lost"]
        await late.answer()
        assert late.seen == ["first lost", "second lost", "other stored"], "nothing is wanted of a run that is not there"

    asyncio.run(go())


@pytest.mark.parametrize("fault", [PortError("away"), ValueError("damaged")])
def test_logs_that_cannot_be_looked_up_are_lost_and_do_not_hold_up_later_ones(fault: Exception) -> None:
    async def go() -> None:
        late = Late(fault)
        late.late.take(AttemptRef("r", "main", 1, 0), "stdout", "x", 0, late.part("first"))
        await late.answer()
        assert late.seen == ["first lost"]
        late.store.stored = NotFoundError("run 'r' is unknown")
        late.late.take(AttemptRef("r", "main", 1, 0), "stdout", "x", 0, late.part("again"))
        await late.answer()
        assert late.seen == ["first lost", "again stored"]

    asyncio.run(go())


@pytest.mark.parametrize("large", [True, False])
def test_a_large_run_is_looked_up_beside_the_loop(tmp_path: Path, *, large: bool) -> None:
    async def go() -> None:
        stored, ref = await stored_run(tmp_path)
        stored.lines = lines = Lines(stored.lines)
        stored.row.leaves_known = 100_000 if large else 1
        late = Late(stored)
        late.late.take(AttemptRef("r", ref.path, 1, 0), "stdout", "x", 0, late.part("piece"))
        await late.answer()
        await late.logs.save()
        assert late.seen == ["piece stored"]
        assert (lines.reader != threading.get_ident()) is large

    asyncio.run(go())


def test_logs_of_a_task_run_that_an_open_run_does_not_have_are_not_wanted(tmp_path: Path) -> None:
    async def go() -> None:
        side = Side(tmp_path)
        async with side.engine:
            side.hello([])
            run = await side.engine.submit(workflow())
            token = side.broker.tokens.make(Holding(99, AttemptRef(run, "main.nowhere", 1, 0)))
            assert await side.logs(token, (0, "text")) == [LogReceipt(token=token, stream="stdout", stored=4)]

    asyncio.run(go())


def test_logs_of_a_task_run_that_another_engine_has_begun_meanwhile_are_stored(tmp_path: Path) -> None:
    """A server that was cut off from the store does not know yet that another one has its run, and how far it is."""

    async def go() -> None:
        document = workflow()
        tasks = document["spec"]["templates"][0]["dag"]["tasks"]  # type: ignore[index]
        tasks.append({**tasks[0], "name": "next", "dependencies": ["job"]})
        behind, ahead = Side(tmp_path), Side(tmp_path)
        async with behind.engine, ahead.engine:
            behind.hello([])
            run = await behind.engine.submit(document)
            item = await behind.work()
            await behind.engine._store.leases.release(behind.engine.owner)
            await ahead.engine.recover()
            ahead.hello([item.token])
            names = ("taskRunId", "workflowRunId", "attempt", "epoch")
            given = ResultReport(token=item.token, result={**{name: item.assignment[name] for name in names}, "code": 0})
            await ahead.broker.report(ahead.session, WorkReport(results=[given]))
            following = await ahead.work()
            assert behind.engine.drives(run), "it has not noticed yet"
            behind.hello([following.token])
            stored = await behind.logs(following.token, (0, "text"))
            assert stored == [LogReceipt(token=following.token, stream="stdout", stored=4)]
            assert await ahead.text(run) == "text"

    asyncio.run(go())


def test_logs_of_a_token_that_no_server_made_are_not_taken(tmp_path: Path) -> None:
    async def go() -> None:
        side = Side(tmp_path)
        async with side.engine:
            side.hello([])
            log = LogReport(token="made-up", stream="stdout", offset=0, text="x")
            receipt = await side.broker.report(side.session, WorkReport(logs=[log]))
            assert (receipt.unknown, receipt.logged) == (["made-up"], [])

    asyncio.run(go())
