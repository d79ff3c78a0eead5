"""`aether worker --import MODULE` and `aether serve --import MODULE`, with real processes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest

from tests.e2e.process import aether
from tests.e2e.servers import Served, served, wait_for, working

MODULE = '''\
"""Tasks of a machine."""

import os
import sys
from pathlib import Path

from aether_protocol import ConfigField, ExecutorType

print("this module says something")
Path(__file__).with_name("imported").open("a").write(f"{os.getpid()}\\n")


class Weigh:
    type = ExecutorType(
        "weigh", "Weighs.", config=(ConfigField("what", "string", "What.", required=True),), open_outputs=True, version="7"
    )
    mode = "thread"

    def execute(self, task, context):
        return task.succeed(weight=len(task.config["what"]), pid=os.getpid())


def double(n):
    return {"twice": 2 * n}


executors = [Weigh()]
functions = {"double": double}
'''


def path(folder: Path) -> str:
    """PYTHONPATH with the folder in front."""
    return os.pathsep.join(filter(None, (str(folder), os.environ.get("PYTHONPATH", ""))))


def document(type_: str, config: Mapping[str, Any], outputs: list[str]) -> dict[str, Any]:
    given = [{"name": name, "valueFrom": {"parameter": f"tasks.job.outputs.parameters.{name}"}} for name in outputs]
    task = {
        "name": "job",
        "executor": {"type": type_, "config": config},
        "outputs": {"parameters": [{"name": name, "type": "integer"} for name in outputs]},
    }
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "one"},
        "spec": {
            "entrypoint": "main",
            "templates": [{"dag": {"name": "main", "tasks": [task], "outputs": {"parameters": given}}}],
        },
    }


def outputs_of(server: Served, type_: str, config: Mapping[str, Any], *outputs: str) -> dict[str, Any]:
    run = server.call("POST", "/runs", {"document": document(type_, config, list(outputs))})["runId"]
    report = server.result(run)
    assert report["phase"] == "Succeeded", report
    found: dict[str, Any] = report["outputs"]
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "machine_tasks.py").write_text(MODULE)
    return tmp_path


def test_a_worker_offers_what_modules_have_and_its_children_run_it(folder: Path) -> None:
    with served(folder, "--no-workers") as server:
        asked = {"document": document("weigh", {"what": "iron"}, ["weight"])}
        answer = httpx.post(f"{server.url}/v1/runs", json=asked)
        assert (answer.status_code, "weigh" in answer.text) == (422, True), "no worker has it yet"
        with working(server.url, "--import", "machine_tasks", "--name", "w1", PYTHONPATH=path(folder)) as worker:
            worker.connected()
            found = outputs_of(server, "weigh", {"what": "iron"}, "weight", "pid")
            assert found["weight"] == 4
            assert found["pid"] != worker.process.pid, "a child carried it out"
            assert str(worker.process.pid) not in (folder / "imported").read_text().split(), "the supervisor imports nothing"
            assert outputs_of(server, "function", {"name": "double", "arguments": {"n": 21}}, "twice") == {"twice": 42}
            (seen,) = json.loads(aether("worker", "ls", "-o", "json", "--server", server.url).stdout)["workers"]
            assert "weigh" in seen["executors"]
            wrong = httpx.post(f"{server.url}/v1/runs", json={"document": document("weigh", {"wat": 1}, ["weight"])})
            assert wrong.status_code == 422
            assert "wat" in wrong.text, "its config is held against what the worker declares"


def test_a_worker_may_offer_some_of_a_module_alone(folder: Path) -> None:
    options = ("--import", "machine_tasks", "--executors", "weigh")
    with served(folder, "--no-workers") as server, working(server.url, *options, PYTHONPATH=path(folder)) as worker:
        worker.connected()
        (seen,) = json.loads(aether("worker", "ls", "-o", "json", "--server", server.url).stdout)["workers"]
        assert seen["executors"] == ["weigh"]
        assert outputs_of(server, "weigh", {"what": "tin"}, "weight") == {"weight": 3}


def test_the_worker_of_a_server_has_what_modules_have(folder: Path) -> None:
    with served(folder, "--import", "machine_tasks", PYTHONPATH=path(folder)) as server:
        wait_for(lambda: httpx.get(f"{server.url}/readyz").status_code == 200)
        assert outputs_of(server, "weigh", {"what": "gold"}, "weight") == {"weight": 4}
        assert outputs_of(server, "function", {"name": "double", "arguments": {"n": 2}}, "twice") == {"twice": 4}
        assert str(server.process.pid) not in (folder / "imported").read_text().split()


def test_a_module_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "machine_tasks.py").write_text("import os; os.abort()")
    commands = {"worker": ["--server", "http://127.0.0.1:1"], "serve": ["--http-port", "0", "--store", "memory"]}
    for command, where in commands.items():
        done = aether(command, *where, "--import", "machine_tasks", PYTHONPATH=path(tmp_path))
        assert done.returncode == 2, done.stderr
        assert "the process that imports machine_tasks ended by itself (signal 6)" in done.stderr


def test_a_server_without_a_worker_imports_nothing(tmp_path: Path) -> None:
    done = aether("serve", "--no-workers", "--import", "json", "--http-port", "0", "--store", "memory")
    assert (done.returncode, "aether worker --import" in done.stderr) == (2, True), done.stderr
