"""The supervisor against a server of the test, on a loop whose time jumps to the next timer."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from aether_protocol.ports.worker import (
    BeatMessage,
    ExecutorOffer,
    Hello,
    LogReceipt,
    Orders,
    Poll,
    ProgressReport,
    Receipt,
    ResultReport,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkItem,
    WorkReport,
)
from aether_protocol.worker.outbox import BATCH_BYTES, Outbox
from aether_protocol.worker.pool import PoolObserver
from aether_protocol.worker.supervisor import Supervisor
from aether_protocol.worker.transport import SessionEndedError, TransportError

LEASE_S = 30.0
LINE = "a line of a log, longer than the note which may come in its place\n"


class _Selector(selectors.SelectSelector):
    passed = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        assert timeout is not None, "nothing would ever happen"
        self.passed += max(timeout, 0)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.passed


class LoopClock:
    """See `ports.clock.Clock`: the time of the loop."""

    def now(self) -> int:
        return round(now() * 1_000_000)

    wall = now

    def call_at(self, due_us: int, callback: Callable[[], None]) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_at(due_us / 1_000_000, callback)

    async def sleep(self, seconds: float, rank: tuple[int, ...] = ()) -> None:
        await asyncio.sleep(seconds)


def play(body: Callable[[], Awaitable[None]]) -> None:
    with asyncio.Runner(loop_factory=_Loop) as runner:
        runner.run(body())  # type: ignore[arg-type]


def now() -> float:
    return asyncio.get_running_loop().time()


class Server:
    """Gives one delivery; may be away, or not know the session any more."""

    def __init__(self) -> None:
        self.away = False
        self.over = False
        self.deaf = 0  # so many answers to results are lost
        self.record = True
        self.keep_logs = True
        self.deaf = False  # to polls
        self.frozen_s = 0.0  # so long the worker's machine stands still while the answer to a poll with work is on its way
        self.beats: list[int] = []  # the polls that they named
        self.lost: set[str] = set()  # logs of these deliveries are lost
        self.work = [WorkItem(token="t1", assignment={})]
        self.hellos: list[list[str]] = []
        self.results: list[list[str]] = []  # that hellos named
        self.reports: list[tuple[float, WorkReport]] = []

    def _check(self) -> None:
        if self.away:
            raise TransportError("away")
        if self.over:
            raise SessionEndedError

    async def hello(self, hello: Hello) -> Welcome:
        if self.away:
            raise TransportError("away")
        self.over = False
        self.hellos.append(list(hello.holding))
        self.results.append(list(hello.results))
        times = {"lease_ms": int(LEASE_S * 1000), "beat_ms": 3000, "poll_ms": 5000}
        return Welcome(session=f"s{len(self.hellos)}", server="test", protocol=1, **times)

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        self._check()
        if self.deaf:
            await asyncio.sleep(timeout_s)
            raise TransportError("no answer")
        work, self.work = self.work, []
        if work:
            asyncio.get_running_loop().clock.passed += self.frozen_s  # type: ignore[attr-defined]
        if not work:
            await asyncio.sleep(timeout_s)
            self._check()
        return Orders(work=work)

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        self._check()
        self.beats.append(beat.poll)
        return Orders()

    async def report(self, session: str, report: WorkReport) -> Receipt:
        self._check()
        self.reports.append((now(), report))
        if self.deaf and report.results:
            self.deaf -= 1
            raise TransportError("the answer is lost")
        logged = [LogReceipt(token=one.token, stream=one.stream, stored=one.offset + len(one.text)) for one in report.logs]
        logged = [one for one in logged if one.token not in self.lost]
        recorded = [one.token for one in report.results] if self.record else []
        return Receipt(recorded=recorded, logged=logged if self.keep_logs else [])

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        return SecretAnswer(texts=[])

    async def leave(self, session: str) -> None:
        self._check()

    async def close(self) -> None:
        """Nothing is open."""


class Pool:
    """Carries nothing out, and writes down when it is to stop and to kill; deaf ones do not stop."""

    def __init__(self, deaf: bool = False) -> None:
        self.deaf = deaf
        self.events: list[tuple[str, str, float]] = []

    def start(self, observer: PoolObserver) -> None:
        self.observer = observer

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        self.events.append(("begin", token, now()))
        self.observer.started(token)

    def stop(self, token: str) -> None:
        self.events.append(("stop", token, now()))
        if not self.deaf:
            self.observer.returned(token, "it was stopped")

    def kill(self, token: str) -> None:
        self.events.append(("kill", token, now()))

    async def close(self) -> None:
        """Nothing runs."""

    def at(self, what: str) -> float | None:
        return next((at for kind, _, at in self.events if kind == what), None)


def supervisor(server: Server, pool: Pool) -> Supervisor:
    hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="script")], slots={"tasks": 2})
    return Supervisor(server, pool, hello, seed=1, clock=LoopClock())


@pytest.mark.parametrize("says_over", [False, True], ids=["silent", "the session is over, then silent"])
def test_what_runs_is_stopped_and_killed_before_the_lease_ends(says_over: bool) -> None:
    async def body() -> None:
        server, pool = Server(), Pool(deaf=True)
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(10)
        assert pool.at("begin") is not None
        cut = now()
        if says_over:
            server.over = True
            await asyncio.sleep(0)
            while not server.hellos[1:]:
                server.away = server.over = True
                await asyncio.sleep(1)
                if now() > cut + 2 * LEASE_S:
                    break
        server.away = True
        await asyncio.sleep(2 * LEASE_S)
        stop, kill = pool.at("stop"), pool.at("kill")
        assert stop is not None
        assert kill is not None
        assert stop < kill < cut + LEASE_S
        server.away = server.over = False
        await asyncio.sleep(20)
        assert server.hellos[-1] == [], "it is another worker's by now"
        running.cancel()

    play(body)


def test_a_beat_says_which_polls_were_given_up_so_that_their_answers_are_known_to_be_lost() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.deaf = True
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(4)
        assert set(server.beats) == {0}, "the answer to the first poll may still come"
        await asyncio.sleep(5)
        assert server.beats[-1] == 1, "it comes no more, though no other poll has reached the server"
        running.cancel()

    play(body)


def test_a_result_that_is_not_recorded_comes_again_also_while_other_things_are_reported() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.record = False
        running = asyncio.create_task(supervisor(server, pool).run())
        server.work.append(WorkItem(token="t2", assignment={}))
        await asyncio.sleep(1)
        pool.observer.finished("t1", {"code": 0})
        for offset in range(100):
            await asyncio.sleep(0.1)
            pool.observer.logged("t2", "stdout", offset, "x")
        times = [at for at, report in server.reports if report.results]
        assert 5 <= len(times) <= 15, "about once a second"
        server.record = True
        await asyncio.sleep(5)
        count = len([at for at, report in server.reports if report.results])
        await asyncio.sleep(5)
        assert len([at for at, report in server.reports if report.results]) == count
        running.cancel()

    play(body)


def test_a_result_whose_answer_is_lost_comes_again() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        server.deaf = 2  # it records, and its answers are lost
        pool.observer.finished("t1", {"code": 0})
        await asyncio.sleep(20)
        assert [[one.token for one in report.results] for _, report in server.reports if report.results] == [["t1"]] * 3
        running.cancel()

    play(body)


@pytest.mark.parametrize(("frozen_s", "begun"), [(2.0, ["t2"]), (LEASE_S, [])], ids=["in time", "after the lease"])
def test_work_that_arrives_after_the_lease_is_not_begun(frozen_s: float, begun: list[str]) -> None:
    """By then another worker has it."""

    async def body() -> None:
        server, pool = Server(), Pool()
        server.work = []
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        server.work, server.frozen_s = [WorkItem(token="t2", assignment={})], frozen_s
        await asyncio.sleep(2 * LEASE_S)
        assert server.work == []
        assert [token for kind, token, _ in pool.events if kind == "begin"] == begun
        running.cancel()

    play(body)


@pytest.mark.parametrize("ended", [False, True], ids=["while it runs", "while its result is kept"])
def test_work_that_arrives_twice_is_begun_once(ended: bool) -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.record = False
        server.work = [WorkItem(token="t1", assignment={}), WorkItem(token="t1", assignment={})]
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        if ended:
            pool.observer.finished("t1", {})
        server.work = [WorkItem(token="t1", assignment={})]
        await asyncio.sleep(10)
        assert server.work == [], "it came"
        assert [kind for kind, _, _ in pool.events] == ["begin"]
        running.cancel()

    play(body)


def test_an_order_to_drain_that_comes_again_is_reported_once() -> None:
    async def body() -> None:
        server, pool, news = Server(), Pool(), []
        one = supervisor(server, pool)
        one._report = lambda what: news.append(what.kind)
        running = asyncio.create_task(one.run())
        await asyncio.sleep(1)
        for _ in range(5):
            one.drain(60.0)
            await asyncio.sleep(0.01)
        one.drain(10.0)
        assert news.count("draining") == 2, "sooner is another order"
        running.cancel()

    play(body)


def test_a_result_waits_two_seconds_for_a_log_that_cannot_be_sent_and_logs_may_follow_it() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.keep_logs = False
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        pool.observer.logged("t1", "stdout", 0, "x" * 300_000)
        pool.observer.finished("t1", {"code": 0})
        began = now()
        await asyncio.sleep(10)
        ((at, _),) = [(at, report) for at, report in server.reports if report.results]
        assert 2.0 <= at - began < 2.5
        server.keep_logs = True
        await asyncio.sleep(60)
        last = max(one.offset + len(one.text) for _, report in server.reports for one in report.logs)
        assert last == 300_000, "what was not acknowledged came again, and the rest behind it"
        running.cancel()

    play(body)


def test_logs_that_are_not_acknowledged_come_again_and_are_given_up_at_last() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.keep_logs = False
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        pool.observer.logged("t1", "stdout", 0, LINE)
        await asyncio.sleep(400)
        sent = [one.text for _, report in server.reports for one in report.logs]
        assert sent.count(LINE) == 60
        assert sum(report.log_bytes_dropped for _, report in server.reports) == len(LINE)
        server.keep_logs = True
        pool.observer.logged("t1", "stdout", len(LINE), "more")
        await asyncio.sleep(10)
        sent = [one.text for _, report in server.reports for one in report.logs]
        assert sent[-2:] == [f"[{len(LINE)} bytes of the log were dropped]\n", "more"], "in order, with a note in its place"
        running.cancel()

    play(body)


def test_a_new_session_gets_the_logs_that_the_last_one_did_not_acknowledge() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.keep_logs = False
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        pool.observer.logged("t1", "stdout", 0, "line")
        await asyncio.sleep(0.5)
        server.over = server.keep_logs = True
        await asyncio.sleep(6)
        texts = [one.text for _, report in server.reports for one in report.logs]
        assert texts == ["line", "line"]
        running.cancel()

    play(body)


def test_logs_that_are_lost_come_again_while_those_of_others_are_acknowledged() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.work.append(WorkItem(token="t2", assignment={}))
        server.lost = {"t1"}
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        pool.observer.logged("t1", "stdout", 0, "line")
        for number in range(12):
            pool.observer.logged("t2", "stdout", number, "x")
            await asyncio.sleep(0.5)
        server.lost = set()
        sent = [one.text for _, report in server.reports for one in report.logs if one.token == "t1"]
        assert sent == ["line", "line"]
        running.cancel()

    play(body)


def test_a_worker_that_leaves_sends_its_last_logs_also_to_a_server_that_does_not_know_its_session_any_more() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.keep_logs = False
        worker = supervisor(server, pool)
        running = asyncio.create_task(worker.run())
        await asyncio.sleep(1)
        pool.observer.logged("t1", "stdout", 0, "line")
        pool.observer.finished("t1", {})
        await asyncio.sleep(1)
        worker.drain(0)
        await asyncio.sleep(0.5)
        server.over = server.keep_logs = True
        await running
        assert worker.held.are_reported
        assert len(server.hellos) == 2

    play(body)


def test_a_hello_tells_results_that_are_kept_from_attempts_that_run() -> None:
    async def body() -> None:
        server, pool = Server(), Pool()
        server.record = False
        server.work.append(WorkItem(token="t2", assignment={}))
        running = asyncio.create_task(supervisor(server, pool).run())
        await asyncio.sleep(1)
        pool.observer.finished("t1", {})
        server.over = True
        await asyncio.sleep(6)
        assert (server.hellos, server.results) == ([[], ["t1", "t2"]], [[], ["t1"]])
        running.cancel()

    play(body)


def test_results_of_a_message_are_bounded_in_bytes_and_none_is_left() -> None:
    async def body() -> None:
        outbox = Outbox(LoopClock())
        for number in range(12):
            outbox.add_result(ResultReport(token=f"t{number}", result={"outputs": "x" * (BATCH_BYTES // 4)}))
        outbox.add_result(ResultReport(token="large", result={"outputs": "x" * BATCH_BYTES * 2}))
        taken = []
        while (report := outbox.take()) is not None:
            taken.append([one.token for one in report.results])
        assert [len(one) for one in taken] == [3, 3, 3, 3, 1], "one that is too large by itself goes alone"
        assert [token for one in taken for token in one] == [*(f"t{number}" for number in range(12)), "large"]

    play(body)


def test_the_newest_progress_of_a_delivery_is_reported() -> None:
    async def body() -> None:
        outbox = Outbox(LoopClock())
        for done in range(5):
            outbox.add_progress(ProgressReport(token="t", details=done))
        outbox.add_result(ResultReport(token="t", result={}))
        report = outbox.take()
        assert report is not None
        assert [one.details for one in report.progress] == [4]
        assert outbox.take() is None

    play(body)
