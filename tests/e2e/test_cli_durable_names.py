"""What names mean: the id of a run over its retries, of a task that has not run, of the store in a hint."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import aether
from tests.e2e.store_cli import Cli, ids, make_cli

WRONG = ("--quiet", "--output", "json")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def failed(cli: Cli, tmp_path: Path) -> Path:
    """Run r1: first Succeeded, second Failed as long as there is no file `ok`, third has not run."""
    second = task("second", "script", "{runtime: sh, workingDir: document, source: test -e ok}", ", dependencies: [first]")
    path = workflow(tmp_path, task("first", "noop"), second, task("third", "noop", more=", dependencies: [second]"))
    assert cli("run", path, "--run-id", "r1", *WRONG).code == 1
    return path


@pytest.mark.rule("RT-42")
def test_the_name_means_the_newest_retry_whatever_it_was_made_of(cli: Cli, failed: Path, tmp_path: Path) -> None:
    again = ("run", failed, "--run-id", "r1", *WRONG)
    assert [cli("retry", "r1", *WRONG).json["runId"] for _ in range(2)] == ["r1.2", "r1.3"]
    assert cli(*again).json["runId"] == "r1.3", "both are retries of r1 itself"
    (tmp_path / "ok").touch()
    assert cli("retry", "r1.2", *WRONG).json["runId"] == "r1.4"
    assert cli(*again).json["runId"] == "r1.4"
    assert cli("run", failed, "--run-id", "r1.3", *WRONG).json["runId"] == "r1.3"
    assert cli("run", failed, "--run-id", "r1.2", *WRONG).json["runId"] == "r1.4", "the retry of r1.2"


@pytest.mark.rule("RT-42")
def test_what_is_left_of_a_name_still_counts(cli: Cli, failed: Path, tmp_path: Path) -> None:
    (tmp_path / "ok").touch()
    assert cli("retry", "r1", *WRONG).code == 0
    assert cli("rm", "r1").code == 0
    done = cli("run", failed, "--run-id", "r1", *WRONG)
    assert (done.code, done.json["runId"]) == (0, "r1.2"), "the work of this name was done"
    assert cli("retry", "r1.2", "--from", "third", *WRONG).json["runId"] == "r1.3"
    assert cli("rm", "r1.2").code == 0
    assert cli("retry", "r1.3", "--from", "third", *WRONG).json["runId"] == "r1.4", "no number is given twice"
    assert cli("rm", "r1.3", "r1.4").code == 0
    assert cli("run", failed, "--run-id", "r1", *WRONG).json["runId"] == "r1"


@pytest.mark.rule("RT-42")
def test_names_that_only_look_like_retries(cli: Cli, failed: Path) -> None:
    for name in ("r1.7", "r1.x", "r1.2.2"):
        assert cli("run", failed, "--run-id", name, *WRONG).json["runId"] == name
    assert cli("run", failed, "--run-id", "r1", *WRONG).json["runId"] == "r1"
    assert cli("retry", "r1", *WRONG).json["runId"] == "r1.2"
    assert cli("retry", "r1.7", *WRONG).json["runId"] == "r1.7.2"
    assert cli("run", failed, "--run-id", "r1", *WRONG).json["runId"] == "r1.2"


@pytest.mark.rule("RT-41")
def test_latest_is_no_name_for_a_run(cli: Cli, tmp_path: Path) -> None:
    said = cli("run", workflow(tmp_path, task("a", "noop")), "--run-id", "latest")
    assert said.code == 2
    assert "newest run" in said.err
    assert not (tmp_path / ".aether").exists()


@pytest.mark.rule("CTRL-4")
def test_a_retry_may_begin_from_a_task_that_has_not_run(cli: Cli, failed: Path, tmp_path: Path) -> None:
    (tmp_path / "ok").touch()
    said = cli("retry", "r1", "--from", "third", *WRONG)
    assert said.code == 0, said.err
    began = {one["path"]: one["startedAt"] is not None for one in said.json["tasks"]}
    assert (began["main.first"], began["main.third"]) == (False, True)


def test_a_retry_that_is_refused_is_not_announced(cli: Cli, failed: Path, tmp_path: Path) -> None:
    (tmp_path / "ok").touch()
    assert cli("retry", "r1").code == 0
    said = cli("retry", "r1.2")
    assert said.code == 2
    assert said.err.startswith("error: run 'r1.2' Succeeded")
    assert ids(cli("ls", "--output", "json")) == ["r1.2", "r1"]
    assert "hint" not in cli("resume", "r1.2").err
    assert "aether retry r1" in cli("resume", "r1").err


@pytest.mark.rule("CTRL-2")
@pytest.mark.parametrize(
    ("name", "told"), [("later", "main.later has not begun"), ("done", "main.done is Succeeded"), ("main", "main is a dag")]
)
def test_whom_an_answer_cannot_be_for(cli: Cli, tmp_path: Path, name: str, told: str) -> None:
    path = workflow(tmp_path, task("done", "noop"), task("ask", "await"), task("later", "noop", more=", dependencies: [ask]"))
    assert cli("run", path, "--run-id", "r1", "--quiet").code == 7
    said = cli("resume", "r1", name, "-p", "approved=true")
    assert said.code == 2
    assert told in said.err
    assert "suspended: main.ask" in said.err


def test_a_run_that_is_gone_on_with_is_announced_before_what_happens_to_it(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("ask", "await"), task("b", "noop", more=", dependencies: [ask]"))
    for number, command in enumerate([("resume", "ask", "-p", "approved=true"), ("cancel",)]):
        run = f"r{number}"
        assert cli("run", path, "--run-id", run, "--quiet").code == 7
        said = cli(command[0], run, *command[1:])
        assert said.code == 0
        first, *more = said.err.splitlines()
        assert first.startswith(f"continuing run {run}: ")
        assert any("main.ask" in line for line in more)


def test_hints_name_the_store_where_it_is_not_the_usual_one(tmp_path: Path) -> None:
    path = workflow(tmp_path, task("ask", "await"))
    here, there = f"sqlite:{tmp_path}/here.db", f"sqlite:{tmp_path}/there.db"

    def hint(*options: str, **env: str) -> str:
        told = aether("run", path, "--no-progress", "--run-id", "r1", *options, **env).stderr
        return next(line for line in told.splitlines() if "aether resume" in line)

    assert hint("--store", there, AETHER_STORE=here).endswith(f"--store {there}")
    assert hint(AETHER_STORE=here).endswith("approved=true")
    assert hint("--store", here, AETHER_STORE=here).endswith("approved=true")


def test_a_secret_that_was_typed_is_not_repeated(cli: Cli, tmp_path: Path) -> None:
    spec = "  arguments: {parameters: [{name: pw, valueFrom: {secretKeyRef: {name: db, key: pw}}}, {name: n, value: 1}]}\n"
    path = workflow(tmp_path, task("a", "noop"), spec=spec)
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 0
    said = cli("run", path, "--quiet", "--run-id", "r1", "-p", "pw=hunter2", "-p", "n=2")
    assert 'has pw = "***", not what was given' in said.err
    assert "has n = 1, not 2" in said.err
    assert "hunter2" not in said.err + said.out


@pytest.mark.rule("RT-43")
def test_what_counts_as_a_change_of_the_document(cli: Cli, tmp_path: Path) -> None:
    library = tmp_path / "library"
    library.mkdir()
    envelope = "apiVersion: aether/v1\nkind: WorkflowTemplate\nmetadata: {name: lib}\nspec:\n  templates:\n"
    template = library / "lib.yaml"
    template.write_text(f"{envelope}    - task: {{name: t, executor: {{type: echo}}}}\n", "utf-8")
    path = workflow(tmp_path, "{name: a, templateRef: {name: lib, template: t}}")
    run = ("run", path, "-L", library, "--run-id", "r1", "--quiet")
    assert cli(*run).code == 0
    text = path.read_text("utf-8").replace("entrypoint: main", "entrypoint:   main")
    path.write_text(f"# a comment\n{text}", "utf-8")
    assert cli(*run).err == "", "layout and comments are no change"
    template.write_text(template.read_text("utf-8").replace("echo", "noop"), "utf-8")
    said = cli(*run)
    assert said.code == 0
    assert len(set(re.findall(r"[0-9a-f]{64}", said.err))) == 2, "both digests are told, --quiet or not"
    assert json.loads(cli("ls", "--output", "json").out)["runs"][0]["digest"] in said.err
    assert os.listdir(library) == ["lib.yaml"]


def test_the_store_stays_out_of_version_control(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "noop"))
    assert cli("run", path, "--quiet", "--store", "sqlite:runs/runs.db").code == 0
    assert [item.name for item in (tmp_path / "runs").iterdir()] == ["runs.db"], "a folder of somebody else"
    assert cli("run", path, "--quiet").code == 0
    note = tmp_path / ".aether" / ".gitignore"
    assert note.read_text() == "*\n"
    note.unlink()
    assert cli("run", path, "--quiet").code == 0
    assert not note.exists(), "who takes it away means it"


def test_a_watched_run_that_did_not_succeed_tells_what_to_do(cli: Cli, failed: Path) -> None:
    watched = cli("run", failed, "--run-id", "r1")
    assert "hint: aether show r1 shows why\n  hint: aether retry r1 repeats what failed\n" in watched.err
    assert "--store sqlite:o.db" in cli("run", failed, "--store", "sqlite:o.db").err
    assert cli("run", failed, "--run-id", "r1", "--quiet").err == ""
    assert "aether show" not in cli("run", failed, "--store", "memory").err
