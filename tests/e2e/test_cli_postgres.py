"""The command line on PostgreSQL: runs, lists, schedules, upkeep, and copies between it and SQLite."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tests.documents import script
from tests.e2e.process import start
from tests.e2e.servers import wait_for
from tests.e2e.store_cli import Cli, ids, make_cli
from tests.postgres import database_url

FLOW = """
apiVersion: aether/v1
kind: Workflow
metadata: {name: hello}
spec:
  entrypoint: main
  templates:
    - task:
        name: main
        executor: {type: script, config: {runtime: sh, source: "echo hi; echo there >&2"}}
"""
NIGHTLY = """
apiVersion: aether/v1
kind: CronWorkflow
metadata: {name: nightly}
spec:
  schedule: "0 3 * * *"
  timezone: UTC
  workflowSpec:
    entrypoint: main
    templates:
      - task: {name: main, executor: {type: noop}}
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def test_runs_are_kept_shown_and_freed(cli: Cli, tmp_path: Path) -> None:
    url = database_url()
    empty = cli("ls", "--store", url)
    assert (empty.code, "there is no store at" in empty.err, "'aether run" in empty.err) == (2, True, True)
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "nightly.yaml").write_text(NIGHTLY)
    assert cli("run", "flow.yaml", "--store", url, "--run-id", "r1", "--quiet").code == 0
    assert ids(cli("ls", "-o", "json", "--store", url)) == ["r1"]
    assert "hi" in cli("logs", "r1", "--store", url).out
    assert cli("show", "r1", "-o", "json", "--store", url).json["phase"] == "Succeeded"
    assert cli("retry", "r1", "--store", url, "--quiet").code in (0, 2)
    assert cli("cron", "apply", "nightly.yaml", "--store", url).code == 0
    assert cli("cron", "trigger", "nightly", "--store", url).code == 0
    info = cli("db", "info", "-o", "json", "--store", url).json
    assert (info["details"]["adapter"], info["runs"] >= 1) == ("postgres", True)
    assert cli("db", "vacuum", "--store", url).code == 0
    checked = cli("db", "check", "--store", url)
    assert (checked.code, checked.out) == (0, "")
    assert cli("rm", "r1", "--store", url).code == 0
    assert "r1" not in ids(cli("ls", "-o", "json", "--store", url))


def test_a_store_goes_to_postgres_and_back(cli: Cli, tmp_path: Path) -> None:
    url = database_url()
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "nightly.yaml").write_text(NIGHTLY)
    for run_id in ("r1", "r2"):
        assert cli("run", "flow.yaml", "--store", "sqlite:a.db", "--run-id", run_id, "--quiet").code == 0
    assert cli("cron", "apply", "nightly.yaml", "--store", "sqlite:a.db").code == 0
    assert cli("apply", "flow.yaml", "--store", "sqlite:a.db").code == 0
    there = cli("db", "copy", "sqlite:a.db", url, "-o", "json")
    assert (there.code, there.json["runs"], there.json["documents"], there.json["schedules"]) == (0, 2, 1, 1)
    again = cli("db", "copy", "sqlite:a.db", url, "-o", "json")
    assert (again.json["runs"], again.json["there"]) == (0, 2), "what is there stays"
    assert cli("db", "copy", url, "sqlite:b.db").code == 0
    assert cli("db", "check", "--store", url).code == cli("db", "check", "--store", "sqlite:b.db").code == 0
    for asked in (("show", "r1"), ("logs", "r2"), ("events", "r1"), ("cron", "show", "nightly"), ("library", "ls")):
        said = [cli(*asked, "-o", "json", "--store", one) for one in ("sqlite:a.db", url, "sqlite:b.db")]
        assert said[0].code == 0
        assert said[0].out == said[1].out == said[2].out, asked
    into_itself = cli("db", "copy", url, url)
    assert (into_itself.code, "into itself" in into_itself.err) == (2, True)
    assert cli("db", "copy", "memory", url).code == 2


def test_a_copy_that_is_refused_makes_nothing(cli: Cli, tmp_path: Path) -> None:
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    (tmp_path / "flow.json").write_text(json.dumps(script(f"touch {begun}; until [ -e {gate} ]; do sleep 0.02; done")))
    running = start("run", tmp_path / "flow.json", "--store", f"sqlite:{tmp_path}/from.db")
    try:
        wait_for(begun.exists)
        refused = cli("db", "copy", f"sqlite:{tmp_path}/from.db", f"sqlite:{tmp_path}/to.db")
        assert "an engine drives runs" in refused.err
        assert not (tmp_path / "to.db").exists()
    finally:
        gate.touch()
        running.communicate()
    assert cli("db", "copy", f"sqlite:{tmp_path}/from.db", f"sqlite:{tmp_path}/to.db").code == 0


def test_first_commands_at_once_set_an_empty_database_up(tmp_path: Path) -> None:
    url = database_url()
    (tmp_path / "flow.yaml").write_text(FLOW)
    first = [start("run", tmp_path / "flow.yaml", "--store", url, "--quiet") for _ in range(4)]
    said = [one.communicate()[1] for one in first]
    assert [one.returncode for one in first] == [0] * 4, said


def test_the_missing_extra_is_reported_before_anything_begins(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    said = cli("run", "flow.yaml", "--store", "postgres://me:geheim@127.0.0.1/db")
    assert said.code == 2
    assert "pip install 'aether-protocol[postgres]'" in said.err
    assert "geheim" not in said.err


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres:runs", "names no server"),
        ("postgres://127.0.0.1/x?schema=Odd-Name", "not a plain name"),
        ("postgres://127.0.0.1/x?patience=long", "not a number of seconds"),
        ("postgres://127.0.0.1/x?tier=odd", "unknown tier"),
    ],
)
def test_a_url_that_cannot_be_is_refused(cli: Cli, url: str, expected: str) -> None:
    said = cli("ls", "--store", url)
    assert (said.code, expected in said.err) == (2, True)


def test_no_message_shows_a_password(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    url = "postgres://me:geheim@127.0.0.1:1/db"
    for asked in (("ls",), ("run", "flow.yaml"), ("apply", "flow.yaml"), ("db", "check"), ("cron", "ls")):
        said = cli(*asked, "--store", url)
        assert "geheim" not in said.out + said.err, asked
        assert "is the server running" in said.err, asked
    assert "geheim" not in cli("db", "copy", url, url).err
