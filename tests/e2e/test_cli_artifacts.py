"""Artifacts of runs: private, programs stay programs, and gone an hour after the last run that names them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest

from tests.e2e.documents import workflow
from tests.e2e.store_cli import Cli, make_cli

SCRIPT = "{name: %s, executor: {type: script, config: {runtime: sh, source: %s}}, outputs: {%s}%s}"
PROGRAM = r"""'umask 0; printf "#!/bin/sh\necho hi\n" > prog; chmod 755 prog; """
PROGRAM += "mkdir dir; cp prog dir; echo x > dir/key; chmod 600 dir/key'"
MAKE = SCRIPT % ("make", PROGRAM, "artifacts: [{name: prog, path: prog}, {name: dir, path: dir}]", "")
GIVEN = "[{name: %s, path: in/%s, from: tasks.make.outputs.artifacts.%s}" % (("prog",) * 3)
GIVEN += ", {name: %s, path: in/%s, from: tasks.make.outputs.artifacts.%s}]" % (("dir",) * 3)
LOOK = "'umask 0; in/prog && in/dir/prog && stat -c %a in/prog in/dir in/dir/prog in/dir/key'"
USE = SCRIPT % ("use", LOOK, "parameters: [{name: stdout}]", f", dependencies: [make], inputs: {{artifacts: {GIVEN}}}")
OWN = SCRIPT % ("make", "'date +%s%N > out'", "artifacts: [{name: out, path: out}]", "")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def kept(folder: Path) -> list[Path]:
    return [path for path in (folder / "sha256").rglob("*") if path.is_file()]


def grow_old(folder: Path) -> None:
    then = time.time() - 3_700
    for path in kept(folder):
        os.utime(path, (then, then))


@pytest.mark.rule("RT-94")
def test_what_is_laid_down_keeps_what_it_may_and_gets_no_wider(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, MAKE, USE)
    assert cli("run", path, "--run-id", "r", "--quiet").code == 0
    tasks = json.dumps(cli("show", "r", "--output", "json").json)
    assert json.dumps("hi\nhi\n755\n755\n755\n600")[1:-1] in tasks


@pytest.mark.rule("RT-95")
@pytest.mark.parametrize("store", [(), ("--store", "sqlite:other.db")])
def test_artifacts_go_with_the_last_run_that_names_them(cli: Cli, tmp_path: Path, store: tuple[str, ...]) -> None:
    folder = tmp_path / "other.db-artifacts" if store else tmp_path / ".aether" / "artifacts"
    path = workflow(tmp_path, OWN)
    assert cli("run", path, "--run-id", "a", "--quiet", *store).code == 0
    assert cli("run", path, "--run-id", "b", "--quiet", *store).code == 0
    assert cli("retry", "b", "--quiet", *store).code in (0, 2)
    assert len(kept(folder)) == 2
    assert cli("db", "check", *store).err == "all is well\n"
    assert cli("rm", "a", *store).err == "deleted 1 run\n", "what was kept just now stays for an hour"
    check = cli("db", "check", *store)
    assert (check.code, check.out.count("is named by no run")) == (0, 1)
    grow_old(folder)
    dry = cli("prune", "--older-than", "1d", "--dry-run", *store)
    assert dry.err.startswith("would delete 0 runs, 1 artifact (")
    assert len(kept(folder)) == 2
    assert cli("prune", "--older-than", "1d", *store).err.startswith("deleted 0 runs, 1 artifact (")
    assert len(kept(folder)) == 1
    kept(folder)[0].chmod(0o600)
    kept(folder)[0].write_bytes(b"something else")
    check = cli("db", "check", *store)
    assert (check.code, "of run 'b' is damaged" in check.out) == (9, True)
    kept(folder)[0].unlink()
    check = cli("db", "check", *store)
    assert (check.code, "of run 'b' is not there" in check.out) == (9, True)


@pytest.mark.rule("RT-95")
def test_an_imported_run_names_what_it_named(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, OWN)
    assert cli("run", path, "--run-id", "a", "--quiet").code == 0
    assert cli("export", "a", "--to", "a.jsonl").code == 0
    assert cli("rm", "a").code == 0
    assert cli("import", "a.jsonl").code == 0
    folder = tmp_path / ".aether" / "artifacts"
    grow_old(folder)
    assert cli("prune", "--older-than", "1d").err == "deleted 0 runs\n"
    assert len(kept(folder)) == 1
    assert cli("db", "check").err == "all is well\n"


@pytest.mark.rule("RT-95", "ART-2")
def test_what_a_source_gave_is_kept_for_the_runs_that_may_be_retried(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / ".aether" / "artifacts"
    given = "[{name: note, path: note, source: {type: raw, config: {text: hello}}}]"
    path = workflow(tmp_path, SCRIPT % ("read", "'cat note; exit 1'", "parameters: []", f", inputs: {{artifacts: {given}}}"))
    assert cli("run", path, "--run-id", "a", "--quiet").code == 1
    assert len(kept(folder)) == 1
    grow_old(folder)
    assert cli("prune", "--older-than", "1d").err.startswith("deleted 0 runs")
    assert cli("db", "check").err == "all is well\n"
    assert len(kept(folder)) == 1
    again = cli("retry", "a", "--output", "json")
    assert (again.code, again.json["runId"] != "a") == (1, True)
    cli("rm", "a")
    grow_old(folder)
    cli("prune", "--older-than", "1d")
    assert len(kept(folder)) == 1
    cli("rm", again.json["runId"])
    cli("prune", "--older-than", "1d")
    assert kept(folder) == []
