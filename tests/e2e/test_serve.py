"""`aether serve` as a process: what it does with runs and schedules, how it ends, and what it refuses."""

from __future__ import annotations

import os
import shutil
import signal
import socket
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.documents import script
from tests.e2e.process import aether
from tests.e2e.schedules import Place
from tests.e2e.servers import lines_in, served, wait_for


def test_it_carries_runs_out_says_so_and_ends_on_a_signal(tmp_path: Path) -> None:
    with served(tmp_path) as server:
        assert "authentication is off" in server.said
        assert httpx.get(f"{server.url}/readyz").json() == {"status": "ready"}
        artifact = {"artifacts": [{"name": "file", "path": "file"}]}
        run = server.submit("echo hello; echo more > file", outputs=artifact)
        report = server.result(run)
        assert report["phase"] == "Succeeded", report
        code, said = server.end()
        assert code == 0
        assert f"one: run {run} Succeeded" in said
        assert said.splitlines()[-1].endswith("the server ends; open runs are left for the next one")
    shown = aether("show", run, "--store", f"sqlite:{tmp_path}/runs.db", "--output", "json")
    assert '"phase": "Succeeded"' in shown.stdout
    assert not list((tmp_path / ".aether").rglob("shared")), "folders of runs that Succeeded are removed"


def test_a_first_signal_lets_tasks_end_within_the_grace(tmp_path: Path) -> None:
    with served(tmp_path, "--grace", "20") as server:
        run = server.submit(f"echo >> {tmp_path}/began; echo x >> {tmp_path}/began; sleep 1.5; echo y >> {tmp_path}/ended")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        assert server.end()[0] == 0
        assert lines_in(tmp_path / "ended") == ["y"]
    with served(tmp_path) as server:
        assert server.result(run)["phase"] == "Succeeded"
    assert lines_in(tmp_path / "began") == ["x"], "it was not repeated"


def test_what_does_not_end_within_the_grace_is_repeated_by_the_next_server_at_once(tmp_path: Path) -> None:
    with served(tmp_path, "--grace", "0") as server:
        run = server.submit(f"echo x >> {tmp_path}/began; test -e {tmp_path}/open || sleep 60")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        assert server.end()[0] == 0
    (tmp_path / "open").touch()
    with served(tmp_path) as server:
        assert server.result(run)["phase"] == "Succeeded"
    assert lines_in(tmp_path / "began") == ["x", "x"]


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    with served(tmp_path, "--grace", "60") as server:
        server.submit(f"echo $$ >> {tmp_path}/began; sleep 60")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        server.process.send_signal(signal.SIGTERM)
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 503)
        assert server.end()[0] == 0
        (pid,) = lines_in(tmp_path / "began")
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), 5)


def test_it_serves_the_schedules_of_the_store_unless_told_not_to(tmp_path: Path) -> None:
    place = Place(tmp_path)
    try:
        place.apply("nightly", f"echo fired >> {tmp_path}/trace")
        place.make_due("nightly")
        with served(tmp_path, "--no-cron", db="cron.db") as server:
            server.result(server.submit("sleep 1.5"))
            assert not lines_in(tmp_path / "trace"), "a scheduler polls once a second"
        with served(tmp_path, db="cron.db") as server:
            wait_for(lambda: lines_in(tmp_path / "trace") == ["fired"])
            assert "nightly: fire" in server.end()[1]
    finally:
        place.close()


def test_two_servers_on_one_store_share_its_runs(tmp_path: Path) -> None:
    with served(tmp_path) as first, served(tmp_path) as second:
        runs = [server.submit(f"echo {number} >> {tmp_path}/trace") for number in range(4) for server in (first, second)]
        for run in runs:
            for server in (first, second):
                assert server.result(run)["phase"] == "Succeeded"
        assert sorted(lines_in(tmp_path / "trace")) == sorted("00112233")
        held = first.submit(f"echo x >> {tmp_path}/held; test -e {tmp_path}/open || sleep 60")
        wait_for(lambda: bool(lines_in(tmp_path / "held")))
        (tmp_path / "open").touch()
        first.process.kill()
        assert second.result(held)["phase"] == "Succeeded", "the other one takes over what a dead one held"


def test_a_run_that_another_process_submits_into_the_store_is_begun(tmp_path: Path) -> None:
    from aether_protocol.service import connect_blocking

    with served(tmp_path) as server, connect_blocking(f"sqlite:{tmp_path}/runs.db") as client:
        run = client.control.submit(script("echo from afar"))
        assert server.result(run)["phase"] == "Succeeded"


