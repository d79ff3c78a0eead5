"""Faults of machines around a server: a full disk, clocks that are an hour off, and what is not a server at all."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import httpx2 as httpx
import pytest

from tests.documents import script
from tests.e2e.process import AETHER, aether, environment, read_until
from tests.e2e.servers import Served, served, wait_for, working

WAITS = "until test -e {0}/open; do echo tick; sleep 0.05; done"


def limit_files(server: Served, size: int) -> int:
    """Let no file of a server grow beyond a size, as on a full disk; what the limit was."""
    before = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (size, before[1]))
    return before[0]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="limits of another process are Linux's")
def test_a_full_disk_of_the_server_refuses_new_runs_and_loses_none(tmp_path: Path) -> None:
    document = tmp_path / "large.json"
    document.write_text(json.dumps(script("echo " + "y" * 200_000)))
    with served(tmp_path, "--no-workers") as server, working(server.url) as worker:
        worker.connected()
        run = server.submit(WAITS.format(tmp_path) + "; echo $((6 * 7)) >> result; cat result")
        wait_for(lambda: server.call("GET", f"/runs/{run}")["phase"] == "Running")
        before = limit_files(server, (tmp_path / "runs.db-wal").stat().st_size)
        refused = httpx.post(f"{server.url}/v1/runs", json={"document": script("echo " + "x" * 200_000)}, timeout=60)
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable"), refused.text
        assert "disk" in refused.json()["detail"]
        waits = subprocess.Popen(
            [*AETHER, "run", str(document), "--detach", "--server", server.url],
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert "disk" in read_until(waits.stderr, "trying again")
        (tmp_path / "open").touch()  # its result finds no room
        said = read_until(server.process.stderr, "disk")
        assert "Traceback" not in said
        assert server.call("GET", f"/runs/{run}")["phase"] == "Running", "what was recorded is still shown"
        limit_files(server, before)
        assert server.result(run)["phase"] == "Succeeded"
        begun, _ = waits.communicate(timeout=60)
        assert waits.returncode == 0, "there was room in time"
        assert server.result(begun.strip())["phase"] == "Succeeded"
        store = f"sqlite:{tmp_path}/runs.db"
        wait_for(lambda: aether("logs", run, "--store", store).stdout.splitlines()[-1:] == ["main.job | 42"])
        assert aether("db", "check", "--store", store).returncode == 0


CLOCK = """
import os, time

_by, _time, _time_ns = float(os.environ.get("CLOCK_OFF", "0")), time.time, time.time_ns
time.time = lambda: _time() + _by
time.time_ns = lambda: _time_ns() + int(_by * 1e9)
"""


@pytest.mark.parametrize("hours", [1, -1])
def test_a_worker_whose_clock_is_an_hour_off_works_like_others(tmp_path: Path, hours: int) -> None:
    (tmp_path / "sitecustomize.py").write_text(CLOCK)
    path = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    env = {"PYTHONPATH": path, "CLOCK_OFF": str(hours * 3600)}
    with served(tmp_path, "--no-workers", "--lease", "3") as server, working(server.url, **env) as worker:
        worker.connected()
        run = server.submit("for n in 1 2 3 4 5 6 7 8 9; do echo $n; sleep 0.5; done", timeout="60s")
        report = server.result(run)
        assert (report["phase"], report["message"]) == ("Succeeded", "")
        log = aether("logs", run, "--store", f"sqlite:{tmp_path}/runs.db").stdout.split()
        assert log[2::3] == [str(number) for number in range(1, 10)], "once: the lease was renewed all the time"


class Foreign(BaseHTTPRequestHandler):
    """Another program."""

    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = b"<html>\n<h1>Welcome to nginx!</h1>\n</html>"
        self.send_response(501)
        self.send_header("content-type", "text/html")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def foreign() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_what_is_not_a_server_of_ours_is_named_as_that() -> None:
    with foreign() as url:
        done = aether("ls", "--server", url)
        assert done.returncode in (2, 9)
        assert "not" in done.stderr
        assert "Aether server" in done.stderr
        with working(url) as worker:
            said = read_until(worker.process.stderr, "it is tried again")
    assert f"what answers at {url} (status 501) is not an Aether server (check the URL)" in said
    assert "<" not in said


def test_a_body_that_ends_in_the_middle_changes_nothing(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers") as server:
        for body in (b'{"document": {"apiVersion"', b'{"document":'):
            with socket.create_connection(("127.0.0.1", server.port)) as connection:
                head = f"POST /v1/runs HTTP/1.1\r\nhost: 127.0.0.1:{server.port}\r\ncontent-type: application/json\r\n"
                connection.sendall(f"{head}content-length: 4000\r\n\r\n".encode() + body)
        assert server.call("GET", "/runs")["runs"] == []
        assert server.call("GET", f"/runs/{server.submit('true')}")["phase"] == "Ready"
        code, said = server.end()
        assert code == 0
        assert "internal error" not in said


NO_REQUESTS = (
    b"\x16\x03\x01\x02\x00 is no HTTP\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: -1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
)


def test_what_is_no_request_is_answered_and_fills_no_log(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers", "--log-format", "json") as server:
        for data in NO_REQUESTS:
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(data)
                answer = connection.recv(100)
                assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 200")), "an upgrade is not begun: it gets the page"
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.process.terminate()
        assert server.process.stderr is not None
        for line in server.process.stderr.read().splitlines():
            json.loads(line)
            assert "request" not in line
