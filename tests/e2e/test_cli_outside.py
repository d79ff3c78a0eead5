"""The outside fails under a process: a disk that is full, files that are damaged, foreign or from the future, a clock that is
set back. Each is reported with its exit code, and nothing that was recorded is lost."""

from __future__ import annotations

import json
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.documents import HEAD, task, workflow
from tests.e2e.process import AETHER, aether, environment, read_until

LOOKS = (
    ("ls",),
    ("show", "r1"),
    ("events", "r1"),
    ("logs", "r1"),
    ("replay", "r1"),
    ("diff", "r1", "r1"),
    ("wait", "r1"),
    ("export", "r1"),
    ("db", "check"),
    ("db", "info"),
)
WRITES = (
    ("run", "flow.yaml", "--run-id", "r1"),
    ("run", "flow.yaml"),
    ("resume", "r1"),
    ("cancel", "r1"),
    ("retry", "r1"),
    ("rm", "r1"),
    ("prune", "--older-than", "1d"),
    ("db", "migrate"),
    ("db", "vacuum"),
)


def refused(*arguments: str | Path, cwd: Path, words: str) -> None:
    """Exit code 9 with these words, and nothing on standard output."""
    said = aether(*arguments, cwd=cwd, AETHER_STORE="sqlite:runs.db")
    assert (said.returncode, said.stdout) == (9, ""), (arguments, said.stdout, said.stderr)
    assert words in said.stderr, arguments
    assert "Traceback" not in said.stderr


# --- files that cannot be used ---


def foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('one'), ('two')")
    connection.close()


def future(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 1000")
    connection.close()


def letter(path: Path) -> None:
    path.write_bytes(b"Dear sirs, this is no database at all.\n" * 1_000)


def beheaded(path: Path) -> None:
    path.write_bytes(b"\0" * 100 + path.read_bytes()[100:])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (foreign, "is a database of another program"),
        (future, "was written by a newer version"),
        (letter, "is not a SQLite database"),
        (beheaded, "is not a SQLite database"),
    ],
)
def test_a_file_that_cannot_be_used_is_told_by_every_command_and_not_touched(
    tmp_path: Path, spoil: Callable[[Path], None], words: str
) -> None:
    workflow(tmp_path, task("a", "script", "{runtime: sh, workingDir: document, source: touch started}"))
    path = tmp_path / "runs.db"
    if spoil in (future, beheaded):
        assert aether("run", "flow.yaml", "--run-id", "r1", cwd=tmp_path, AETHER_STORE="sqlite:runs.db").returncode == 0
        (tmp_path / "started").unlink()
    spoil(path)
    before = path.read_bytes()
    for command in (*LOOKS, *WRITES):
        refused(*command, cwd=tmp_path, words=words)
    assert path.read_bytes() == before
    assert sorted(item.name for item in tmp_path.iterdir()) == ["flow.yaml", "runs.db"]


