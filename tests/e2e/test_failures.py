"""What fails around workers, as real processes: machines that freeze, tokens that expire, vaults that are away, proxies that
cut what is silent, clocks that jump, logs that the server does not take. docs/explanation/failures.md says what follows."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from aether_protocol.adapters.brokers.fleet_view import waiting_of
from aether_protocol.errors import PortError
from aether_protocol.server import sse
from aether_protocol.server.grpc import edge
from aether_protocol.service import client_of
from aether_protocol.worker import grpc as worker_grpc
from tests.documents import script
from tests.e2e.process import aether
from tests.e2e.servers import grpc_url, served, wait_for, working
from tests.e2e.worker_place import children_of, ended, pids_in, place, slow, until

# --- a machine that freezes ---


@contextlib.contextmanager
def frozen(pid: int) -> Iterator[None]:
    """Stop a process and all below it, as a machine that is suspended does."""
    below = [pid, *children_of(pid)]
    for one in below:
        os.kill(one, signal.SIGSTOP)
    try:
        yield
    finally:
        for one in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(one, signal.SIGCONT)


def test_a_machine_that_freezes_for_longer_than_its_lease_overlaps_under_one_key_and_gives_one_result(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=2.0) as (at, engine):
            first = at.begin_worker("w1", tasks=1)
            key = f"echo $AETHER_IDEMPOTENCY_KEY >> {tmp_path}/keys; "
            run = await engine.submit(script(key + slow(tmp_path, 2)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            with frozen(first.pid):
                at.begin_worker("w2", tasks=1)
                await until(lambda: len(pids_in(tmp_path)) == 2)
            report = await ended(engine, run)
            assert report.phase == "Succeeded"
            keys = (tmp_path / "keys").read_text().split()
            assert (len(keys), len(set(keys))) == (2, 1)
            await at.known(2)  # it says hello anew, and what it had is stopped
            first_ones = children_of(first.pid)
            assert pids_in(tmp_path)[0] not in first_ones, "a child that was stopped is not used again"
            run = await engine.submit(script("true"))
            assert (await ended(engine, run)).phase == "Succeeded"

    asyncio.run(go())


def test_a_run_whose_worker_is_gone_is_cancelled_at_once(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path, lease_s=600.0) as (at, engine):
            worker = at.begin_worker("w1")
            run = await engine.submit(script(slow(tmp_path)))
            await until(lambda: len(pids_in(tmp_path)) == 1)
            with frozen(worker.pid):
                await client_of(engine).control.cancel(run)
                assert (await ended(engine, run)).phase == "Cancelled"

    asyncio.run(go())


# --- tokens ---


@pytest.mark.rule("RT-147")
@pytest.mark.parametrize("over", ["http", "grpc"])
def test_a_token_that_expires_in_mid_task_costs_nothing_and_brings_no_more_work(tmp_path: Path, over: str) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    admin = aether("token", "create", "--name", "root", "--role", "admin", "--all-namespaces", "--store", store).stdout.strip()
    port = ["--grpc-port", "0"] if over == "grpc" else []
    with served(tmp_path, "--no-workers", *port) as server:
        head = {"authorization": f"Bearer {admin}"}
        until_then = time.time() + 6
        made = httpx.post(
            f"{server.url}/v1/tokens",
            headers=head,
            json={"kind": "worker", "name": "w", "roles": {"*": "worker"}, "expiresAt": instant(until_then)},
        ).json()
        url = grpc_url(server) if over == "grpc" else server.url
        options = ["--slots", "1", *(["--grpc"] if over == "grpc" else [])]
        with working(url, *options, AETHER_TOKEN=made["token"]) as worker:
            worker.connected()

            def submit(source: str) -> str:
                answer = httpx.post(f"{server.url}/v1/runs", headers=head, json={"document": script(source)}).json()
                return str(answer["runId"])

            def run_of(run: str) -> dict[str, Any]:
                found: dict[str, Any] = httpx.get(f"{server.url}/v1/runs/{run}", headers=head).json()
                return found

            run = submit(f"echo $PPID >> {tmp_path}/pids; until test -e {tmp_path}/open; do sleep 0.1; done; echo done")
            wait_for(lambda: len(pids_in(tmp_path)) == 1)
            wait_for(lambda: time.time() > until_then)
            later = submit("true")
            wait_for(lambda: "draining" in json.dumps(httpx.get(f"{server.url}/v1/workers", headers=head).json()))
            (tmp_path / "open").touch()
            wait_for(lambda: run_of(run)["phase"] == "Succeeded")
            assert len(pids_in(tmp_path)) == 1
            assert worker.process.wait(20) == 0, "it has nothing more to do"
            assert run_of(later)["phase"] == "Ready"
            log = httpx.get(f"{server.url}/v1/runs/{run}/logs", headers=head).text
            assert "done" in log
        with working(url, *options, AETHER_TOKEN=made["token"]) as worker:
            assert worker.process.wait(20) != 0
            assert "expired" in worker.process.stderr.read()  # type: ignore[union-attr]


def instant(at: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))


# --- a vault that is away ---


class Away:
    """A vault with one secret, which may be away."""

    blocking = True

    def __init__(self) -> None:
        self.is_away = True
        self.asked = 0

    def get(self, name: str, key: str) -> str | None:
        self.asked += 1
        if self.is_away:
            raise PortError("the vault is sealed")
        return "s3cr3t-value" if (name, key) == ("db", "password") else None


def test_a_vault_that_is_away_at_the_fetch_delays_an_attempt_with_its_reason_and_fails_none(tmp_path: Path) -> None:
    vault = Away()

    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            at.broker._secrets.providers = (vault,)
            at.begin_worker("w1")
            text = f"echo $PPID >> {tmp_path}/pids; test $PASSWORD = s3cr3t-value"
            secret = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
            run = await engine.submit(
                script("export PASSWORD={{inputs.parameters.p}}; " + text, inputs={"parameters": [secret]})
            )
            await until(lambda: any(one.code == "refused" for one in waiting_of(at.broker, run)))
            (waits,) = waiting_of(at.broker, run)
            assert "secrets cannot be had" in waits.reason
            assert pids_in(tmp_path) == [], "it did not begin"
            vault.is_away = False
            report = await ended(engine, run)
            assert (report.phase, [one.retries for one in report.tasks if one.path.endswith("job")]) == ("Succeeded", [0])

    asyncio.run(go())


# --- workers that do not have what is asked for ---


def test_what_no_worker_can_carry_out_waits_with_its_reason_and_is_an_error_after_its_longest_wait(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers") as server, working(server.url, "--executors", "noop") as worker:
        worker.connected()
        run = server.submit("true", extensions={"placement": {"waitAtMost": "4s"}})
        wait_for(lambda: bool(server.call("GET", f"/runs/{run}/waiting")["waiting"]))
        (waits,) = server.call("GET", f"/runs/{run}/waiting")["waiting"]
        assert (waits["code"], "'script'" in waits["reason"]) == ("no-executor", True)
        report = server.result(run)
        assert report["phase"] == "Error"
        (job,) = [one for one in report["tasks"] if one["path"].endswith("job")]
        assert "longest wait" in job["message"]


# --- a proxy that cuts what is silent ---


class SilenceCutter:
    """Forwards connections to a port, and cuts those on which nothing went either way for so long."""

    def __init__(self, port: int, idle_s: float) -> None:
        self._target, self._idle_s = port, idle_s
        self.cuts = 0
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> SilenceCutter:
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self._target), 5) as server:
            server.settimeout(None)
            last = [time.monotonic()]
            ends = [(client, server), (server, client)]
            pumps = [threading.Thread(target=self._pump, args=(*pair, last), daemon=True) for pair in ends]
            for one in pumps:
                one.start()
            while all(one.is_alive() for one in pumps):
                if time.monotonic() - last[0] > self._idle_s:
                    self.cuts += 1
                    break
                time.sleep(0.02)
            for one in (client, server):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            for pump in pumps:
                pump.join()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, last: list[float]) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                last[0] = time.monotonic()
                target.sendall(data)


def test_a_proxy_that_cuts_polls_loses_and_doubles_nothing(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            with SilenceCutter(at.port, 0.5) as proxy:  # the place answers a poll after 5 s
                at.begin_worker("w1", url=proxy.url)
                await at.known(1)
                for count in range(1, 4):
                    await until(lambda count=count: proxy.cuts >= count)  # type: ignore[misc]
                    run = await engine.submit(script(slow(tmp_path, 1)))
                    assert (await ended(engine, run)).phase == "Succeeded"
                    assert len(pids_in(tmp_path)) == count

    asyncio.run(go())


def test_what_is_silent_says_something_before_proxies_cut_it(tmp_path: Path) -> None:
    """Proxies cut after a minute as a rule, some after half of it."""
    assert sse.HEARTBEAT_S <= 20
    assert edge.KEEPALIVE_MS == worker_grpc.KEEPALIVE_MS == 20_000
    with served(tmp_path, "--no-workers") as server:
        hello = {"worker": "w", "protocols": [1], "executors": [{"name": "script"}], "slots": {"tasks": 1}}
        assert server.call("POST", "/workers", hello)["pollMs"] <= 25_000, "so long a poll is silent"
        run = server.submit("true")
        with (
            SilenceCutter(server.port, 18.0) as proxy,
            httpx.stream(
                "GET", f"{proxy.url}/v1/runs/{run}/events/follow", headers={"host": f"127.0.0.1:{server.port}"}, timeout=60
            ) as stream,
        ):
            lines = stream.iter_lines()
            while next(lines) != ":":
                pass
            assert proxy.cuts == 0, "the comment came after 15 s, through a proxy that cuts after 18"


# --- clocks ---

JUMPS = """
import os, time

