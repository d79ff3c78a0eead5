"""The tokens of workers: what one may still do when its token has expired, and how many workers one token may have."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.errors import AetherError
from aether_protocol.ports.worker import BeatMessage, ExecutorOffer, Hello, Poll, ResultReport, WorkReport
from aether_protocol.server import worker_calls
from aether_protocol.server.parts import ServerParts
from aether_protocol.server.problems import ApiError
from aether_protocol.server.worker_calls import WorkerCalls
from aether_protocol.service.access.caller import Caller
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, work


def broker_of(*works: Any) -> tuple[WorkerBroker, Ear]:
    broker, ear = WorkerBroker(ManualClock(), b"k" * 32), Ear()
    broker.start(ear)
    return broker, ear


def calls(broker: WorkerBroker, late_s: float | None = None, token: str = "t") -> WorkerCalls:
    caller = Caller(name="gpu-1", kind="worker", roles={"*": "worker"}, token=token, late_s=late_s)
    return WorkerCalls(ServerParts(workers=broker), caller)


def hello(name: str = "w", *holding: str) -> Hello:
    executors, slots = [ExecutorOffer(name="nap")], {"tasks": 9}
    return Hello(worker=name, protocols=[1], executors=executors, slots=slots, holding=list(holding), instance=name)


@pytest.mark.rule("RT-147")
def test_a_worker_whose_token_expires_finishes_what_it_has_and_gets_no_more() -> None:
    async def go() -> None:
        broker, ear = broker_of()
        session = (await calls(broker).hello(hello())).session
        await broker.dispatch([work(1, "nap"), work(2, "nap")])
        (item,) = (await calls(broker).poll(session, Poll(poll=1, free=1, holding=[]))).work
        late = calls(broker, late_s=3600.0)
        orders = await late.poll(session, Poll(poll=2, free=8, holding=[item.token]))
        assert (orders.work, orders.drain_ms) == ([], 3_600_000), "at once, though there is work"
        orders = await late.beat(session, BeatMessage(poll=2, holding=[item.token]))
        assert orders.drain_ms == 3_600_000, "an order may be lost"
        result = {name: item.assignment[name] for name in ("taskRunId", "workflowRunId", "attempt", "epoch")}
        reporting = asyncio.ensure_future(
            late.report(session, WorkReport(started=[item.token], results=[ResultReport(token=item.token, result=result)]))
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert [one.ref for one in ear.results] == [work(1, "nap").ref]
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
        beats = (await calls(broker).hello(hello("beats"))).session
        orders = await late.beat(beats, BeatMessage(poll=1, holding=[]))
        assert orders.drain_ms == 3_600_000, "by its first call, whichever it is"
        (waits,) = broker.fleet.state.waiting.newest.values()
        assert waits.ref == work(2, "nap").ref
        await broker.close()

    asyncio.run(go())


@pytest.mark.rule("RT-147")
def test_after_a_restart_of_the_server_it_comes_back_with_what_it_has_and_never_with_nothing() -> None:
    async def go() -> None:
        first, _ = broker_of()
        session = (await calls(first).hello(hello())).session
        await first.dispatch([work(1, "nap")])
        (item,) = (await calls(first).poll(session, Poll(poll=1, free=1, holding=[]))).work
        second, _ = broker_of()
        with pytest.raises(ApiError) as refused:
            await calls(second, late_s=60.0).hello(hello())
        assert refused.value.status == 401
        again = await calls(second, late_s=60.0).hello(hello("w", item.token))
        assert [one.state for one in second.fleet.state.deliveries.values()] == ["running"]
        assert second.fleet.state.sessions[again.session].state == "draining"
        for one in (first, second):
            await one.close()

    asyncio.run(go())


def test_one_token_has_a_bounded_number_of_workers_and_one_that_comes_back_is_let_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_calls, "MOST_SESSIONS", 3)

    async def go() -> None:
        broker, _ = broker_of()
        for number in range(3):
            await calls(broker).hello(hello(f"w{number}"))
        with pytest.raises(AetherError) as refused:
            await calls(broker).hello(hello("w3"))
        assert isinstance(refused.value, ApiError)
        assert (refused.value.status, refused.value.code) == (429, "too-many-sessions")
        for _ in range(3):
            again = hello("w1")
            again.number = 2
            await calls(broker).hello(again)
        await calls(broker, token="another").hello(hello("w4"))
        await broker.close()

    asyncio.run(go())
