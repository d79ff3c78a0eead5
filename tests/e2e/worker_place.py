"""A server in the process of a test, and workers in processes of their own, over HTTP on the loopback."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvicorn

from aether_protocol import Engine
from aether_protocol.adapters.artifacts.repository import LocalRepository
from aether_protocol.adapters.artifacts.transfers import ArtifactTransfers
from aether_protocol.adapters.brokers.workers import WorkerBroker
from aether_protocol.engine.clock import SystemClock
from aether_protocol.fleet.machine import FleetSettings
from aether_protocol.server.app import make_app
from aether_protocol.server.grpc.port import GrpcPort
from aether_protocol.server.parts import ServerParts
from aether_protocol.service import client_of
from aether_protocol.views.report import Report

SECOND = 1_000_000
KEY = b"0123456789abcdef0123456789abcdef"


class Place:
    """A server in this process and workers in processes of their own. With `grpc` they talk gRPC to it."""

    def __init__(self, folder: Path, lease_s: float = 30.0, *, grpc: bool = False) -> None:
        self.folder = folder
        self.grpc = grpc
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        settings = FleetSettings(lease=round(lease_s * SECOND))
        self.artifacts = LocalRepository(folder / "server-artifacts")
        self.broker = WorkerBroker(
            SystemClock(),
            KEY,
            settings=settings,
            secrets=[Vault()],
            artifacts=self.artifacts,
            beat_s=lease_s / 10,
            poll_s=5.0,
        )
        self.workers: list[subprocess.Popen[bytes]] = []
        self._server: uvicorn.Server | None = None
        self._serving: asyncio.Task[None] | None = None
        self._front: GrpcPort | None = None

    async def open(self) -> None:
        parts = ServerParts(workers=self.broker, artifacts=ArtifactTransfers(self.artifacts))
        port = 0 if self.grpc else self.port
        config = uvicorn.Config(make_app(parts), port=port, log_level="warning", timeout_graceful_shutdown=1)
        self._server = uvicorn.Server(config)
        self._server.install_signal_handlers = lambda: None  # type: ignore[attr-defined]
        self._serving = asyncio.create_task(self._server.serve())
        await until(lambda: self._server is not None and self._server.started)
        if self.grpc:
            at = socket.socket()
            at.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            at.bind(("127.0.0.1", self.port))
            at.listen()
            at.setblocking(False)
            self._front = GrpcPort(at, None)
            await self._front.start(parts, self._server)

    async def close(self) -> None:
        if self._front is not None:
            await self._front.close()
            self._front = None
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving

    def begin_worker(self, name: str, tasks: int = 2, url: str | None = None, **more: object) -> subprocess.Popen[bytes]:
        """Begin a worker whose artifacts are in a folder of its own; `more` are further arguments of Worker."""
        cache = str(self.folder / f"cache-{name}")
        options = {"name": name, "slots": {"tasks": tasks}, "grace_s": 5, "cache": cache, "grpc": self.grpc, **more}
        made = f"Worker({url or self.url!r}, **{options!r})"
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


async def until(holds: Callable[[], bool], timeout_s: float = 60.0) -> float:
    """Wait until something holds; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < timeout_s, "it never came"
        await asyncio.sleep(0.01)
    return time.monotonic() - began


@contextlib.asynccontextmanager
async def place(
    folder: Path, lease_s: float = 30.0, *, grpc: bool = False, **options: Any
) -> AsyncIterator[tuple[Place, Engine]]:
    """A place and an engine over it."""
    at = Place(folder, lease_s, grpc=grpc)
    store = f"sqlite:{folder}/runs.db"
    try:
        async with Engine(store=store, broker=at.broker, artifacts=at.artifacts, **options) as engine:
            await at.open()
            try:
                yield at, engine
            finally:
                await at.close()
    finally:
        at.end_workers()


async def ended(engine: Engine, run: str, timeout_s: float = 60.0) -> Report:
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


def slow_at_first(folder: Path) -> str:
    """A script that takes minutes, and no time when it is repeated."""
    return f"test -s {folder}/pids && pause=0 || pause=200; echo $PPID >> {folder}/pids; sleep $pause"
