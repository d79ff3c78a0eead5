"""`aether ui` beside other commands on one store: it shows and steers what they drive, by way of the store, carries out what is
started at it, takes nothing over, and says what it leaves."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.documents import script, submitted
from tests.e2e.process import AETHER, aether, environment, read_until, start
from tests.e2e.servers import Pages, lines_in, pages, served, wait_for

pytestmark = pytest.mark.rule("RT-160")

GATED = "echo begun >> {0}/begun; until [ -e {0}/gate ]; do sleep 0.02; done; echo ended >> {0}/ended"


def is_driven(folder: Path, run_id: str) -> bool:
    """Whether a process drives the run."""
    listed = aether("ls", "--store", f"sqlite:{folder}/runs.db", "-o", "json")
    return bool(next(one["driven"] for one in json.loads(listed.stdout)["runs"] if one["runId"] == run_id))


@contextmanager
def gated(folder: Path) -> Iterator[tuple[Any, str]]:
    """An `aether run` whose task waits for a file: the process and the run's id."""
    flow = folder / "flow.json"
    flow.write_text(json.dumps(script(GATED.format(folder))))
    process = start("run", flow, "--store", f"sqlite:{folder}/runs.db", "--run-id", "gated")
    try:
        wait_for(lambda: bool(lines_in(folder / "begun")))
        yield process, "gated"
    finally:
        process.kill()
        process.communicate()


def test_a_run_of_another_process_is_seen_and_cancelled_by_way_of_the_store(tmp_path: Path) -> None:
    with pages(tmp_path) as ui, gated(tmp_path) as (process, run):
        assert ui.run(run)["phase"] == "Running"
        ui.call("POST", f"/runs/{run}/cancel", {"reason": "no need"})
        process.communicate(timeout=60)
        assert process.returncode == 6
        assert ui.result(run)["phase"] == "Cancelled"
        assert not lines_in(tmp_path / "ended")


def test_what_other_processes_left_is_shown_and_not_taken_over(tmp_path: Path) -> None:
    with pages(tmp_path) as ui, gated(tmp_path) as (process, run):
        process.kill()
        process.wait()
        wait_for(lambda: not is_driven(tmp_path, run))
        assert ui.result(ui.submit("echo mine"))["phase"] == "Succeeded"  # it has work of its own, and does it
        assert not is_driven(tmp_path, run)
        assert lines_in(tmp_path / "begun") == ["begun"]
        (tmp_path / "gate").touch()
        resumed = aether("resume", run, "--store", f"sqlite:{tmp_path}/runs.db")
        assert resumed.returncode == 0, resumed.stderr
        assert ui.run(run)["phase"] == "Succeeded"


@pytest.mark.parametrize("verb", ["answered", "cancelled"])
def test_what_no_process_drives_is_driven_here_from_when_a_person_steers_it(tmp_path: Path, verb: str) -> None:
    asks = {"name": "ask", "executor": {"type": "await", "config": {"message": "go on?"}}}
    work = {"type": "script", "config": {"source": f"echo x >> {tmp_path}/ended"}}
    flow = tmp_path / "flow.json"
    flow.write_text(json.dumps(submitted(asks, {"name": "work", "dependencies": ["ask"], "executor": work})))
    asked = aether("run", flow, "--store", f"sqlite:{tmp_path}/runs.db", "--run-id", "asked")
    assert asked.returncode == 7  # it waits, and its process has ended
    with pages(tmp_path) as ui:
        if verb == "answered":
            ui.call("POST", "/runs/asked/resume", {"task": "main.ask"})
        else:
            ui.call("POST", "/runs/asked/cancel", {"reason": "enough"})
        assert ui.result("asked")["phase"] == ("Succeeded" if verb == "answered" else "Cancelled")
        assert lines_in(tmp_path / "ended") == (["x"] if verb == "answered" else [])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_runs_that_began_here_are_left_and_named(tmp_path: Path, number: int) -> None:
    with pages(tmp_path, "--grace", "0") as ui:
        run = ui.submit(GATED.format(tmp_path))
        wait_for(lambda: bool(lines_in(tmp_path / "begun")))
        code, said = ui.end(number)
    assert code == 0
    command = re.search(r"1 run that began here stopped with them: aether (resume .*)", said)
    assert command is not None, said
    (tmp_path / "gate").touch()
    done = aether(*command[1].split(), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert lines_in(tmp_path / "ended") == ["ended"]
    assert run in command[1]


def test_the_next_free_port_is_taken_but_not_in_place_of_a_named_one(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        named = aether("ui", "--no-browser", "--http-port", str(taken.getsockname()[1]), cwd=tmp_path)
        assert named.returncode == 9
        assert "cannot listen on 127.0.0.1" in named.stderr
    first = start("ui", "--no-browser", "--store", f"sqlite:{tmp_path}/runs.db")
    second = start("ui", "--no-browser", "--store", f"sqlite:{tmp_path}/runs.db")
    try:
        found = [re.search(r"http://127.0.0.1:(\d+)", read_until(one.stderr, Pages.words[1])) for one in (first, second)]
        ports = [int(one[1]) for one in found if one is not None]
        assert len(set(ports)) == 2
        assert all(7234 <= port < 7284 for port in ports)
    finally:
        for one in (first, second):
            one.kill()
            one.communicate()


def test_it_is_no_server_of_the_store_to_others(tmp_path: Path) -> None:
    with served(tmp_path, "--no-cron") as server, pages(tmp_path) as ui:
        assert f"a server drives runs of this store, and has pages of its own: {server.url}" in ui.said
        listed = aether("server", "ls", "--server", server.url, "-o", "json")
        assert listed.stdout.count('"address"') == 1
        run = server.submit(GATED.format(tmp_path))
        wait_for(lambda: bool(lines_in(tmp_path / "begun")))
        ui.call("POST", f"/runs/{run}/cancel", {})
        assert server.result(run)["phase"] == "Cancelled"
        left = ui.submit(GATED.format(tmp_path))
        wait_for(lambda: len(lines_in(tmp_path / "begun")) == 2)
        ui.process.kill()
        ui.process.wait()
        (tmp_path / "gate").touch()
        assert server.result(left)["phase"] == "Succeeded"  # a server takes over what is left


def test_it_opens_the_browser_that_people_have(tmp_path: Path) -> None:
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > {opened}\n')
    browser.chmod(0o755)
    command = [*AETHER, "ui", "--http-port", "0", "--store", f"sqlite:{tmp_path}/runs.db"]
    ui = subprocess.Popen(command, env=environment(BROWSER=str(browser)), stderr=subprocess.PIPE, text=True)
    try:
        said = read_until(ui.stderr, Pages.words[1])
        wait_for(lambda: bool(lines_in(opened)))
        assert lines_in(opened)[0] in said
    finally:
        ui.kill()
        ui.communicate()


def test_a_token_closes_the_pages(tmp_path: Path) -> None:
    with pages(tmp_path, "--token", "a-token-of-my-own-for-pages") as ui:
        assert httpx.get(f"{ui.url}/healthz").status_code == 200
        assert httpx.get(f"{ui.url}/v1/runs").status_code == 401
        known = {"authorization": "Bearer a-token-of-my-own-for-pages"}
        assert httpx.get(f"{ui.url}/v1/runs", headers=known).status_code == 200
        assert "authentication is off" not in ui.said