def test_a_file_whose_inside_is_damaged_is_told_and_what_is_whole_can_be_saved(tmp_path: Path) -> None:
    """The steps of run `big` are overwritten; those of run `r1` are not."""
    workflow(tmp_path, task("a", "script", "{runtime: sh, source: echo hello}"))
    text = "x" * 50_000
    big = workflow(tmp_path, task("a", "echo", f"{{outputs: [{{name: x, value: {text}}}]}}"), name="big.yaml")

    def call(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return aether(*arguments, cwd=tmp_path, AETHER_STORE="sqlite:runs.db")

    for name, path in (("r1", tmp_path / "flow.yaml"), ("big", big)):
        assert call("run", path, "--run-id", name, "--quiet").returncode == 0
    held = (tmp_path / "runs.db").read_bytes()
    size = int.from_bytes(held[16:18])  # of a page
    begin = held.index(b"x" * (size - 100)) // size * size
    damaged = bytearray(held)
    while b"x" * (size // 2) in damaged[begin : begin + size]:
        damaged[begin : begin + size] = b"\x07" * size
        begin += size
    (tmp_path / "runs.db").write_bytes(damaged)
    before = (tmp_path / "runs.db").read_bytes()
    said = call("show", "big")
    assert (said.returncode, said.stdout) == (9, ""), said.stderr
    assert "damaged" in said.stderr or "cannot be read" in said.stderr
    assert "aether db check" in said.stderr
    checked = call("db", "check")
    assert checked.returncode == 9
    assert checked.stdout or "damaged" in checked.stderr
    assert json.loads(call("show", "r1", "--output", "json").stdout)["phase"] == "Succeeded"
    saved = call("export", "r1")
    assert saved.returncode == 0
    (tmp_path / "r1.jsonl").write_text(saved.stdout)
    assert call("import", "r1.jsonl", "--store", "sqlite:new.db").returncode == 0
    assert call("show", "r1", "--store", "sqlite:new.db").stdout == call("show", "r1").stdout
    assert (tmp_path / "runs.db").read_bytes() == before


# --- a disk that is full ---

COUNT = 40
FILLING = f"""{HEAD}  templates:
    - dag: {{name: main, tasks: [{{name: many, template: each}}]}}
    - loop: {{name: each, body: one, items: {list(range(COUNT))}, concurrency: 2}}
    - task:
        name: one
        outputs: {{parameters: [{{name: text}}]}}
        executor:
          type: script
          config:
            runtime: sh
            source: |
              echo "$AETHER_IDEMPOTENCY_KEY" >> "$EFFECTS"
              printf 'text=%s' "$(head -c 20000 /dev/zero | tr '\\0' x)" > "$AETHER_OUTPUTS"
"""

WITHOUT_SPACE = """
set -e
mount -t tmpfs -o size=1500k none "$PLACE"
head -c 1100000 /dev/zero > "$PLACE/filler"
"$@" run filling.yaml --run-id r1 --quiet --output json > out 2> err || echo $? > code
"$@" show r1 --output json > shown
"$@" run filling.yaml --run-id r2 --quiet > out-2 2> err-2 || echo $? > code-2
rm "$PLACE/filler"
mount -o remount,size=10m "$PLACE"
"$@" run filling.yaml --run-id r1 --quiet --output json > out-3
"$@" db check
cp "$PLACE/runs.db" .
"""


def unshared() -> list[str]:
    """A command that gives a process mounts of its own; empty where that may not be."""
    for command in (["unshare", "-m"], ["unshare", "-Urm"]):
        trial = [*command, "mount", "-t", "tmpfs", "none", "/mnt"]
        if shutil.which("unshare") and subprocess.run(trial, capture_output=True, check=False).returncode == 0:
            return command
    return []


MOUNTED = unshared()


def on_a_small_disk(folder: Path) -> dict[str, str]:
    """What was said in a file system that was full for some time."""
    (folder / "place").mkdir()
    place = folder / "place"
    env = environment(PLACE=str(place), AETHER_STORE=f"sqlite:{place / 'runs.db'}", EFFECTS=str(folder / "effects"))
    command = [*MOUNTED, "sh", "-c", WITHOUT_SPACE, "sh", *AETHER]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return {name: (folder / name).read_text() for name in ("out", "err", "code", "shown", "out-2", "err-2", "code-2", "out-3")}


def with_a_limit(folder: Path) -> dict[str, str]:
    """What was said while no file might grow beyond a limit for some time."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))

    def run(name: str, before: Callable[[], None] | None = None) -> subprocess.CompletedProcess[str]:
        return aether("run", "filling.yaml", "--run-id", name, "--quiet", "--output", "json", before=before, **given)

    given: dict[str, Any] = {"cwd": folder, "AETHER_STORE": "sqlite:runs.db", "EFFECTS": str(folder / "effects")}
    said: dict[str, str] = {}
    for number, name in (("", "r1"), ("-2", "r2")):
        done = run(name, limited)
        said |= {f"out{number}": done.stdout, f"err{number}": done.stderr, f"code{number}": f"{done.returncode}\n"}
    said["shown"] = aether("show", "r1", "--output", "json", **given).stdout
    said["out-3"] = run("r1").stdout
    assert aether("db", "check", **given).returncode == 0
    return said


WAYS = {"the disk reports an error": with_a_limit} | ({"the disk is full": on_a_small_disk} if MOUNTED else {})


@pytest.mark.parametrize("words", WAYS)
def test_without_space_a_run_stops_and_goes_on_when_there_is_some(tmp_path: Path, words: str) -> None:
    (tmp_path / "filling.yaml").write_text(FILLING)
    said = WAYS[words](tmp_path)
    assert (said["code"], said["code-2"]) == ("9\n", "9\n")
    assert (said["out"], said["out-2"]) == ("", "")
    for told in (said["err"], said["err-2"]):
        assert words in told
        assert "Traceback" not in told
    then, report = json.loads(said["shown"]), json.loads(said["out-3"])
    done = {one["path"] for one in then["tasks"] if one["phase"] == "Succeeded"}
    assert then["phase"] == "Running"
    assert 0 < len(done) < COUNT
    assert (report["phase"], report["progress"]) == ("Succeeded", f"{COUNT}/{COUNT}")
    assert {len(one["outputs"]["text"]) for one in report["tasks"] if one["taskName"] == "one"} == {20_000}
    effects = Counter((tmp_path / "effects").read_text().split())
    assert {key for key in effects if not key.startswith("r2:")} == {f"r1:main.many[{index}]" for index in range(COUNT)}
    assert {effects[f"r1:{path}"] for path in done} == {1}, "what was recorded is not done again"


# --- a clock that is set back ---

AT_ANOTHER_TIME = """
import sys, time
import time_machine
shift = float(sys.argv.pop(1))
with time_machine.travel(time.time() + shift, tick=True):
    from aether_protocol.cli import main
    sys.exit(main(sys.argv[1:]))
"""
AN_HOUR_AGO = [sys.executable, "-c", AT_ANOTHER_TIME, "-3600"]


def times(folder: Path) -> list[str]:
    said = aether("events", "r1", cwd=folder, AETHER_STORE="sqlite:runs.db").stdout
    return [json.loads(line)["at"] for line in said.splitlines()]


def killed_at_work(folder: Path, path: Path, words: str) -> None:
    process = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1"], cwd=folder, env=environment(AETHER_STORE="sqlite:runs.db"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None
    read_until(process.stderr, words)
    process.kill()
    process.communicate(timeout=60)


@pytest.mark.parametrize("tier", ["state-action-log", "snapshot"])
def test_a_clock_that_was_set_back_loses_nothing(tmp_path: Path, tier: str) -> None:
    beside = "{runtime: sh, workingDir: document"
    wait = "echo $AETHER_IDEMPOTENCY_KEY >> effects; test -e again || { echo waiting; sleep 60; }"
    path = workflow(
        tmp_path,
        task("a", "script", f"{beside}, source: 'echo a >> effects'}}"),
        task("b", "script", f"{beside}, source: {json.dumps(wait)}}}", ", dependencies: [a], timeout: 30s"),
        task("c", "echo", "{outputs: [{name: x, value: 1}]}", ", dependencies: [b], retry: {limit: 2}"),
    )
    given: dict[str, Any] = {"cwd": tmp_path, "AETHER_STORE": f"sqlite:runs.db?tier={tier}"}
    if tier == "snapshot":
        (tmp_path / "again").touch()  # such a run is at its beginning after a kill: let it suspend, and be saved so
        path = workflow(tmp_path, task("ok", "await"), task("c", "noop", more=", dependencies: [ok]"))
        assert aether("run", path, "--run-id", "r1", "--quiet", **given).returncode == 7
        done = aether("resume", "r1", "ok", "-p", "approved=true", "--output", "json", command=AN_HOUR_AGO, **given)
    else:
        killed_at_work(tmp_path, path, "| waiting")
        (tmp_path / "again").touch()
        done = aether("run", path, "--run-id", "r1", "--output", "json", command=AN_HOUR_AGO, **given)
        assert "behind the last step of run r1, which continues from there" in done.stderr
        assert times(tmp_path) == sorted(times(tmp_path))
        assert Counter((tmp_path / "effects").read_text().split()) == {"a": 1, "r1:main.b": 2}
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["phase"], report["durationSeconds"] >= 0) == ("Succeeded", True)
    assert all(one["startedAt"] <= one["finishedAt"] for one in report["tasks"])
    assert aether("ls", "--since", "2h", command=AN_HOUR_AGO, **given).stdout.count("r1") == 1
    assert aether("db", "check", **given).returncode == 0
    assert aether("prune", "--older-than", "1ms", command=AN_HOUR_AGO, **given).stderr == "deleted 0 runs\n"


def test_whose_clock_was_set_back_takes_no_run_from_a_living_process(tmp_path: Path) -> None:
    wait = "echo waiting; until test -e go; do sleep 0.05; done"
    path = workflow(tmp_path, task("a", "script", f"{{runtime: sh, workingDir: document, source: {wait!r}}}"))
    process = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1", "--lock", "nightly"], cwd=tmp_path,
        env=environment(AETHER_STORE="sqlite:runs.db"), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True,
    )
    assert process.stderr is not None
    read_until(process.stderr, "| waiting")
    given: dict[str, Any] = {"cwd": tmp_path, "AETHER_STORE": "sqlite:runs.db", "command": AN_HOUR_AGO}
    assert aether("run", path, "--run-id", "r1", **given).returncode == 8
    assert aether("run", path, "--lock", "nightly", "--lock-mode", "fail", **given).returncode == 8
    assert aether("rm", "r1", "--force", **given).returncode == 8
    (tmp_path / "go").touch()
    process.communicate(timeout=60)
    assert process.returncode == 0
