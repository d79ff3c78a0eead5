"""The broker for workers that talk to this process keeps the contract of brokers, with a worker before it on virtual time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import pytest
from msgspec.structs import replace

from aether_protocol.adapters.brokers.fleet_view import waiting_of
from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.adapters.executors.wait import SleepExecutor
from aether_protocol.adapters.stores.sqlite.store import open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json, SecretValue
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.ports.broker import Holding, ResultSink, Stored
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.executor import Executor
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.ports.wire_json import decode_assignment, encode_result
from aether_protocol.ports.worker import (
    PROTOCOL_VERSION,
    BeatMessage,
    DiedReport,
    ExecutorOffer,
    Hello,
    Orders,
    Poll,
    Receipt,
    SecretAnswer,
    SecretRequest,
    Welcome,
    WorkReport,
)
from aether_protocol.testing.clock import ManualClock, SequentialIds, pass_time
from aether_protocol.testing.contracts.broker import Ear, work
from aether_protocol.testing.contracts.remote_broker import RemoteBrokerContract
from aether_protocol.testing.settling import parts_of
from aether_protocol.worker.direct import DirectTransport
from aether_protocol.worker.pool import PoolObserver
from aether_protocol.worker.supervisor import Supervisor
from aether_protocol.worker.transport import TransportError
from tests.unit.engine.plans import dag, plan, task

pytestmark = pytest.mark.rule("RT-116")

MANY = 100_000  # slots, where there is no limit
SECOND = 1_000_000
AFTER_US = 10 * SECOND  # of the workers' clock after something happened: longer than every pause between two tries
TURNS = 40  # of the loop: more than a message and what follows it take

_Given = TypeVar("_Given")


class Attempt:
    """An attempt in a local broker of its own, as in a child process. It is the sink of that."""

    def __init__(self, pool: Pool, token: str, assignment: dict[str, Any]) -> None:
        self.pool = pool
        self.token = token
        self.task = decode_assignment(assignment)
        self.broker = LocalBroker(pool.executors, pool.clock)
        self.broker.start(self)
        self.work = asyncio.ensure_future(self.broker.dispatch([self.task]))

    async def stop(self) -> None:
        await self.broker.close()
        if self.pool.live.pop(self.token, None) is not None:
            self.pool.observer.returned(self.token, "it was stopped")
            self.pool.events += 1

    def started(self, ref: AttemptRef) -> None:
        self.pool.events += 1
        self.pool.observer.started(self.token)

    def logged(self, ref: AttemptRef, stream: Literal["stdout", "stderr"], text: str, offset: int | None = None) -> None:
        """Nothing here asks for logs."""

    def heartbeat(self, ref: AttemptRef, details: Json = None) -> None:
        """Nothing here asks for it."""

    def lost(self, ref: AttemptRef, reason: str, blamed: bool) -> None:
        raise AssertionError(reason)

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        self.pool.events += 1
        if self.pool.live.pop(self.token, None) is not None:
            self.pool.observer.finished(self.token, encode_result(result))

    def brought(self, ref: AttemptRef, unwanted: Stored) -> None:
        """Nothing here is brought along."""

    def ready(self) -> None:
        """One attempt at a time."""


class Pool:
    """See `worker.pool.AttemptPool`: attempts in this process, on the clock of the test."""

    def __init__(self, executors: Sequence[Executor], clock: Clock) -> None:
        self.executors = executors
        self.clock = clock
        self.events = 0
        self.live: dict[str, Attempt] = {}
        self.stops: set[asyncio.Task[None]] = set()
        self.observer: PoolObserver

    def start(self, observer: PoolObserver) -> None:
        self.observer = observer

    def begin(self, token: str, assignment: dict[str, Any]) -> None:
        self.events += 1
        self.live[token] = Attempt(self, token, assignment)

    def stop(self, token: str) -> None:
        if (one := self.live.get(token)) is not None:
            task = asyncio.ensure_future(one.stop())
            self.stops.add(task)
            task.add_done_callback(self.stops.discard)

    def kill(self, token: str) -> None:
        if (one := self.live.pop(token, None)) is not None:
            task = asyncio.ensure_future(one.broker.close())
            self.stops.add(task)
            task.add_done_callback(self.stops.discard)

    def find(self, ref: AttemptRef) -> str:
        return next(token for token, one in self.live.items() if one.task.ref == ref)

    async def close(self) -> None:
        for token in list(self.live):
            self.kill(token)


class Switch:
    """A `WorkerTransport` to the server that is there now; none is there, or the way to it is cut: TransportError."""

    def __init__(self, site: WorkerSite) -> None:
        self._site = site

    async def _call(self, call: Callable[[DirectTransport], Awaitable[_Given]]) -> _Given:
        server = self._site.server
        if server is None or self._site.is_cut:
            raise TransportError("no server")
        asked, gone = asyncio.ensure_future(call(DirectTransport(server))), asyncio.ensure_future(self._site.gone.wait())
        try:
            await asyncio.wait([asked, gone], return_when=asyncio.FIRST_COMPLETED)
            if not asked.done():
                raise TransportError("the connection was lost")
            return asked.result()
        finally:
            gone.cancel()
            asked.cancel()

    async def hello(self, hello: Hello) -> Welcome:
        return await self._call(lambda way: way.hello(hello))

    async def poll(self, session: str, poll: Poll, timeout_s: float) -> Orders:
        return await self._call(lambda way: way.poll(session, poll, timeout_s))

    async def beat(self, session: str, beat: BeatMessage) -> Orders:
        return await self._call(lambda way: way.beat(session, beat))

    async def report(self, session: str, report: WorkReport) -> Receipt:
        return await self._call(lambda way: way.report(session, report))

    async def secrets(self, session: str, request: SecretRequest) -> SecretAnswer:
        return await self._call(lambda way: way.secrets(session, request))

    async def leave(self, session: str) -> None:
        await self._call(lambda way: way.leave(session))

    async def close(self) -> None:
        """Nothing is open."""


class Server(WorkerBroker):
    """The broker of one engine, whose work here can be waited for."""

    site: WorkerSite

    @property
    def busy(self) -> int:
        return self.site.busy

    async def quiet(self) -> None:
        await self.site.quiet()

    def start(self, sink: ResultSink) -> None:
        super().start(sink)
        self.site.take_over(self)

    async def dispatch(self, batch: Sequence[TaskAssignment]) -> Mapping[AttemptRef, str]:
        self.site.pool.events += 1
        return await super().dispatch(batch)

    async def stop(self, refs: Sequence[AttemptRef]) -> None:
        self.site.pool.events += 1
        await super().stop(refs)

    async def held(self, refs: Sequence[AttemptRef]) -> Mapping[AttemptRef, Holding]:
        found = await super().held(refs)
        if len(found) < len(refs):  # the time in which workers may bring the others back has begun
            self.site.pool.events += 1
        return found

    async def close(self) -> None:
        if self.site.server is self:
            self.site.cut_off(None)
        await super().close()


class WorkerSite:
    """See `contracts.remote_broker.BrokerSite`: one worker, which outlives servers.

    Leases, beats and pauses have a clock of their own: it moves as long as is needed whenever something has happened, so that
    the test's clock shows when attempts are through.
    """

    def __init__(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> None:
        self.clock = ManualClock(0)
        self.pool = Pool(executors, clock)
        self.server: Server | None = None
        self.is_cut = False
        self.gone = asyncio.Event()
        self.seen = -1
        self.term = 0
        hello = Hello(
            worker="w1",
            build="test",
            protocols=[PROTOCOL_VERSION],
            executors=[ExecutorOffer(name=one.type.name, version="1") for one in executors],
            slots={"tasks": concurrency or MANY},
        )
        self.supervisor = Supervisor(Switch(self), self.pool, hello, seed=1, clock=self.clock)
        self.running = asyncio.ensure_future(self.supervisor.run())

    # --- engines ---

    def connect(self) -> Server:
        self.term += 1
        settings = FleetSettings(reattach=5 * SECOND)
        server = Server(self.clock, b"k" * 32, settings=settings, term=self.term)
        server.fleet.expects = self.term > 1  # a server knows from its store whether there were workers before it
        server.site = self
        return server

    def take_over(self, server: Server) -> None:
        self.cut_off(server)

    def cut_off(self, server: Server | None) -> None:
        """Open connections are lost; new ones go to this server."""
        self.server = server
        self._disconnect()

    def _disconnect(self) -> None:
        self.gone.set()
        self.gone = asyncio.Event()
        self.pool.events += 1

    def cut(self) -> None:
        self.is_cut = True
        self._disconnect()

    def mend(self) -> None:
        self.is_cut = False
        self._disconnect()

    async def lose(self, ref: AttemptRef, *, blamed: bool) -> None:
        token = self.pool.find(ref)
        one = self.pool.live.pop(token)
        await one.broker.close()
        self.pool.events += 1
        if blamed:
            self.pool.observer.died(token, "its process was killed by signal 9")
        else:  # a supervisor that knows nothing of it, like one that was restarted
            self.supervisor.held._held.pop(token)
        await self.quiet()

    async def close(self) -> None:
        self.running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.running

    # --- Settling ---

    @property
    def busy(self) -> int:
        return self._at_work + (self.pool.events != self.seen)

    @property
    def _at_work(self) -> int:
        return sum(one.broker.busy > 0 for one in self.pool.live.values())

    async def quiet(self) -> None:
        await self._settle()
        if self.pool.events != self.seen:
            until = self.clock.now() + AFTER_US
            while self.clock.step(until):
                await self._settle()
        self.seen = self.pool.events

    async def _settle(self) -> None:
        before = -1
        while before != self.pool.events:
            before = self.pool.events
            for one in list(self.pool.live.values()):
                if one.broker.busy:
                    await one.broker.quiet()
            for _ in range(TURNS):
                await asyncio.sleep(0)


class TestWorkerBroker(RemoteBrokerContract):
    knows_types = False

    def make_site(self, executors: Sequence[Executor], clock: Clock, concurrency: int | None) -> WorkerSite:
        return WorkerSite(executors, clock, concurrency)


@pytest.mark.rule("RT-124")
def test_a_long_sleep_at_a_worker_is_passivated_and_ends_in_time(tmp_path: Path) -> None:
    async def go() -> None:
        clock = ManualClock()
        begin = clock.now()
        site = WorkerSite([SleepExecutor()], clock, None)
        store = open_sqlite(str(tmp_path / "site.db"), durability="normal", now=clock.wall)
        engine = RunEngine(
            store=store,
            broker=site.connect(),
            clock=clock,
            ids=SequentialIds(7),
            owner="site",
            lease_s=None,
            passivate_after_s=10,
        )
        async with engine:
            run = await engine.submit(plan(dag(task("nap", "sleep", {"duration": "1h"}))))
            await pass_time(clock, *parts_of(engine), until_us=begin + 60 * SECOND)
            assert (engine.driven.ids, await store.leases.owner(run)) == ([], None)
            await pass_time(clock, *parts_of(engine), until_us=begin + 3_700 * SECOND)
            row = await store.runs.row(run)
            assert row is not None
            assert (row.phase, row.ended_at) == ("Succeeded", begin + 3_600 * SECOND)
            assert site.pool.live == {}
        await site.close()

    asyncio.run(go())


def test_a_poll_that_comes_when_the_server_is_about_to_end_is_answered_at_once() -> None:
    async def go() -> None:
        broker = WorkerBroker(ManualClock(), b"k" * 32)
        broker.start(Ear())
        hello = Hello(worker="w", protocols=[PROTOCOL_VERSION], executors=[ExecutorOffer(name="nap")], slots={"tasks": 9})
        session = broker.hello(hello).session
        polling = asyncio.ensure_future(broker.poll(session, Poll(poll=1, free=1, holding=[])))
        await asyncio.sleep(0)
        await broker.close()
        assert await polling == Orders()
        assert await broker.poll(session, Poll(poll=2, free=1, holding=[])) == Orders()

    asyncio.run(go())


def test_a_poll_that_is_cut_off_with_its_answer_gives_nothing_out_twice() -> None:
    """What it was to be given never arrived: it is given out anew, once, and not beside that."""

    async def go() -> None:
        broker = WorkerBroker(ManualClock(), b"k" * 32)
        broker.start(Ear())
        hello = Hello(worker="w", protocols=[PROTOCOL_VERSION], executors=[ExecutorOffer(name="nap")], slots={"tasks": 9})
        session = broker.hello(hello).session
        cut = asyncio.ensure_future(broker.poll(session, Poll(poll=1, free=1, holding=[])))
        await asyncio.sleep(0)
        await broker.dispatch([work(1, "nap"), work(2, "nap")])  # its answer is there, and it has not gone out
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        orders = await broker.poll(session, Poll(poll=2, free=1, holding=[]))
        assert len(orders.work) == len(broker.fleet.state.deliveries) == 1
        rest = await broker.poll(session, Poll(poll=3, free=1, holding=[orders.work[0].token]))
        given = {one.assignment["taskRunId"] for one in (*orders.work, *rest.work)}
        assert (len(rest.work), len(given)) == (1, 2)
        await broker.close()

    asyncio.run(go())


def test_a_delivery_at_a_worker_that_it_was_not_given_to_does_not_count() -> None:
    """Work that arrived at two workers is begun by the one that it was given to; what the other one says changes nothing."""

    async def go() -> None:
        broker, ear = WorkerBroker(ManualClock(), b"k" * 32), Ear()
        broker.start(ear)

        def session(name: str) -> str:
            offers, slots = [ExecutorOffer(name="nap")], {"tasks": 9}
            return broker.hello(Hello(worker=name, protocols=[PROTOCOL_VERSION], executors=offers, slots=slots)).session

        first, second = session("a"), session("b")
        await broker.dispatch([work(1, "nap")])
        (item,) = (await broker.poll(first, Poll(poll=1, free=1, holding=[]))).work
        died = DiedReport(token=item.token, reason="signal 9")
        receipt = await broker.report(second, WorkReport(started=[item.token], died=[died]))
        assert receipt.unknown == [item.token, item.token]
        assert (ear.heard, ear.losses) == ([], [])
        with pytest.raises(UsageError, match="not one of this session"):
            await broker.secrets(second, SecretRequest(token=item.token, secrets=[]))
        assert (await broker.report(first, WorkReport(started=[item.token]))).unknown == []
        assert [what for what, _ in ear.heard] == ["started"]
        await broker.close()

    asyncio.run(go())


@pytest.mark.rule("RT-151")
def test_of_workers_with_different_versions_of_an_executor_each_attempt_goes_to_those_that_its_config_fits() -> None:
    async def go() -> None:
        broker, ear = WorkerBroker(ManualClock(), b"k" * 32), Ear()
        broker.start(ear)

        def session(name: str, version: str, *fields: str) -> str:
            known = {key: {"type": "string"} for key in fields}
            schema = {"type": "object", "properties": known, "additionalProperties": False}
            offers = [ExecutorOffer(name="nap", version=version, config=schema)]
            hello = Hello(worker=name, protocols=[PROTOCOL_VERSION], executors=offers, slots={"tasks": 9})
            return broker.hello(hello).session

        async def given(name: str, poll: int) -> list[str]:
            asked = asyncio.ensure_future(broker.poll(name, Poll(poll=poll, free=9, holding=[])))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            if not asked.done():
                asked.cancel()
                return []
            return [str(item.assignment["taskRunId"]) for item in (await asked).work]

        old, new = session("old", "1", "plain"), session("new", "2", "plain", "more")
        secret = SecretValue(("a", ("db", "password")))
        configs: list[dict[str, Any]] = [{"plain": "x"}, {"more": "x"}, {"more": secret}, {"none": "x"}]
        works = [replace(work(number, "nap"), config=config) for number, config in enumerate(configs, 1)]
        await broker.dispatch(works)
        names = [one.ref.task_run_id for one in works]
        assert await given(old, 1) == names[:1]
        assert await given(new, 1) == names[1:3]
        (waits,) = waiting_of(broker, "run-1")
        assert waits.code == "no-version"
        assert "'none'" in waits.reason
        newest = session("newest", "3", "none")
        assert await given(newest, 1) == names[3:]
        await broker.close()

    asyncio.run(go())
