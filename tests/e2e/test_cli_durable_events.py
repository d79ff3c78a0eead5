"""Events are the same JSON lines wherever they come from: a run, a look or a follower, the command line or Python."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from aether_protocol import Engine
from aether_protocol.service import client_of
from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, environment, read_until
from tests.e2e.store_cli import Cli, make_cli

pytestmark = pytest.mark.rule("RT-55")

STORE = "sqlite:.aether/aether.db"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def flow(tmp_path: Path) -> Path:
    again = ", retry: {limit: 1, expression: \"phase == 'Failed'\", backoff: {duration: 0s}}"
    return workflow(
        tmp_path,
        task("a", "echo", "{failCount: 1}", f", inputs: {{parameters: [{{name: x, value: ünï}}]}}{again}"),
        task("ask", "await", "{message: ja?}", ", dependencies: [a]"),
        task("b", "script", "{runtime: sh, source: echo noise}", ", dependencies: [ask]"),
    )


def from_python(run_id: str) -> str:
    """The lines that the Python API gives, written as the command line writes them."""

    async def read() -> list[dict[str, Any]]:
        async with Engine(store=STORE) as engine:
            return [record async for record in client_of(engine).runs.events(run_id, follow=True)]

    dump = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
    return "".join(f"{dump(record)}\n" for record in asyncio.run(read()))


def test_the_lines_are_the_same_wherever_they_come_from(cli: Cli, flow: Path) -> None:
    begun = cli("run", flow, "--run-id", "r1", "--quiet", "--output", "events")
    assert begun.code == 7
    assert cli("events", "r1").out == begun.out
    resumed = cli("resume", "r1", "ask", "-p", "approved=true", "--quiet", "--output", "events")
    assert resumed.code == 0
    assert resumed.out.startswith(begun.out), "a run that is gone on with is told from its beginning"
    again = cli("run", flow, "--run-id", "r1", "--output", "events")
    assert resumed.out == cli("events", "r1").out == cli("events", "r1", "--follow").out == again.out == from_python("r1")
    assert resumed.lines[-1]["kind"] == "RunClosed"
    assert "noise\n" not in resumed.out


def test_a_follower_sees_what_the_driver_prints(cli: Cli, flow: Path) -> None:
    assert cli("run", flow, "--run-id", "r1", "--quiet").code == 7
    follower = subprocess.Popen(
        [*AETHER, "events", "r1", "--follow"], env=environment(AETHER_STORE=STORE), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert follower.stdout is not None
    seen = read_until(follower.stdout, "TaskSuspended")
    resumed = cli("resume", "r1", "ask", "-p", "approved=true", "--quiet", "--output", "events")
    assert seen + follower.stdout.read() == resumed.out
    follower.communicate(timeout=60)
    assert follower.returncode == 0


def test_one_line_is_one_fact(cli: Cli, flow: Path) -> None:
    lines = cli("run", flow, "--run-id", "r1", "--quiet", "--output", "events").lines
    places = [(line["seq"], line["index"]) for line in lines]
    assert places == sorted(set(places))
    assert {line["v"] for line in lines} == {1}
    assert {line["runId"] for line in lines} == {"r1"}
    assert cli("show", "r1", "--output", "json").json["tasks"][1]["outputs"] == {"x": "ünï"}
    ended = next(line for line in lines if line["kind"] == "NodeEnded")
    assert ended["outputs"] == {"x": "ünï"}


def test_a_reader_that_leaves_harms_no_run(cli: Cli, flow: Path) -> None:
    process = subprocess.Popen(
        [*AETHER, "run", str(flow), "--run-id", "r1", "--quiet", "--output", "events", "--resume", "ask=yes"],
        env=environment(AETHER_STORE=STORE), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    told = process.stderr.read()
    process.stderr.close()
    assert process.wait(60) in (0, 9)
    assert "Traceback" not in told
    assert cli("show", "r1", "--output", "json").json["phase"] == "Succeeded"
