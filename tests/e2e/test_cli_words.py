"""The words of prior systems, reasons that are recorded, files that results go to, and what `-q` leaves out."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path

import pytest

from aether_protocol.cli.commands.runs.workflow import STATES
from aether_protocol.views.phases import PHASE_COLORS
from tests.e2e.documents import task, workflow
from tests.e2e.process import ROOT
from tests.e2e.store_cli import Cli, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


@pytest.fixture
def runs(cli: Cli, tmp_path: Path) -> Cli:
    """A run of each kind: good, bad, and waits."""
    for name, code, body in (("good", 0, task("a", "noop")), ("bad", 1, task("a", "fail")), ("waits", 7, task("a", "await"))):
        path = workflow(tmp_path, body, name=f"{name}.yaml")
        assert cli("run", path, "-q", "--run-id", name).code == code
    return cli


def ids(cli: Cli, *arguments: str) -> set[str]:
    return {row["runId"] for row in cli("workflow", "list", *arguments, "--json").json["runs"]}


def test_workflows_are_listed_by_type_and_state(runs: Cli) -> None:
    assert ids(runs) == {"good", "bad", "waits"}
    assert ids(runs, "--state", "COMPLETED") == {"good"}
    assert ids(runs, "--state", "failed") == {"bad"}
    assert ids(runs, "--state", "RUNNING") == {"waits"}
    assert ids(runs, "--state", "RUNNING", "--state", "COMPLETED") == {"good", "waits"}
    assert ids(runs, "--state", "PENDING") == ids(runs, "--state", "CANCELLED") == set()
    (name,) = {row["workflow"]["name"] for row in runs("ls", "--json").json["runs"]}
    assert ids(runs, "--type", name) == {"good", "bad", "waits"}
    assert ids(runs, "--type", "other") == set()
    assert runs("workflow", "list").out == runs("ls").out
    wrong = runs("workflow", "list", "--state", "DONE")
    assert (wrong.code, "PENDING, RUNNING, COMPLETED, FAILED, CANCELLED" in wrong.err) == (2, True)


def test_each_phase_has_one_state() -> None:
    assert sorted(phase for phases in STATES.values() for phase in phases) == sorted(PHASE_COLORS)


def test_status_is_show(runs: Cli) -> None:
    assert runs("status", "bad").out == runs("show", "bad").out
    assert runs("status", "bad", "--json").json == runs("show", "bad", "--json").json


def test_ae_is_aether() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["scripts"]
    assert scripts["ae"] == scripts["aether"]


@pytest.mark.rule("CTRL-2", "CTRL-3", "CTRL-4")
def test_reasons_are_recorded_and_shown(runs: Cli) -> None:
    assert runs("cancel", "waits", "-q", "--reason", "it is\n Friday").code == 0
    assert "cancelled: it is Friday" in runs("show", "waits").out
    assert "cancelled: it is Friday" in runs("ls").out
    assert runs("retry", "bad", "-q", "--reason", "the disk was full").code == 1
    report = runs("show", "bad.2", "--json").json
    assert [one["message"] for one in report["warnings"]] == ["retried: the disk was full"]
    assert "retried: the disk was full" in runs("show", "bad.2").out
    assert runs("show", "bad", "--json").json["warnings"] == []


@pytest.mark.rule("CTRL-2")
def test_the_reason_of_an_answer_stands_with_its_task(runs: Cli) -> None:
    assert runs("resume", "waits", "a", "-p", "approved=true", "-q", "--reason", "checked by hand").code == 0
    (note,) = runs("show", "waits", "--json").json["warnings"]
    assert (note["path"], note["message"]) == ("main.a", "resumed: checked by hand")
    assert "resumed: checked by hand" in runs("events", "waits").out
    assert runs("resume", "good", "--reason", "x").code == 2
    assert runs("cancel", "good", "--reason", "x" * 1001).code == 2


def test_results_go_to_the_file_that_is_named(runs: Cli, tmp_path: Path) -> None:
    target = tmp_path / "out" / "report.json"
    said = runs("show", "good", "--json", "--to", target)
    assert (said.code, said.out, said.err.startswith(f"error: cannot write {str(target)!r}")) == (9, "", True)
    target.parent.mkdir()
    assert runs("show", "good", "--json", "--to", target).out == ""
    assert json.loads(target.read_text("utf-8"))["runId"] == "good"
    os.chmod(target, 0o640)
    assert runs("ls", "--to", target).code == 0
    assert target.read_text("utf-8") == runs("ls", "--to", "-").out == runs("ls").out
    assert target.stat().st_mode & 0o777 == 0o640
    assert runs("show", "nothing", "--to", target).code == 2
    assert target.read_text("utf-8") == runs("ls").out, "what fails leaves the file as it was"
    assert [one.name for one in target.parent.iterdir()] == ["report.json"]


def test_quiet_leaves_out_notes_and_no_error(runs: Cli) -> None:
    assert "there are no such runs" in runs("ls", "--name", "other").err
    assert runs("ls", "--name", "other", "-q").err == runs("-q", "ls", "--name", "other").err == ""
    assert runs("show", "nothing", "-q").err.startswith("error: run 'nothing' is unknown")
    assert "--limit 20 sets the size of a page" in runs("ls", "-n", "20").err


def test_progress_and_notes_are_apart(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "fail"))
    whole, silent, quiet = (cli("run", path, *more).err for more in ((), ("--no-progress",), ("-q",)))
    assert "main.a" in whole
    assert ("main.a" in silent, "aether retry" in silent) == (False, True)
    assert quiet == ""


@pytest.mark.parametrize("command", ["show good", "ls", "replay good", "logs good --times", "events good -o text", "cron ls"])
def test_text_is_in_the_readers_zone_and_json_in_utc(runs: Cli, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = command.split()
    monkeypatch.setenv("TZ", "Asia/Kathmandu")
    if command not in ("cron ls", "logs good --times"):
        assert " +05:45" in runs(*words).out
    if words[0] != "events":
        assert "05:45" not in runs(*words, "-o", "json").out
    assert "05:45" not in runs("events", "good").out
