"""Logs that workers report: once in the store, whatever comes twice, late, or after a restart; masked by the server too."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.engine.clock import SystemClock
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

pytestmark = pytest.mark.rule("RT-133")

KEY = b"k" * 32


class Vault:
    blocking = True

    def get(self, name: str, key: str) -> str | None:
        return "s3cr3t-value" if (name, key) == ("db", "password") else None


def workflow() -> dict[str, object]:
    secret = {"name": "password", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
    task = {"name": "job", "executor": {"type": "script", "config": {"source": "true"}}, "inputs": {"parameters": [secret]}}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "one"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": [task]}}]},
    }


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
            assert await second.logs(item.token, (0, "één ")) == [], "its run is not here yet: it comes again"
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


def test_logs_of_a_token_that_no_server_made_are_not_taken(tmp_path: Path) -> None:
    async def go() -> None:
        side = Side(tmp_path)
        async with side.engine:
            side.hello([])
            log = LogReport(token="made-up", stream="stdout", offset=0, text="x")
            receipt = await side.broker.report(side.session, WorkReport(logs=[log]))
            assert (receipt.unknown, receipt.logged) == (["made-up"], [])

    asyncio.run(go())
