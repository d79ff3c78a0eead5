"""`aether worker` beside `aether serve`, both as processes: work, drains, refusals, restarts and outages of the server."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.documents import script
from tests.e2e.node import NODE, needs_node
from tests.e2e.process import ROOT, aether, read_until
from tests.e2e.servers import Served, lines_in, served, wait_for, working


def workers_of(server: Served) -> list[dict[str, Any]]:
    done = aether("worker", "ls", "-o", "json", "--server", server.url)
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["workers"]
    return found


def log_of(server: Served, run: str) -> list[str]:
    """The words of a run's log."""
    done = aether("logs", run, "--store", f"sqlite:{server.folder}/runs.db")
    assert done.returncode == 0, done.stderr
    return [line.rpartition("| ")[2] for line in done.stdout.splitlines()]


def assert_whole(server: Served, run: str, count: int) -> None:
    """No line of the log is missing, twice or out of order."""
    wanted = [str(n) for n in range(1, count + 1)]
    wait_for(lambda: log_of(server, run)[-1:] == [str(count)])  # logs may come after the result
    assert log_of(server, run) == wanted


def test_a_worker_is_seen_carries_out_what_it_is_for_and_is_drained(tmp_path: Path) -> None:
    options = ("--name", "w1", "--slots", "1", "--slots", "gpu=2", "--label", "zone=a", "--executors", "script, noop")
    with served(tmp_path, "--no-workers") as server, working(server.url, *options) as worker:
        worker.connected()
        run = server.submit(f"echo x >> {tmp_path}/began; until test -e {tmp_path}/open; do sleep 0.05; done")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        waits = server.submit("echo later")
        (seen,) = workers_of(server)
        assert (seen["name"], seen["slots"], seen["labels"]["zone"]) == ("w1", {"gpu": 2, "tasks": 1}, "a")
        assert seen["executors"] == ["noop", "script"]
        assert [(one["runId"], one["state"]) for one in seen["running"]] == [(run, "running")]
        (reason,) = server.call("GET", f"/runs/{waits}/waiting")["waiting"]
        assert reason["code"] == "no-slots"
        shown = aether("show", waits, "--server", server.url)
        assert f"{reason['path']} waits for a worker: the one worker that fits is busy" in shown.stdout, shown.stderr
        assert json.loads(aether("show", waits, "-o", "json", "--server", server.url).stdout)["waiting"] == [
            {name: reason[name] for name in ("path", "attempt", "code", "reason")}
        ]
        assert "waiting" not in json.loads(aether("show", run, "-o", "json", "--server", server.url).stdout)
        beside = aether("show", waits, "--store", f"sqlite:{tmp_path}/runs.db")
        assert f"{reason['path']} waits for a worker: a worker that fits is connected" in beside.stdout, beside.stderr
        assert "'aether show --server URL' says more" in beside.stdout
        assert "server, process " in beside.stdout
        text = aether("worker", "ls", "--server", server.url).stdout
        assert "w1" in text
        assert "1 waiting: the one worker that fits is busy" in text
        done = aether("worker", "drain", "w1", "--server", server.url)
        assert done.stdout == "w1 is being drained\n"
        assert "connected: w1" in aether("worker", "drain", "w2", "--server", server.url).stderr
        (tmp_path / "open").touch()
        assert worker.process.wait(20) == 0
        assert server.result(run)["phase"] == "Succeeded"
        assert workers_of(server) == []
        (reason,) = server.call("GET", f"/runs/{waits}/waiting")["waiting"]
        assert reason["code"] == "no-workers"


