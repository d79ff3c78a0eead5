"""Workspaces on the command line (ART-4): where they lie, and how the one of a failed task is found."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import aether
from tests.e2e.store_cli import Cli, make_cli

pytestmark = pytest.mark.rule("ART-4", "RT-98")

FAILS = "{runtime: sh, source: 'echo $AETHER_WORKSPACE > here; exit 1'}"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def test_the_one_of_a_failed_task_is_shown_and_goes_with_its_run(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("good", "noop"), task("bad", "script", FAILS))
    assert cli("run", path, "--run-id", "r1", "--quiet").code == 1
    said = cli("show", "r1", "bad", "--workspace")
    folder = Path(said.out.strip())
    assert said.code == 0
    assert folder == tmp_path / ".aether" / "workspaces" / "r1" / "main.bad@1"
    assert (folder / "here").read_text().startswith(f"{tmp_path}/.aether/workspaces/.live/")
    none = cli("show", "r1", "good", "--workspace")
    assert (none.code, none.out) == (2, "")
    assert "no workspace of main.good is kept" in none.err
    assert "exit code 1" in cli("show", "r1", "bad").out
    assert cli("show", "r1", "--workspace").code == 2
    assert cli("rm", "r1").code == 0
    assert not folder.exists()


@pytest.mark.parametrize("by", ["option", "variable"])
def test_another_folder(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str) -> None:
    path = workflow(tmp_path, task("bad", "script", FAILS))
    elsewhere = tmp_path / "elsewhere"
    if by == "variable":
        monkeypatch.setenv("AETHER_WORKSPACES", str(elsewhere))
    more = ("--workspace", "elsewhere") if by == "option" else ()
    assert cli("run", path, "--run-id", "r1", "--quiet", *more).code == 1
    assert cli("retry", "r1", "--quiet", *more).code == 1
    monkeypatch.setenv("AETHER_WORKSPACES", str(elsewhere))
    assert cli("show", "r1.2", "bad", "--workspace").out == f"{elsewhere}/r1.2/main.bad@1\n"
    assert not (tmp_path / ".aether" / "workspaces").exists()


def test_beside_a_store_that_lies_elsewhere(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("bad", "script", FAILS))
    store = ("--store", f"sqlite:{tmp_path}/data/runs.db")
    assert cli("run", path, "--run-id", "r1", "--quiet", *store).code == 1
    assert cli("show", "r1", "bad", "--workspace", *store).out == f"{tmp_path}/data/.aether/workspaces/r1/main.bad@1\n"


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = workflow(tmp_path, task("bad", "script", FAILS))
    (tmp_path / "file").touch()
    done = aether("run", path, "--quiet", "--workspace", "file/below", cwd=tmp_path)
    assert done.returncode == 4
    assert f"bad: cannot make a workspace below '{tmp_path}/file/below': " in done.stdout


def test_schedules_know_the_folder_of_their_document(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / "cron.yaml").write_text(
        "apiVersion: aether/v1\nkind: CronWorkflow\nmetadata: {name: nightly}\nspec:\n  schedule: '0 3 * * *'\n"
        "  workflowSpec:\n    entrypoint: main\n    templates:\n      - task:\n          name: main\n"
        "          executor: {type: script, config: {runtime: sh, source: 'echo ran > \"$AETHER_DOCUMENT_DIR/ran\"'}}\n"
    )
    store = f"sqlite:{tmp_path}/runs.db"
    assert cli("cron", "apply", "jobs/cron.yaml", "--store", store).code == 0
    (tmp_path / "far").mkdir()
    monkeypatch.chdir(tmp_path / "far")
    assert cli("cron", "trigger", "nightly", "--store", store, "--quiet").code == 0
    assert (folder / "ran").read_text() == "ran\n"
    assert sorted(os.listdir(tmp_path / "far")) == []
