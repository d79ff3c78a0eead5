"""Stores that may only be read: a command that looks can look, one that would write is refused before anything starts."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, aether, bound_by_rights, environment, read_until

LOOKS = (
    ("ls",),
    ("ls", "--output", "json"),
    ("show", "done"),
    ("show", "done", "--output", "json"),
    ("events", "done"),
    ("logs", "done"),
    ("replay", "done", "--at", "3"),
    ("diff", "done", "done"),
    ("wait", "done", "--output", "json"),
    ("export", "done"),
    ("db", "check"),
    ("prune", "--older-than", "1ms", "--dry-run"),
)
WRITES = (
    ("rm", "done"),
    ("prune", "--older-than", "1ms"),
    ("resume", "open", "main.ok", "-p", "approved=true"),
    ("cancel", "open"),
    ("retry", "done", "--from", "main.a"),
    ("db", "migrate"),
    ("db", "vacuum"),
)


def call(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return aether(*arguments, cwd=cwd, before=bound_by_rights, AETHER_STORE="sqlite:kept/runs.db")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A folder with the store `kept/runs.db` in it: a run that is done, and one that waits for an answer."""
    done = workflow(tmp_path, task("a", "script", "{runtime: sh, source: echo hello}"))
    waits = workflow(tmp_path, task("ok", "await"), name="waits.yaml")
    assert call("run", done, "--run-id", "done", "--quiet", cwd=tmp_path).returncode == 0
    assert call("run", waits, "--run-id", "open", "--quiet", cwd=tmp_path).returncode == 7
    yield tmp_path
    kept = tmp_path / "kept"
    kept.chmod(0o755)
    for item in files_of(kept):
        item.chmod(0o644)


def lock(kept: Path, *, folder: bool = True, files: bool = True) -> dict[str, bytes]:
    """Take the right to write away; what is there, by name."""
    for item in files_of(kept) if files else ():
        item.chmod(0o444)
    if folder:
        kept.chmod(0o555)
    return held(kept)


def files_of(folder: Path) -> list[Path]:
    """The files of the store; workspaces lie in a folder beside them."""
    return [item for item in folder.iterdir() if item.is_file()]


def held(kept: Path) -> dict[str, bytes]:
    return {item.name: item.read_bytes() for item in files_of(kept)}


@pytest.mark.parametrize(("folder", "files"), [(True, True), (True, False), (False, True)])
def test_who_looks_sees_all_and_who_would_write_is_told(home: Path, folder: bool, files: bool) -> None:
    seen = {look: call(*look, cwd=home) for look in LOOKS}
    before = lock(home / "kept", folder=folder, files=files)
    assert list(before) == ["runs.db"]
    for look, as_before in seen.items():
        said = call(*look, cwd=home)
        assert (said.returncode, said.stdout) == (as_before.returncode, as_before.stdout) != (9, ""), said.stderr
    assert json.loads(call("db", "info", "--output", "json", cwd=home).stdout)["details"]["journal"] == "(read-only)"
    for write in WRITES:
        said = call(*write, cwd=home)
        assert (said.returncode, said.stdout) == (9, ""), write
        assert "cannot be" in said.stderr
        assert "Traceback" not in said.stderr
    assert held(home / "kept") == before, "no byte was written, and no file made"


def test_a_run_that_cannot_be_recorded_does_not_start(home: Path) -> None:
    path = workflow(home, task("a", "script", "{runtime: sh, workingDir: document, source: touch started}"))
    before = lock(home / "kept")
    for arguments in (("run", path), ("run", path, "--run-id", "open"), ("run", path, "--store", "sqlite:kept/deep/er.db")):
        said = call(*arguments, cwd=home)
        assert (said.returncode, said.stdout) == (9, "")
        assert "read-only" in said.stderr or "cannot make the directory" in said.stderr
    assert held(home / "kept") == before
    assert not (home / "started").exists()
    (home / "kept").chmod(0o755)
    (home / "kept" / "runs.db").chmod(0o644)
    assert call("resume", "open", "main.ok", "-p", "approved=true", "--quiet", cwd=home).returncode == 0


def test_a_run_that_goes_on_elsewhere_can_be_watched(home: Path) -> None:
    """The writer may write, the watcher may not: as with a service's store."""
    wait = "echo waiting; until test -e go; do sleep 0.05; done"
    path = workflow(home, task("a", "script", f"{{runtime: sh, workingDir: document, source: {wait}}}"))
    running = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "live"], cwd=home, env=environment(AETHER_STORE="sqlite:kept/runs.db"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert running.stderr is not None
    read_until(running.stderr, "| waiting")
    lock(home / "kept")
    assert "Running" in call("ls", "--open", cwd=home).stdout
    assert json.loads(call("show", "live", "--output", "json", cwd=home).stdout)["phase"] == "Running"
    watching = subprocess.Popen(
        [*AETHER, "logs", "live", "--follow"], cwd=home, env=environment(AETHER_STORE="sqlite:kept/runs.db"),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, preexec_fn=bound_by_rights,
    )
    assert watching.stdout is not None
    read_until(watching.stdout, "waiting")
    (home / "go").touch()
    running.communicate(timeout=60)
    assert running.returncode == 0
    assert watching.wait(60) == 0
    watching.stdout.close()


def test_what_a_killed_process_left_is_read_with_its_end_or_not_at_all(home: Path) -> None:
    path = workflow(home, task("a", "script", "{runtime: sh, source: echo waiting; sleep 60}"))
    running = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "killed"], cwd=home, env=environment(AETHER_STORE="sqlite:kept/runs.db"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    assert running.stderr is not None
    read_until(running.stderr, "| waiting")
    running.send_signal(signal.SIGKILL)
    running.communicate(timeout=60)
    kept = home / "kept"
    assert sorted(item.name for item in files_of(kept)) == ["runs.db", "runs.db-shm", "runs.db-wal"]
    lock(kept)
    assert json.loads(call("show", "killed", "--output", "json", cwd=home).stdout)["phase"] == "Running"
    kept.chmod(0o755)
    (kept / "runs.db-shm").unlink()
    lock(kept)
    said = call("show", "killed", cwd=home)
    assert (said.returncode, said.stdout) == (9, "")
    assert "was not closed in order" in said.stderr
    copy = home / "copy"
    shutil.copytree(kept, copy)
    copy.chmod(0o755)
    for item in files_of(copy):
        item.chmod(0o644)
    assert json.loads(call("show", "killed", "--output", "json", "--store", "sqlite:copy/runs.db", cwd=home).stdout)["tasks"]


def test_a_store_of_before_the_first_release_is_refused(home: Path) -> None:
    with sqlite3.connect(home / "kept" / "runs.db") as connection:
        connection.execute("PRAGMA user_version = 1")
    connection.close()
    before = lock(home / "kept")
    said = call("ls", cwd=home)
    assert (said.returncode, said.stdout) == (9, "")
    assert "was written before the first release: its schema is 1" in said.stderr
    assert held(home / "kept") == before
