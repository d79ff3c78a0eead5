"""Three servers on one store, as processes: each answers operators for the workers of all, and passes on what one is to do."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.e2e.process import AETHER, environment
from tests.e2e.servers import PATIENCE_S, Served, grpc_url, served, wait_for, working
from tests.postgres import database_url

pytestmark = [pytest.mark.rule("RT-154"), pytest.mark.timeout(240)]


def sqlite_url(folder: Path) -> str:
    return f"sqlite:{folder}/runs.db"


def postgres_url(_: Path) -> str:
    return database_url()


STORES = pytest.mark.parametrize("url_of", [sqlite_url, postgres_url])


@contextmanager
def three(folder: Path, url: str) -> Iterator[tuple[ExitStack, list[Served]]]:
    """Three servers without workers of their own. Each sees the others."""
    with ExitStack() as stack:
        options = ("--store", url, "--no-workers", "--grpc-port", "0")
        servers = [stack.enter_context(served(folder, *options, db="")) for _ in range(3)]
        wait_for(lambda: all(len(one.call("GET", "/servers")["servers"]) == 3 for one in servers))
        yield stack, servers


def held(gate: Path, begun: Path) -> str:
    return f"touch {begun}; until [ -e {gate} ]; do sleep 0.05; done"


def same(servers: Sequence[Served], path: str, holds: Callable[[Any], bool]) -> Any:
    """Ask each of them until all give the same answer that holds; it is the answer."""
    seen: list[Any] = []

    def agree() -> bool:
        seen[:] = [_bare(one.call("GET", path)) for one in servers]
        return holds(seen[0]) and all(one == seen[0] for one in seen)

    try:
        wait_for(agree, 120)  # a busy machine lets servers take longer than half a second
    except AssertionError:
        raise AssertionError(f"they differ: {json.dumps(seen)}") from None
    return seen[0]


def _bare(answer: Any) -> Any:
    """An answer without what changes from one moment to the next."""
    if isinstance(answer, dict):
        return {name: _bare(value) for name, value in answer.items() if name not in ("seenSecondsAgo", "oldestSeconds")}
    return [_bare(one) for one in answer] if isinstance(answer, list) else answer


def name_of(server: Served) -> str:
    rows = server.call("GET", "/servers")["servers"]
    return str(next(one["name"] for one in rows if one["address"] == server.url))


def ask_grpc(server: Served, method: str, request: Any, answer: Any) -> Any:
    import grpc

    with grpc.insecure_channel(grpc_url(server).removeprefix("http://")) as channel:
        asked = channel.unary_unary(
            f"/aether.v1.AdminService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=answer.FromString,
        )
        return asked(request, timeout=PATIENCE_S)


@STORES
def test_each_server_answers_for_the_workers_of_all(tmp_path: Path, url_of: Callable[[Path], str]) -> None:
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    with three(tmp_path, url_of(tmp_path)) as (stack, servers):
        first, second, third = servers
        for server, more in ((second, ("--name", "wb", "--label", "zone=b")), (third, ("--name", "wc", "--pool", "gpu"))):
            stack.enter_context(working(server.url, "--slots", "1", *more)).connected()
        running = first.submit(held(gate, begun))
        wait_for(begun.exists)
        waiting = first.submit("true")
        nowhere = first.submit("true", extensions={"placement": {"selector": "zone=x"}})
        names = {one: name_of(one) for one in servers}

        labels = "no worker has the labels 'zone=x' (of 1 that would do otherwise)"
        busy = "the one worker that fits is busy; 2 wait"
        # a run may move to another server meanwhile, and is offered there once it is known that no worker has it
        found = same(servers, "/workers", lambda one: len(one["workers"]) == 2 and set(one["waiting"]) == {busy, labels})
        assert [(one["name"], one["server"]) for one in found["workers"]] == [("wb", names[second]), ("wc", names[third])]
        assert [task["runId"] for task in found["workers"][0]["running"]] == [running]
        assert found == {**found, "waiting": {busy: 1, labels: 1}, "unreachable": []}

        for run, reason in ((waiting, busy), (nowhere, labels)):

            def holds(one: Any, reason: str = reason) -> bool:
                return [each["reason"] for each in one["waiting"]] == [reason]

            same(servers, f"/runs/{run}/waiting", holds)
            row = same(servers, f"/runs/{run}", holds)
            assert (row["waitingCount"], row["unreachable"]) == (1, [])
            same(servers, f"/runs/{run}/overview", holds)
            tasks = same(servers, f"/runs/{run}/tasks", lambda one: "waiting" in one["tasks"][-1])
            assert [one["waiting"]["reason"] for one in tasks["tasks"] if "waiting" in one] == [reason]

        pools = same(servers, "/pools", lambda one: len(one["pools"]) == 2 and one["pools"][0]["waiting"] == 2)
        assert [(one["name"], one["workers"], one["running"], one["waiting"]) for one in pools["pools"]] == [
            ("default", 1, 1, 2),
            ("gpu", 1, 0, 0),
        ]
        assert pools["pools"][0]["reasons"] == {"no-slots": 1, "no-labels": 1}
        pool = same(servers, "/pools/default", lambda one: one["wanted"] == 3)
        assert (pool["slots"], pool["unreachable"]) == ({"tasks": {"total": 1, "used": 1}}, [])
        assert same(servers, "/pools/none", lambda one: True)["workers"] == 0
        gate.touch()
        assert third.result(waiting)["phase"] == "Succeeded"


@STORES
def test_a_worker_is_drained_at_whichever_server_that_is_asked(tmp_path: Path, url_of: Callable[[Path], str]) -> None:
    from aether_protocol.ports.grpc import aether_pb2 as pb

    with three(tmp_path, url_of(tmp_path)) as (stack, servers):
        first, second, third = servers
        workers = [stack.enter_context(working(one.url, "--slots", "1", "--name", f"w{i}")) for i, one in enumerate(servers)]
        for one in workers:
            one.connected()
        same(servers, "/workers", lambda one: len(one["workers"]) == 3)
        assert third.call("POST", "/workers/w0/drain", {"graceSeconds": 5}) == {"drained": 1, "unreachable": []}
        assert workers[0].process.wait(PATIENCE_S) == 0
        command = [*AETHER, "worker", "drain", "w1", "--server", first.url]
        told = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
        assert told.stdout == "w1 is being drained\n"
        assert workers[1].process.wait(PATIENCE_S) == 0
        same(servers, "/workers", lambda one: [each["name"] for each in one["workers"]] == ["w2"])
        refused = httpx.post(f"{first.url}/v1/workers/w9/drain", json={}, timeout=PATIENCE_S)
        assert (refused.status_code, refused.json()["hint"]) == (404, "connected: w2"), refused.text

        listed = ask_grpc(first, "ListWorkers", pb.ListWorkersRequest(), pb.ListWorkersResponse)
        assert [(one.name, one.server) for one in listed.workers] == [("w2", name_of(third))]
        run = second.submit("true")
        assert first.result(run)["phase"] == "Succeeded"
        counts = [ask_grpc(one, "GetMetrics", pb.GetMetricsRequest(), pb.GetMetricsResponse) for one in servers]
        assert [(one.workers, one.completed_workflows) for one in counts] == [(1, 1)] * 3
        drained = ask_grpc(second, "DrainWorker", pb.DrainWorkerRequest(worker="w2"), pb.DrainWorkerResponse)
        assert (drained.drained, list(drained.unreachable)) == (1, [])
        assert workers[2].process.wait(PATIENCE_S) == 0


def test_a_server_that_does_not_answer_costs_half_a_second_and_is_named(tmp_path: Path) -> None:
    """It is stopped, so that its connections stay open and nothing comes; its lease counts meanwhile."""
    gate, begun = tmp_path / "gate", tmp_path / "begun"
    with three(tmp_path, sqlite_url(tmp_path)) as (stack, servers):
        first, second, third = servers
        stack.enter_context(working(third.url, "--slots", "1", "--name", "w")).connected()
        third.submit(held(gate, begun))
        wait_for(begun.exists)
        waiting = third.submit("true")
        away = name_of(third)
        same(servers, "/workers", lambda one: len(one["workers"]) == 1)
        third.process.send_signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            found = first.call("GET", "/workers")
            took = time.monotonic() - began
            assert found["unreachable"] == [away]
            assert [one["name"] for one in found["workers"]] in ([], [f"server {away}"]), "it stands for its workers"
            assert took < 5, "half a second, and what a busy machine adds; the connection itself would wait for 10 s"
            assert second.call("GET", f"/runs/{waiting}")["unreachable"] == [away]
            assert first.call("GET", "/pools")["unreachable"] == [away]
            refused = httpx.post(f"{first.url}/v1/workers/w/drain", json={}, timeout=PATIENCE_S)
            assert (refused.status_code, refused.json()["code"]) == (503, "server-away")
            command = [*AETHER, "worker", "ls", "--server", first.url]
            told = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
            assert f"warning: no answer from {away}: what is there is left out" in told.stderr
        finally:
            third.process.send_signal(signal.SIGCONT)
        gate.touch()
        # the order may have reached the server while it was stopped, and is carried out now: then another worker is needed
        stack.enter_context(working(first.url, "--slots", "1", "--name", "x")).connected()
        assert second.result(waiting)["phase"] == "Succeeded"
