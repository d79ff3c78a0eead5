"""A server as a whole, in the process of the test: what its parts are given of each other."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from aether_protocol.assembly.stores import open_store
from aether_protocol.ports.wire import TaskResult
from aether_protocol.ports.wire_json import decode_assignment, encode_result
from aether_protocol.ports.worker import ExecutorOffer, Hello, Poll, ResultReport, WorkReport
from aether_protocol.server.hosting.host import ServerHost
from aether_protocol.server.hosting.listening import listen
from aether_protocol.server.hosting.settings import HostSettings
from aether_protocol.service import client_of
from aether_protocol.views.report import Report
from tests.documents import submitted
from tests.e2e.worker_place import children_of

ABSENT = f"sha256:{hashlib.sha256(b'never sent').hexdigest()}"


@contextlib.asynccontextmanager
async def hosting(store: str, **settings: Any) -> AsyncIterator[ServerHost]:
    """A server that serves as long as the block runs."""
    host = ServerHost(open_store(store), HostSettings(port=0, grace_s=0, **settings), lambda event: None)
    await host.open()
    leaving = asyncio.Event()
    serving = asyncio.create_task(host.serve(leaving))
    try:
        yield host
    finally:
        leaving.set()
        await serving
        await host.close()


async def ended(host: ServerHost, run: str) -> Report:
    return await asyncio.wait_for(client_of(host.engine).runs.wait(run), 30)


def children_of_workers() -> list[int]:
    """Children of this process that carry attempts out."""
    lines = {pid: Path(f"/proc/{pid}/cmdline").read_text() for pid in children_of(os.getpid())}
    return [pid for pid, line in lines.items() if "aether_protocol.worker.child" in line]


@pytest.mark.rule("RT-132")
@pytest.mark.parametrize("digest", [ABSENT, "none"])
def test_a_result_whose_artifact_was_never_sent_is_an_error(tmp_path: Path, digest: str) -> None:
    async def go() -> None:
        async with hosting(f"sqlite:{tmp_path}/runs.db", workers=False) as host:
            run = await host.engine.submit(submitted({"name": "job", "executor": {"type": "noop"}}))
            hello = Hello(worker="w", protocols=[1], executors=[ExecutorOffer(name="noop")], slots={"tasks": 1})
            session = host.broker.hello(hello).session
            (item,) = (await host.broker.poll(session, Poll(poll=1, free=1, holding=[]))).work
            ref = decode_assignment(item.assignment).ref
            made = encode_result(TaskResult(ref, 0, artifacts={"made": {"name": "made", "digest": digest, "size": 10}}))
            await host.broker.report(session, WorkReport(results=[ResultReport(token=item.token, result=made)]))
            report = await ended(host, run)
            task = report.tasks[-1]
            assert (task.phase, "'made', which it has not sent" in task.message) == ("Error", True), report

    asyncio.run(go())


def test_inline_attempts_of_the_embedded_worker_share_few_processes(tmp_path: Path) -> None:
    async def go() -> None:
        others = set(children_of_workers())  # of tests before
        async with hosting(f"sqlite:{tmp_path}/runs.db", slots={"tasks": 100}) as host:
            tasks = [{"name": f"t{number}", "executor": {"type": "noop"}} for number in range(150)]
            report = await ended(host, await host.engine.submit(submitted(*tasks)))
            assert report.phase == "Succeeded"
            assert 1 <= len(set(children_of_workers()) - others) <= (os.cpu_count() or 1)

    asyncio.run(go())


def test_runs_in_memory_are_not_recovered_while_they_are_driven(tmp_path: Path) -> None:
    async def go() -> None:
        async with hosting("memory") as host:
            executor = {"type": "script", "config": {"source": f"echo once >> {tmp_path}/seen; sleep 2.5"}}
            report = await ended(host, await host.engine.submit(submitted({"name": "job", "executor": executor})))
            assert report.phase == "Succeeded"
            assert (tmp_path / "seen").read_text() == "once\n"

    asyncio.run(go())


@pytest.mark.parametrize("durable", [True, False])
def test_tasks_of_a_run_share_its_folder_at_the_embedded_worker(tmp_path: Path, durable: bool) -> None:
    async def go() -> None:
        async with hosting(f"sqlite:{tmp_path}/runs.db" if durable else "memory", slots={"tasks": 2}) as host:
            write = {"name": "a", "executor": {"type": "script", "config": {"source": "echo shared > $AETHER_RUN_DIR/it"}}}
            source = f"cat $AETHER_RUN_DIR/it >> {tmp_path}/seen; echo $AETHER_RUN_DIR > {tmp_path}/where; sleep 0.5"
            read = {"dependencies": ["a"], "executor": {"type": "script", "config": {"source": source}}}
            several = [{"name": name, **read} for name in ("b", "c")]  # at the same time, so in two processes
            report = await ended(host, await host.engine.submit(submitted(write, *several)))
            assert report.phase == "Succeeded", report
            assert (tmp_path / "seen").read_text() == "shared\n" * 2

    asyncio.run(go())
    assert not Path((tmp_path / "where").read_text().strip()).exists(), "it ends with its run, or the server"


def test_feeds_fires_and_requests_are_counted_also_with_a_port_of_its_own_for_metrics(tmp_path: Path) -> None:
    async def go() -> None:
        async with hosting(f"sqlite:{tmp_path}/runs.db", workers=False, metrics_port=0) as host, httpx.AsyncClient() as client:
            assert (await client.get(f"{host.url}/metrics")).status_code == 404
            assert (await client.get(f"{host.url}/v1/runs")).status_code == 200
            assert host._metrics is not None
            async with client.stream("GET", f"{host.url}/v1/changes/follow", headers={"accept": "text/event-stream"}) as feed:
                assert feed.status_code == 200
                assert "aether_sse_clients 1.0" in host._metrics.text().decode()
            for _ in range(100):
                if "aether_sse_clients 0.0" in host._metrics.text().decode():
                    break
                await asyncio.sleep(0.02)
            found = host._metrics.text().decode()
            assert "aether_sse_clients 0.0" in found
            assert 'aether_http_request_seconds_count{code="200",route="/v1/runs"} 1.0' in found

    asyncio.run(go())


def test_the_end_of_an_answer_does_not_wait_for_an_acknowledgement() -> None:
    async def go() -> None:
        at_once: asyncio.Future[int] = asyncio.get_running_loop().create_future()

        async def accept(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            made = writer.get_extra_info("socket")
            at_once.set_result(made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = listen("127.0.0.1", 0)
        async with await asyncio.start_server(accept, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            assert await at_once
            writer.close()

    asyncio.run(go())
