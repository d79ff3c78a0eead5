"""Workers as real processes, over HTTP on the loopback: what happens to attempts when children, workers and servers die."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import uvicorn

from aether_protocol import Engine
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.engine.clock import SystemClock
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.server.app import make_app
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.views.report import Report

SECOND = 1_000_000
KEY = b"0123456789abcdef0123456789abcdef"


class Place:
    """A server in this process and workers in processes of their own."""

    def __init__(self, folder: Path, lease_s: float = 30.0) -> None:
        self.folder = folder
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        settings = FleetSettings(lease=round(lease_s * SECOND))
        self.broker = WorkerBroker(SystemClock(), KEY, settings=settings, secrets=[Vault()], beat_s=lease_s / 10, poll_s=5.0)
        self.workers: list[subprocess.Popen[bytes]] = []
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def open(self) -> None:
        app = make_app(ServerParts(workers=self.broker))
        config = uvicorn.Config(app, port=self.port, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._serving = asyncio.create_task(self._server.serve())
        await until(lambda: self._server is not None and self._server.started)

    async def close(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    def begin_worker(self, name: str, tasks: int = 2) -> subprocess.Popen[bytes]:
        made = f"Worker({self.url!r}, name={name!r}, slots={{'tasks': {tasks}}}, grace_s=5)"
        code = f"from aether_protocol.worker import Worker; {made}.run()"
        self.workers.append(subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE))
        return self.workers[-1]

    async def known(self, count: int) -> None:
        """Wait until so many workers have a session."""
        await until(lambda: len(self.broker.fleet.state.sessions) == count)

    def end_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
            worker.communicate()


class Vault:
    """Has one secret."""

    blocking = True

    def get(self, name: str, key: str) -> str | None:
        return "s3cr3t-value" if (name, key) == ("db", "password") else None


async def until(holds: Callable[[], bool], timeout_s: float = 15.0) -> float:
    """Wait until something holds; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, "it never came"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def place(folder: Path, lease_s: float = 30.0) -> AsyncIterator[tuple[Place, Engine]]:
    at = Place(folder, lease_s)
    try:
        async with Engine(store=f"sqlite:{folder}/runs.db", broker=at.broker) as engine:
            await at.open()
            try:
                yield at, engine
            finally:
                await at.close()
    finally:
        at.end_workers()


def script(source: str, **more: object) -> dict[str, object]:
    """A workflow of one script."""
    task = {"name": "job", "executor": {"type": "script", "config": {"source": source}}, **more}
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "one"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": [task]}}]},
    }


async def ended(engine: Engine, run: str, timeout_s: float = 20.0) -> Report:
    return await asyncio.wait_for(client_of(engine).runs.wait(run), timeout_s)


def pids_in(folder: Path) -> list[int]:
    """The process ids that scripts wrote down, in order."""
    file = folder / "pids"
    return [int(line) for line in file.read_text().split()] if file.exists() else []


def is_alive(pid: int) -> bool:
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] != "Z"


def children_of(pid: int) -> list[int]:
    """Child processes, and theirs."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found += [int(entry.name), *children_of(int(entry.name))]
    return found


def slow(folder: Path, seconds: float = 60) -> str:
    return f"echo $PPID >> {folder}/pids; echo began; sleep {seconds}; echo ended"


def test_a_run_is_carried_out_by_workers_and_its_log_is_whole(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(script("for n in 1 2 3; do echo line $n; done; echo {{workflow.name}}"))
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            lines = [line.text async for line in client_of(engine).runs.logs(run)]
            assert "".join(lines).split("\n")[:4] == ["line 1", "line 2", "line 3", "one"]

    asyncio.run(go())


def test_a_child_that_is_killed_is_reported_within_a_second_and_the_attempt_repeated(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(script(f"test -s {tmp_path}/pids && echo again > {tmp_path}/again; {slow(tmp_path, 2)}"))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            os.kill(pids_in(tmp_path)[0], signal.SIGKILL)
            assert await until(lambda: len(pids_in(tmp_path)) == 2) < 2.0, "a new child and the repetition included"
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            assert (tmp_path / "again").exists()

    asyncio.run(go())


def test_children_of_a_killed_worker_die_and_another_worker_takes_over_after_the_lease(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0) as (at, engine):
            first = at.begin_worker("w1")
            run = await engine.submit(script(slow(tmp_path, 1)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            below = children_of(first.pid)
            assert pids_in(tmp_path)[0] in below
            first.kill()
            assert await until(lambda: not any(map(is_alive, below))) < 1.0
            killed = time.monotonic()
            at.begin_worker("w2")
            await until(lambda: len(pids_in(tmp_path)) == 2)
            assert 1.0 < time.monotonic() - killed < 4.5, "never before the lease has ended, and soon after"
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_an_outage_of_the_server_within_the_lease_repeats_nothing_and_loses_no_line(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=12.0) as (at, engine):
            at.begin_worker("w1")
            run = await engine.submit(
                script(f"echo $PPID >> {tmp_path}/pids; for n in 1 2 3 4 5 6; do echo line $n; sleep 0.5; done")
            )
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await at.close()
            await asyncio.sleep(4)
            await at.open()
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            assert len(pids_in(tmp_path)) == 1
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert text.split() == [word for n in range(1, 7) for word in ("line", str(n))]

    asyncio.run(go())


def test_a_worker_that_cannot_reach_its_server_stops_its_work_before_the_lease_ends(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=3.0) as (at, engine):
            worker = at.begin_worker("w1")
            await engine.submit(script(slow(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            (program,) = pids_in(tmp_path)
            await at.close()
            gone = await until(lambda: not is_alive(program))
            assert gone < 3.0
            assert worker.poll() is None, "the supervisor stays"

    asyncio.run(go())


def test_a_first_signal_lets_attempts_end_and_a_second_gives_them_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            first = at.begin_worker("w1", tasks=1)
            run = await engine.submit(script(slow(tmp_path, 1)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            first.terminate()
            assert (await ended(engine, run)).phase == "Succeeded"
            assert await asyncio.to_thread(first.wait, 10) == 0
            assert len(pids_in(tmp_path)) == 1
            second = at.begin_worker("w2", tasks=1)
            run = await engine.submit(script(slow(tmp_path, 2)))
            await until(lambda: len(pids_in(tmp_path)) == 2)
            second.terminate()
            await asyncio.sleep(0.2)
            second.terminate()
            assert await asyncio.to_thread(second.wait, 10) == 0
            at.begin_worker("w3", tasks=1)
            await until(lambda: len(pids_in(tmp_path)) == 3)
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_a_cancelled_attempt_ends_at_its_worker_within_its_grace(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1", tasks=1)
            run = await engine.submit(script(slow(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            await client_of(engine).control.cancel(run)
            assert (await ended(engine, run)).phase == "Cancelled"
            await until(lambda: not is_alive(pids_in(tmp_path)[0]), 7)
            run = await engine.submit(script("echo free"))
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_secrets_are_fetched_by_the_worker_and_masked_in_what_comes_back(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.begin_worker("w1")
            source = "echo got {{inputs.parameters.password}}; printf %s {{inputs.parameters.password}} > " + f"{tmp_path}/seen"
            secret = {"name": "password", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            run = await engine.submit(script(source, inputs={"parameters": [secret]}))
            report = await ended(engine, run)
            assert report.phase == "Succeeded", report
            assert (tmp_path / "seen").read_text() == "s3cr3t-value"
            text = "".join([line.text async for line in client_of(engine).runs.logs(run)])
            assert "s3cr3t" not in text
            assert "got ***" in text

    asyncio.run(go())
