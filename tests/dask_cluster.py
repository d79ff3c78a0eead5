"""A Dask cluster of real processes on the loopback, and a way to its scheduler that can be cut."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PATIENCE_S = 60.0


class DaskProcesses:
    """A scheduler and its workers. `workers` by name; their standard error is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self.workers: dict[str, subprocess.Popen[bytes]] = {}
        self.scheduler: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start the scheduler: the first time at a port that the system names, then at the same one."""
        file = self.folder / "scheduler.json"
        file.unlink(missing_ok=True)
        self.scheduler = self._run(
            *("scheduler", "--port", str(self.port), "--no-dashboard", "--dashboard-address", "127.0.0.1:0"),
            *("--scheduler-file", str(file)),
        )
        deadline = time.monotonic() + PATIENCE_S
        while not file.exists() or not file.read_text().strip():
            assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        self.port = int(json.loads(file.read_text())["address"].rpartition(":")[2])

    @property
    def address(self) -> str:
        return f"tcp://127.0.0.1:{self.port}"

    def add(self, name: str, threads: int = 1, *options: str) -> subprocess.Popen[bytes]:
        """Start a worker."""
        limits = ("--no-nanny", "--no-dashboard", "--nthreads", str(threads), "--memory-limit", "0")
        self.workers[name] = self._run(
            "worker", self.address, "--name", name, "--local-directory", str(self.folder), *limits, *options, log=name
        )
        return self.workers[name]

    def _run(self, what: str, *options: str, log: str = "scheduler") -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", f"distributed.cli.dask_{what}", *options, "--host", "127.0.0.1"]
        with (self.folder / f"{log}.log").open("ab") as errors:
            return subprocess.Popen(command, stderr=errors, env={**os.environ, "AETHER_CONFIG": os.devnull})

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        """Kill all of it."""
        for process in (*self.workers.values(), self.scheduler):
            if process is not None:
                process.kill()
                process.wait()


class Wire:
    """A port that leads to another one, as long as it is not cut."""

    def __init__(self) -> None:
        self._target = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_cut = False
        self.port = 0

    async def start(self, target: int) -> None:
        self._target = target
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Lose all connections, and refuse others."""
        self.is_cut = True
        for writer in list(self._open):
            writer.transport.abort()

    def mend(self) -> None:
        self.is_cut = False

    async def close(self) -> None:
        self.cut()
        if self._server is not None:
            self._server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task: Any = asyncio.current_task()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.is_cut:
            writer.transport.abort()
            return
        try:
            there, here = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._open |= {writer, here}
        try:
            await asyncio.gather(self._pass(reader, here), self._pass(there, writer), return_exceptions=True)
        finally:
            self._open -= {writer, here}
            writer.transport.abort()
            here.transport.abort()

    @staticmethod
    async def _pass(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(65_536):
            target.write(data)
            await target.drain()
        target.transport.abort()