_time, _time_ns, _file = time.time, time.time_ns, os.environ["CLOCK_FILE"]

def _by():
    try:
        with open(_file) as file:
            return float(file.read() or 0)
    except (OSError, ValueError):
        return 0.0

time.time = lambda: _time() + _by()
time.time_ns = lambda: _time_ns() + int(_by() * 1e9)
"""


@pytest.mark.parametrize("hours", [0.9, -2])  # the deadline of a task is an hour away
@pytest.mark.parametrize("where", ["server", "worker"])
def test_a_clock_that_jumps_in_mid_task_repeats_nothing(tmp_path: Path, where: str, hours: float) -> None:
    (tmp_path / "sitecustomize.py").write_text(JUMPS)
    env = {
        "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        "CLOCK_FILE": str(tmp_path / "offset"),
    }
    of_server, of_worker = (env, {}) if where == "server" else ({}, env)
    with served(tmp_path, "--no-workers", "--lease", "4", **of_server) as server, working(server.url, **of_worker) as worker:
        worker.connected()
        run = server.submit(slow(tmp_path, 6))
        wait_for(lambda: len(pids_in(tmp_path)) == 1)
        (tmp_path / "offset.new").write_text(str(hours * 3600))
        (tmp_path / "offset.new").rename(tmp_path / "offset")
        assert server.result(run)["phase"] == "Succeeded"
        assert len(pids_in(tmp_path)) == 1


# --- logs ---


def test_a_server_that_takes_no_logs_holds_up_no_result_and_the_oldest_lines_go_with_a_note(tmp_path: Path) -> None:
    async def go() -> None:
        async with place(tmp_path) as (at, engine):
            logs: Any = engine._store.logs
            write, refused = logs.write, 0

            async def full(lines: Any) -> None:
                nonlocal refused
                refused += 1
                raise PortError("the disk is full")

            logs.write = full
            at.begin_worker("w1", log_bytes=2**20)
            run = await engine.submit(
                script("seq -f 'line %g of a log that is long' 1 300000; echo $PPID >> " + f"{tmp_path}/pids")
            )
            await until(lambda: len(pids_in(tmp_path)) == 1, 30)
            began = time.monotonic()
            assert (await ended(engine, run)).phase == "Succeeded"
            assert time.monotonic() - began < 20.0, "2 s for the log, and what a busy machine takes"
            assert refused
            logs.write = write

            async def text() -> str:
                return "".join([line.text async for line in client_of(engine).runs.logs(run)])

            for _ in range(300):
                found = await text()
                if found.endswith("line 300000 of a log that is long\n"):
                    break
                await asyncio.sleep(0.1)
            assert found.endswith("line 300000 of a log that is long\n")
            assert "were dropped" in found

    asyncio.run(go())