def test_the_server_may_be_killed_and_come_back_and_nothing_is_repeated_or_lost(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers") as first, working(first.url) as worker:
        worker.connected()
        source = f"echo x >> {tmp_path}/began; for n in 1 2 3 4 5 6 7 8; do echo $n; sleep 0.25; done"
        run = first.submit(source)
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        first.process.kill()
        first.process.wait()
        read_until(worker.process.stderr, "cannot be reached")
        with served(tmp_path, "--no-workers", port=first.port) as second:
            assert second.result(run)["phase"] == "Succeeded"
            assert_whole(second, run, 8)
            assert lines_in(tmp_path / "began") == ["x"]
            code, said = worker.end()
            assert code == 0
            assert said.count("connected to") == 1, "once more after the first time"


def test_a_15_second_outage_of_the_only_server_repeats_nothing_and_loses_no_line(tmp_path: Path) -> None:
    with served(tmp_path, "--no-workers") as first, working(first.url, "--slots", "4") as worker:
        worker.connected()
        source = "echo x >> {0}/began; for n in $(seq 1 {1}); do echo $n; sleep 0.5; done"
        runs = [(seconds * 2, first.submit(source.format(tmp_path, seconds * 2))) for seconds in (4, 8, 18)]
        wait_for(lambda: len(lines_in(tmp_path / "began")) == 3)
        first.process.kill()
        first.process.wait()
        time.sleep(15)
        with served(tmp_path, "--no-workers", port=first.port) as second:
            for count, run in runs:
                assert second.result(run)["phase"] == "Succeeded"
                assert_whole(second, run, count)
            assert len(lines_in(tmp_path / "began")) == 3


def test_after_a_restart_without_other_workers_what_the_server_itself_ran_is_repeated_at_once(tmp_path: Path) -> None:
    with served(tmp_path, "--lease", "120") as first:
        run = first.submit(f"echo x >> {tmp_path}/began; test -e {tmp_path}/open || sleep 200")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        first.process.kill()
        first.process.wait()
    (tmp_path / "open").touch()
    began = time.monotonic()
    with served(tmp_path, "--lease", "120") as second:
        assert second.result(run)["phase"] == "Succeeded"
    assert time.monotonic() - began < 60, "no lease of two minutes was waited for"
    assert lines_in(tmp_path / "began") == ["x", "x"]


def test_tasks_of_a_run_share_a_folder_on_a_machine_and_nothing_of_it_stays(tmp_path: Path) -> None:
    after = f"cat $AETHER_RUN_DIR/x > {tmp_path}/NAME; echo $AETHER_RUN_DIR > {tmp_path}/shared; sleep 0.1"
    tasks = [
        {"name": "a", "executor": {"type": "script", "config": {"source": "echo hi > $AETHER_RUN_DIR/x"}}},
        {"name": "b", "dependencies": ["a"], "executor": {"type": "script", "config": {"source": after.replace("NAME", "y")}}},
        {"name": "c", "dependencies": ["a"], "executor": {"type": "script", "config": {"source": after.replace("NAME", "z")}}},
    ]
    document = script("")
    document["spec"]["templates"] = [{"dag": {"name": "main", "tasks": tasks}}]
    with served(tmp_path, "--no-workers") as server, working(server.url, "--slots", "2") as worker:
        worker.connected()
        run = server.call("POST", "/runs", {"document": document})["runId"]
        assert server.result(run)["phase"] == "Succeeded"
        assert lines_in(tmp_path / "y") == lines_in(tmp_path / "z") == ["hi"]
        (shared,) = lines_in(tmp_path / "shared")
        assert worker.end()[0] == 0
        assert not Path(shared).exists()


@needs_node
def test_a_document_may_ask_for_what_only_a_worker_has(tmp_path: Path) -> None:
    def with_type(type_: str) -> dict[str, Any]:
        document = script("")
        task = {"name": "job", "executor": {"type": type_}, "inputs": {"parameters": [{"name": "text", "value": "hey"}]}}
        document["spec"]["templates"] = [{"dag": {"name": "main", "tasks": [task]}}]
        return document

    with served(tmp_path, "--no-workers") as server:
        refused = httpx.post(f"{server.url}/v1/runs", json={"document": with_type("shout")})
        assert refused.status_code == 422, "no worker ever declared it"
        worker = subprocess.Popen([NODE, str(ROOT / "examples" / "workers" / "worker.mjs"), server.url])
        try:
            wait_for(lambda: bool(workers_of(server)))
            wait_for(lambda: httpx.post(f"{server.url}/v1/runs", json={"document": with_type("shout")}).status_code == 201)
            run = server.call("POST", "/runs", {"document": with_type("shout")})["runId"]
            assert server.result(run)["phase"] == "Succeeded"
            (tmp_path / "shout.json").write_text(json.dumps(with_type("shout")))
            assert aether("validate", str(tmp_path / "shout.json"), "--server", server.url).returncode == 0
            assert aether("validate", str(tmp_path / "shout.json"), "--strict").returncode == 3, "not on this machine"
            wrong = httpx.post(f"{server.url}/v1/runs", json={"document": with_type("shoud")})
            assert "shout" in wrong.text, "the nearest name is proposed"
        finally:
            worker.kill()
            worker.wait()
        waits = server.call("POST", "/runs", {"document": with_type("shout")})["runId"]
        assert server.call("GET", f"/runs/{waits}")["phase"] == "Ready", "its workers are away: it waits"


def test_a_worker_goes_over_to_the_next_server_with_what_it_holds(tmp_path: Path) -> None:
    with (
        served(tmp_path, "--no-workers", "--lease", "5") as first,
        served(tmp_path, "--no-workers", "--lease", "5") as second,
        working(first.url, "--server", second.url) as worker,
    ):
        worker.connected()
        run = first.submit(f"echo x >> {tmp_path}/began; sleep 4; echo done")
        wait_for(lambda: bool(lines_in(tmp_path / "began")))
        first.process.kill()
        assert second.result(run)["phase"] == "Succeeded"
        assert lines_in(tmp_path / "began") == ["x"], "the other server waited for its worker"


def test_refusals_are_told_in_words(tmp_path: Path) -> None:
    token = "0123456789abcdef0123"
    with served(tmp_path, "--no-workers", "--token", token) as server:
        assert "authentication is off" not in server.said
        for given, words in ((), "needs a token"), (("--token", "wrong-" + token), "the token is unknown"):
            done = aether("worker", "--server", server.url, *given)
            assert done.returncode == 2
            assert words in done.stderr
            assert token not in done.stderr
        with working(server.url, AETHER_TOKEN=token) as worker:
            worker.connected()
            assert worker.end()[0] == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "no server is named"),
        (("--server", "http://192.0.2.1:7234"), "would carry secrets in clear over the network"),
        (("--server", "nowhere"), "'nowhere' is not the address of a server"),
        (("--server", "http://127.0.0.1:1", "--slots", "gpu"), "'gpu' is neither a number of tasks nor KIND=N"),
        (("--server", "http://127.0.0.1:1", "--label", "gpu"), "'gpu' is not NAME=TEXT"),
        (("--server", "http://127.0.0.1:1", "--executors", "scrip"), "executor 'scrip' is not installed"),
    ],
)
def test_what_cannot_be_is_wrong_usage(options: tuple[str, ...], words: str) -> None:
    done = aether("worker", *options)
    assert done.returncode == 2
    assert words in done.stderr


