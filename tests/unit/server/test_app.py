"""The server's answers, without a socket: problems with all that is known, and reports that come twice."""

from __future__ import annotations

import asyncio

from litestar import get
from litestar.testing import create_test_client

from aether_protocol import TaskResult, load_plan
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.errors import UsageError
from aether_protocol.ports.broker import Stored
from aether_protocol.ports.worker import ExecutorOffer, Hello, LogReport, Poll, ResultReport, WorkReport
from aether_protocol.server.problems import of_error
from aether_protocol.testing.clock import ManualClock
from aether_protocol.testing.contracts.broker import Ear, work


@get("/document", sync_to_thread=False)
def faulty() -> None:
    load_plan("apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: a}\nspec: {entrypoint: nowhere, templates: []}\n")


@get("/usage", sync_to_thread=False)
def refused() -> None:
    raise UsageError("it is too late", hint="come earlier")


@get("/broken", sync_to_thread=False)
def broken() -> None:
    raise RuntimeError("a secret of the inside")


def test_a_problem_has_the_place_and_the_remedy_and_nothing_of_the_inside() -> None:
    with create_test_client([faulty, refused, broken], exception_handlers={Exception: of_error}) as client:
        answer = client.get("/document")
        assert answer.headers["content-type"] == "application/problem+json"
        body = answer.json()
        assert (answer.status_code, body["code"]) == (422, "document-invalid")
        first = body["diagnostics"][0]
        assert first["line"] == 4
        assert first["column"] > 0
        assert first["code"].startswith("AE")
        body = client.get("/usage").json()
        assert (body["status"], body["detail"], body["hint"]) == (400, "it is too late", "come earlier")
        answer = client.get("/broken")
        assert answer.status_code == 500
        assert "inside" not in answer.text


class Recorder(Ear):
    """Records each result at once."""

    def finished(self, result: TaskResult, stored: Stored | None = None) -> None:
        super().finished(result, stored)
        if stored is not None:
            stored()


def test_a_report_that_comes_twice_gives_its_log_once() -> None:
    """Its answer was lost, so the worker sends it again, the result and all."""

    async def go() -> None:
        ear = Recorder()
        broker = WorkerBroker(ManualClock(), b"k" * 32)
        broker.start(ear)
        hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 1})
        session = broker.hello(hello).session
        await broker.dispatch([work(1, "noop")])
        (item,) = (await broker.poll(session, Poll(poll=1, free=1, holding=[]))).work
        names = ("taskRunId", "workflowRunId", "attempt", "epoch")
        result = ResultReport(token=item.token, result={**{name: item.assignment[name] for name in names}, "code": 0})
        first = LogReport(token=item.token, stream="stdout", offset=0, text="one ")
        second = LogReport(token=item.token, stream="stdout", offset=4, text="two")
        await broker.report(session, WorkReport(logs=[first]))
        for _ in range(2):
            receipt = await broker.report(session, WorkReport(logs=[first, second], results=[result]))
            assert receipt.recorded == [item.token]
        assert "".join(ear.logs) == "one two"
        await broker.close()

    asyncio.run(go())