def test_a_port_that_is_taken_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = aether("serve", "--db", tmp_path / "runs.db", "--http-port", str(port))
    assert done.returncode == 9
    assert f"cannot listen on 127.0.0.1 port {port}: address already in use" in done.stderr
    assert "--http-port 0" in done.stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--host", "0.0.0.0"), "--host 0.0.0.0 would let others use this server, and it knows no tokens"),
        (("--tls-cert", "c.pem"), "a certificate needs its key"),
        (("--tls-cert", "c.pem", "--tls-key", "c.pem"), "'c.pem' and 'c.pem' cannot be used as a certificate and its key"),
        (("--db", "a.db", "--persistence", "memory"), "--db and --persistence memory both name a store"),
        (("--store", "memory", "--persistence", "memory"), "--store and --persistence memory both name a store"),
        (("--http-port", "70000"), "'70000' is not a whole number from 0 to 65535"),
        (("--persistence", "disk"), "'disk' is not one of its values"),
    ],
)
def test_what_cannot_be_is_wrong_usage(tmp_path: Path, options: tuple[str, ...], words: str) -> None:
    (tmp_path / "c.pem").touch()
    done = aether("serve", *options, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_of_a_file_count_and_flags_win(tmp_path: Path) -> None:
    (tmp_path / "aether.toml").write_text("[server]\nhttp_port = 1\nhost = 'localhost'\n[persistence]\nmode = 'snapshot'\n")
    with served(tmp_path, "--grpc-port", "0", "--no-workers", "--no-cron", AETHER_CONFIG="") as server:
        assert server.url.startswith("http://localhost:")
        assert "; gRPC and HTTP at http://localhost:" in server.said
        assert "with a worker" not in server.said
        run = server.submit("echo hello")
        assert server.call("GET", f"/runs/{run}")["phase"] == "Ready", "no worker is there"
    info = aether("db", "info", "--store", f"sqlite:{tmp_path}/runs.db", cwd=tmp_path, AETHER_CONFIG="")
    assert "snapshot" in info.stdout


@pytest.mark.rule("RT-128")
@pytest.mark.parametrize("configured", [False, True])
def test_it_follows_a_folder_of_documents(tmp_path: Path, configured: bool) -> None:
    flows = tmp_path / "flows"
    shutil.copytree(Path(__file__).parents[2] / "examples" / "served", flows)
    (tmp_path / "aether.toml").write_text("[server]\ndocuments = 'flows'\n")
    options = () if configured else ("--documents", str(flows))
    config = str(tmp_path / "aether.toml") if configured else os.devnull
    with served(tmp_path, *options, AETHER_CONFIG=config) as server:

        def documents() -> dict[str, Any]:
            return {one["name"]: one for one in server.call("GET", "/documents")["documents"]}

        wait_for(lambda: set(documents()) == {"greet", "welcome"})
        assert [one["name"] for one in server.call("GET", "/schedules")["schedules"]] == ["nightly"]
        run = server.call("POST", "/runs", {"name": "team/welcome", "parameters": {"who": "Ada"}})
        assert run["documentVersion"] == 1
        assert server.result(run["runId"])["outputs"] == {"said": "hello, Ada"}
        (flows / "welcome.yaml").write_text((flows / "welcome.yaml").read_text().replace("value: world", "value: all"))
        wait_for(lambda: documents()["welcome"]["version"] == 2)
        (flows / "welcome.yaml").write_text("apiVersion: aether/v1\nkind: Workflow\n")
        (flows / "greet.yaml").rename(flows / "hello.yaml")
        wait_for(lambda: (documents()["welcome"]["folder"] or {}).get("state") == "faulty")
        assert documents()["welcome"]["folder"]["detail"].startswith("welcome.yaml:1:1: ")
        assert (documents()["welcome"]["version"], documents()["greet"]["folder"]["file"]) == (2, "hello.yaml")
        code, said = server.end()
    assert code == 0
    assert "documents: created WorkflowTemplate team/greet" in said
    assert "documents: welcome.yaml:1:1: " in said
    listed = aether("library", "ls", "--store", f"sqlite:{tmp_path / 'runs.db'}")
    assert "faulty: welcome.yaml" in listed.stdout