def test_workers_of_a_server_that_is_away_cannot_be_listed() -> None:
    done = aether("worker", "ls", "--server", "http://127.0.0.1:1")
    assert done.returncode == 9
    assert "the server http://127.0.0.1:1 cannot be reached" in done.stderr


def test_a_worker_is_judged() -> None:
    done = aether("worker-check", "-o", "json", "--", "sh", "-c", "exit 1")
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert [one["passed"] for one in found] == [False] * len(found)
    assert aether("worker-check", "--", "/nowhere/worker").returncode == 9
    assert aether("worker-check", "--listen", "here", "--", "true").returncode == 2


def test_where_artifacts_and_logs_are_kept_and_how_messages_are_written_can_be_said(tmp_path: Path) -> None:
    options = ("--cache", str(tmp_path / "kept"), "--cache-size", "20Mi", "--spool-size", "2Mi", "--log-format", "json")
    with served(tmp_path, "--no-workers") as server, working(server.url, "--name", "w1", *options) as worker:
        artifact = {"artifacts": [{"name": "file", "path": "file"}]}
        assert server.result(server.submit("echo more > file", outputs=artifact))["phase"] == "Succeeded"
        assert [one for one in (tmp_path / "kept").rglob("*") if one.is_file()], "the artifact is in its cache"
        code, said = worker.end()
        assert code == 0
    told = [json.loads(line) for line in said.splitlines()]
    assert ("connected", "info") in [(one.get("kind"), one["level"]) for one in told]
    assert [one["message"] for one in told][-1] == "the worker ends"


@pytest.mark.parametrize("option", ["--cache-size", "--spool-size"])
@pytest.mark.parametrize("size", ["0", "much", "-1Gi", ""])
def test_what_is_no_size_is_wrong_usage(option: str, size: str) -> None:
    done = aether("worker", "--server", "http://127.0.0.1:1", option, size)
    assert done.returncode == 2
    assert "hint: like 512Mi or 20Gi" in done.stderr
