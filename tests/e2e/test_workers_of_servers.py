"""Workers of several servers on one store, as real processes: what happens to attempts when a server dies."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from aether_protocol.server.hosting.host import BEATS
from tests.e2e.servers import Served, grpc_url, lines_in, served, wait_for, working
from tests.postgres import database_url

pytestmark = pytest.mark.rule("RT-146")

LEASE_S = 30  # a machine that is busy must not end it


def sqlite_url(folder: Path) -> str:
    return f"sqlite:{folder}/runs.db"


def postgres_url(_: Path) -> str:
    return database_url()


def begin(folder: Path, number: int, seconds: float) -> str:
    """A script that writes down each time that it is begun and that it has ended, and logs a line in between."""
    begun, done = folder / f"begun-{number}", folder / f"done-{number}"
    return f"echo x >> {begun}; echo line {number}; sleep {seconds}; echo end {number}; echo x >> {done}"


@pytest.mark.parametrize("url_of", [sqlite_url, postgres_url])
def test_what_runs_at_a_worker_when_its_server_is_killed_ends_once(tmp_path: Path, url_of: Callable[[Path], str]) -> None:
    """The worker finds one of the two other servers, and both take over runs: one of them drives runs whose attempts are at a
    worker of the other."""
    many = 6
    with ExitStack() as stack:

        def server() -> Served:
            options = ("--store", url_of_store, "--no-workers", "--lease", str(LEASE_S))
            return stack.enter_context(served(tmp_path, *options, db=""))

        url_of_store = url_of(tmp_path)
        first = server()
        options = ("--slots", str(many), "--name", "w")
        second, third = server(), server()
        worker = stack.enter_context(working(first.url, "--server", second.url, *options))
        worker.connected()
        runs = [first.submit(begin(tmp_path, number, 8)) for number in range(many)]
        wait_for(lambda: all(lines_in(tmp_path / f"begun-{number}") for number in range(many)))
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        reports = [third.result(run) for run in runs]
        assert [one["phase"] for one in reports] == ["Succeeded"] * many
        for name in ("begun", "done"):
            assert [len(lines_in(tmp_path / f"{name}-{number}")) for number in range(many)] == [1] * many
        logs = [third.call("GET", f"/runs/{run}/logs")["logs"] for run in runs]
        assert [sorted(line["text"].strip() for line in one if line["stream"] == "stdout") for one in logs] == [
            [f"end {number}", f"line {number}"] for number in range(many)
        ]
        journals = [server.end()[1] for server in (second, third)]
        assert all("recovered run" in one for one in journals), "else none of them was relayed for"
        assert not any("Traceback" in one for one in journals)


@pytest.mark.rule("RT-152")
@pytest.mark.parametrize("edge", ["http", "grpc"])
def test_a_worker_that_was_given_one_server_continues_at_another_when_that_is_killed(tmp_path: Path, edge: str) -> None:
    """It was told of the others by its server. One of them begins after the worker: a beat names it."""
    with ExitStack() as stack:

        def server(*more: str) -> Served:
            options = ("--store", sqlite_url(tmp_path), "--no-workers", "--lease", str(LEASE_S), *more)
            return stack.enter_context(served(tmp_path, *options, db=""))

        first = server(*(("--grpc-port", "0") if edge == "grpc" else ()))
        url, more = (grpc_url(first), ("--grpc",)) if edge == "grpc" else (first.url, ())
        worker = stack.enter_context(working(url, "--slots", "2", "--name", "w", *more))
        worker.connected()
        second = server()
        run = first.submit(begin(tmp_path, 1, 12))
        wait_for(lambda: bool(lines_in(tmp_path / "begun-1")))
        time.sleep(2 * LEASE_S / BEATS)  # a beat has named the second one
        first.process.send_signal(signal.SIGKILL)
        first.process.wait()
        worker.connected()
        assert not lines_in(tmp_path / "done-1"), "it was at the other server before its task ended"
        assert second.result(run)["phase"] == "Succeeded"
        assert [len(lines_in(tmp_path / f"{name}-1")) for name in ("begun", "done")] == [1, 1]
        lines = [one["text"] for one in second.call("GET", f"/runs/{run}/logs")["logs"] if one["stream"] == "stdout"]
        assert lines == ["line 1\n", "end 1\n"]


@pytest.mark.rule("RT-150")
@pytest.mark.parametrize("url_of", [sqlite_url, postgres_url])
def test_a_run_whose_server_has_no_worker_is_carried_out_by_one_of_another(
    tmp_path: Path, url_of: Callable[[Path], str]
) -> None:
    """Its secret comes from the server that drives it, and is masked; it runs once."""
    with ExitStack() as stack:
        options = ("--store", url_of(tmp_path), "--no-workers")
        first = stack.enter_context(served(tmp_path, *options, db="", AETHER_SECRET_DB_PASSWORD="s3cr3t-value"))
        second = stack.enter_context(served(tmp_path, *options, db="", AETHER_SECRET_DB_PASSWORD="s3cr3t-value"))
        worker = stack.enter_context(working(second.url, "--slots", "2", "--name", "w"))
        worker.connected()
        secret = {"name": "p", "valueFrom": {"secretKeyRef": {"name": "db", "key": "password"}}}
        source = f"echo x >> {tmp_path}/begun; echo it is {{{{inputs.parameters.p}}}}"
        runs = [first.submit(source, inputs={"parameters": [secret]}) for _ in range(4)]
        assert [first.result(run)["phase"] for run in runs] == ["Succeeded"] * 4
        assert len(lines_in(tmp_path / "begun")) == 4
        for run in runs:
            lines = [line["text"] for line in second.call("GET", f"/runs/{run}/logs")["logs"] if line["stream"] == "stdout"]
            assert lines == ["it is ***\n"]
