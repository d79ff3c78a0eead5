"""`aether serve` as a process, and what is asked of it over HTTP."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx

from tests.documents import script
from tests.e2e.process import AETHER, environment, read_until

PATIENCE_S = 60


class Served:
    """A server that is there. `process` has its journal on standard error."""

    words = ("serve", "serving ")  # the command, and with what it says where it answers

    def __init__(self, folder: Path, *options: str, port: int = 0, db: str = "runs.db", **env: str) -> None:
        self.folder = folder
        stored = ["--store", f"sqlite:{folder / db}"] if db else []
        command = [*AETHER, self.words[0], *stored, "--http-port", str(port), *options]
        self.process = subprocess.Popen(
            command, cwd=folder, env=environment(**env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )
        try:
            self.said = read_until(self.process.stderr, self.words[1])
        except AssertionError:
            self.process.communicate()
            raise
        found = re.search(r"https?://[\w.:\[\]]+\d", self.said)
        assert found is not None, self.said
        self.url = found[0]
        self.port = int(self.url.rpartition(":")[2])

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request; the answer's body, which is no problem."""
        answer = httpx.request(method, f"{self.url}/v1{path}", json=body, timeout=PATIENCE_S)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    def submit(self, source: str, **more: Any) -> str:
        """Begin a run of one script; its id."""
        run: str = self.call("POST", "/runs", {"document": script(source, **more)})["runId"]
        return run

    def result(self, run: str) -> dict[str, Any]:
        """Wait for the end of a run; its report."""
        until = time.monotonic() + PATIENCE_S
        while time.monotonic() < until:
            answer = httpx.get(f"{self.url}/v1/runs/{run}/result?wait=20s", timeout=PATIENCE_S)
            if answer.status_code == 200:
                report: dict[str, Any] = answer.json()
                return report
        raise AssertionError(f"run {run} did not end")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; the exit code and what it said from the start on."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, self.said + err


def grpc_url(server: Served) -> str:
    """Where it speaks gRPC."""
    found = re.search(r"gRPC and HTTP at (http://\S+)", server.said)
    assert found is not None, server.said
    return found[1]


@contextmanager
def served(folder: Path, *options: str, port: int = 0, db: str = "runs.db", **env: str) -> Iterator[Served]:
    """A server for as long as the block runs."""
    server = Served(folder, *options, port=port, db=db, **env)
    try:
        yield server
    finally:
        server.process.kill()
        server.process.communicate()


class Pages(Served):
    """`aether ui`, as `Served` is `aether serve`."""

    words = ("ui", "the pages of ")

    def run(self, run_id: str) -> dict[str, Any]:
        """The run as the server shows it."""
        found: dict[str, Any] = self.call("GET", f"/runs/{run_id}")
        return found


@contextmanager
def pages(folder: Path, *options: str, **more: Any) -> Iterator[Pages]:
    """`aether ui` for as long as the block runs."""
    ui = Pages(folder, "--no-browser", *options, **more)
    try:
        yield ui
    finally:
        ui.process.kill()
        ui.process.communicate()


def wait_for(holds: Callable[[], bool], seconds: float = 60.0) -> float:
    """Wait until something holds; how long it took."""
    began = time.monotonic()
    while not holds():
        assert time.monotonic() - began < seconds, "it never came"
        time.sleep(0.02)
    return time.monotonic() - began


def lines_in(file: Path) -> list[str]:
    """The lines of a file, which may not be there yet."""
    return file.read_text().split() if file.exists() else []


class Working:
    """`aether worker` as a process. `process` says what becomes of it on standard error."""

    def __init__(self, server: str, *options: str, **env: str) -> None:
        command = [*AETHER, "worker", "--server", server, *options]
        self.process = subprocess.Popen(
            command, env=environment(**env), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE, text=True,
        )

    def connected(self) -> None:
        """Wait until it has a session."""
        read_until(self.process.stderr, "connected to")

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal and wait; the exit code and what it still said."""
        self.process.send_signal(number)
        _, err = self.process.communicate(timeout=PATIENCE_S)
        return self.process.returncode, err


@contextmanager
def working(server: str, *options: str, **env: str) -> Iterator[Working]:
    """A worker for as long as the block runs."""
    worker = Working(server, *options, **env)
    try:
        yield worker
    finally:
        worker.process.kill()
        worker.process.communicate()
