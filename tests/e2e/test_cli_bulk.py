"""`cancel --where` and `retry --where`: the same for all runs that fit, in a store and at a server."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import aether
from tests.e2e.servers import served
from tests.e2e.store_cli import Cli, ids, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def failing(folder: Path) -> Path:
    """Fails until there is a file `mended`."""
    source = f"{{runtime: sh, source: 'test -e {folder}/mended'}}"
    return workflow(folder, task("a", "script", source), name="flow.yaml")


@pytest.mark.parametrize("at_server", [False, True], ids=["store", "server"])
def test_all_that_failed_are_retried_once(tmp_path: Path, at_server: bool) -> None:
    path = failing(tmp_path)
    with served(tmp_path) if at_server else nullcontext() as server:
        where = ["--server", server.url] if server is not None else ["--store", f"sqlite:{tmp_path}/runs.db"]
        for name in ("one", "two"):
            assert aether("run", path, "-q", "--run-id", name, *where).returncode == 1
        (tmp_path / "mended").touch()
        assert aether("run", path, "-q", "--run-id", "good", *where).returncode == 0
        planned = aether("retry", "--where", "name=flow,phase=failed", "--dry-run", *where)
        assert sorted(line.split()[0] for line in planned.stdout.splitlines()[1:]) == ["one", "two"], planned.stderr
        assert "2 runs; nothing was changed" in planned.stderr
        done = aether("retry", "--where", "name=flow", "-q", *where)
        assert done.returncode == 0, done.stderr
        for name in ("one.2", "two.2"):
            assert aether("wait", name, *where).returncode == 0
        again = aether("retry", "--where", "name=flow", *where)
        assert (again.returncode, again.stderr) == (0, "there are no such runs\n"), "what was retried is left out"


@pytest.mark.parametrize("at_server", [False, True], ids=["store", "server"])
def test_all_that_are_open_are_cancelled(tmp_path: Path, at_server: bool) -> None:
    path = workflow(tmp_path, task("a", "await"), name="asks.yaml")
    with served(tmp_path) if at_server else nullcontext() as server:
        where = ["--server", server.url] if server is not None else ["--store", f"sqlite:{tmp_path}/runs.db"]
        for name in ("one", "two"):
            assert aether("run", path, "-q", "--run-id", name, *where).returncode == 7
        assert aether("cancel", "--where", "name=other", *where).stderr == "there are no such runs\n"
        done = aether("cancel", "--where", "phase=Suspended,since=1h", "--reason", "enough", *where)
        assert done.returncode == 0, done.stderr
        for name in ("one", "two"):
            assert aether("wait", name, *where).returncode == 6


def test_what_is_meant_is_said(cli: Cli) -> None:
    for words in (["cancel"], ["cancel", "x", "--where", "name=x"], ["cancel", "x", "--dry-run"]):
        assert cli(*words).code == 2
    wrong = {"nmae=x": "did you mean name", "phase=Faild": "did you mean Failed", "name": "key=value", "": "key=value"}
    for where, hint in wrong.items():
        said = cli("retry", "--where", where)
        assert said.code == 2
        assert hint.replace("'", "") in said.err.replace("'", "")


def test_a_retry_is_looked_at_first(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", failing(tmp_path), "-q", "--run-id", "one").code == 1
    shown = cli("retry", "one", "--dry-run")
    assert (shown.code, shown.err) == (0, "nothing was changed\n")
    told = cli("retry", "one", "--dry-run", "-o", "json").json
    assert (told["runId"], told["start"], [one["phase"] for one in told["again"]]) == ("one", None, ["Failed"])
    assert told["again"][0]["path"] in shown.out
    assert cli("retry", "one", "--from", "nothing", "--dry-run").code == 2
    assert ids(cli("ls", "-o", "json")) == ["one"]


def test_labels_and_json(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", failing(tmp_path), "-q", "--run-id", "one").code == 1
    assert ids(cli("retry", "--where", "phase=Failed,phase=Error", "--dry-run", "-o", "json")) == ["one"]
    assert cli("retry", "--where", "label.team=x", "--dry-run").err == "there are no such runs\n"
