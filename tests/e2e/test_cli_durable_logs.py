"""What `aether logs` tells apart: tasks, attempts, hooks, what has not begun; and followers whose run is left."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.sql.logs import KEEP_LOG_CHARACTERS
from aether_protocol.cli.render.logs import LogPrinter
from aether_protocol.ports.store import LogLine
from aether_protocol.ports.store.logs import LOSS
from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, aether, environment, read_until
from tests.e2e.store_cli import Cli, make_cli


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def script(name: str, source: str, more: str = "") -> str:
    return task(name, "script", f"{{runtime: sh, source: {json.dumps(source)}}}", more)


def test_attempts_are_told_apart(cli: Cli, tmp_path: Path) -> None:
    retry = ", retry: {limit: 1, expression: \"phase == 'Failed'\", backoff: {duration: 0s}}"
    path = workflow(tmp_path, script("a", "printf 'one\\nhalf'; exit 1", retry))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    assert cli("logs", "r1", "a").out == "one\nhalf\n#2 | one\n#2 | half\n"
    assert cli("logs", "r1").out == "main.a | one\nmain.a | half\nmain.a#2 | one\nmain.a#2 | half\n"
    assert [piece["attempt"] for piece in cli("logs", "r1", "--output", "json").lines] == [1, 2]


def test_lines_are_chosen_by_time_attempt_and_text(cli: Cli, tmp_path: Path) -> None:
    retry = ", retry: {limit: 1, expression: \"phase == 'Failed'\", backoff: {duration: 0s}}"
    path = workflow(tmp_path, script("a", "for n in 1 2 3 4 5; do echo line $n; done; echo error 7 >&2; exit 1", retry))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    assert cli("logs", "r1", "a", "--tail", "2", "--stream", "stdout").out == "#2 | line 4\n#2 | line 5\n"
    assert cli("logs", "r1", "a", "--attempt", "1", "--grep", "line [24]").out == "line 2\nline 4\n"
    assert cli("logs", "r1", "a", "--grep", "e", "--attempt", "1", "--stream", "stdout", "--tail", "1").out == "line 5\n"
    assert len(cli("logs", "r1", "--tail", "3").out.splitlines()) == 3
    assert cli("logs", "r1", "--tail", "0").out == ""
    assert cli("logs", "r1", "a", "--grep", "error", "--timestamps").out.count(" UTC  ") == 2
    assert cli("logs", "r1", "--since", "1h").out == cli("logs", "r1").out != ""
    assert cli("logs", "r1", "--until", "1h").out == cli("logs", "r1", "--since", "2200-01-01").out == ""
    assert {one["attempt"] for one in cli("logs", "r1", "-o", "json", "--attempt", "2").lines} == {2}
    assert [one["text"] for one in cli("logs", "r1", "-o", "json", "--grep", "error", "--tail", "1").lines] == ["error 7\n"]
    wrong = cli("logs", "r1", "--grep", "(")
    assert (wrong.code, "is not a regular expression" in wrong.err) == (2, True)


def test_the_logs_of_a_container_name_its_tasks(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, script("a", "echo one"), script("b", "echo two", ", dependencies: [a]"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 0
    assert cli("logs", "r1", "main").out == cli("logs", "r1").out == "main.a | one\nmain.b | two\n"


def test_hooks_have_logs_of_their_own(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, script("a", "echo task", ", hooks: {onSuccess: {template: tell}}"),
                    spec="  hooks: {onExit: {template: tell}}\n")
    tell = '    - task: {name: tell, executor: {type: script, config: {runtime: sh, source: "echo {{hook.event}}"}}}\n'
    path.write_text(path.read_text("utf-8") + tell, "utf-8")
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 0
    assert sorted(cli("logs", "r1").out.splitlines()) == [
        "main.a | task", "task:main.a:onSuccess | onSuccess", "workflow:onExit | onExit",
    ]
    assert cli("logs", "r1", "a").out == "task\n"
    assert cli("logs", "r1", "workflow:onExit").out == "onExit\n"
    hooks = {hook["hook"] for hook in cli("show", "r1", "--output", "json").json["hooks"]}
    assert hooks < {piece["path"] for piece in cli("logs", "r1", "--output", "json").lines}


def test_logs_of_what_has_not_begun(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("ask", "await"), script("later", "echo later", ", dependencies: [ask]"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 7
    said = cli("logs", "r1", "later")
    assert (said.code, said.out, said.err) == (0, "", "nothing was written\n")
    store = f"sqlite:{tmp_path}/.aether/aether.db"
    following = follow("logs", "r1", "later", store)
    assert following.stderr is not None
    read_until(following.stderr, "no process drives this run")
    assert cli("resume", "r1", "ask", "-p", "approved=true").code == 0
    assert following.communicate(timeout=60)[0] == "later\n"
    assert cli("retry", "r1", "--from", "later", "--quiet").code == 0
    assert cli("logs", "r1.2", "ask").err == "nothing was written; what was reused of r1 has its logs there\n"


@pytest.mark.rule("RT-54")
def test_a_log_is_bounded_and_tells_what_it_dropped(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("flood", "script", "{runtime: python3, source: 'for n in range(400000): print(n)'}"))
    assert cli("run", path, "--quiet", "--run-id", "r1", "--output", "json").code == 0
    said = cli("logs", "r1", "flood")
    *_, last = said.out.splitlines()
    assert last == "399999"
    assert len(said.out) <= KEEP_LOG_CHARACTERS
    dropped = int(said.err.split()[0])
    assert said.err == f"{dropped} characters before this were dropped\n"
    assert dropped + len(said.out) == sum(len(f"{n}\n") for n in range(400_000))


def follow(command: str, *arguments: str) -> subprocess.Popen[str]:
    *rest, store = arguments
    return subprocess.Popen(
        [*AETHER, command, *rest, *([] if command == "wait" else ["--follow"])], env=environment(AETHER_STORE=store),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


@pytest.mark.parametrize("command", ["logs", "events", "wait"])
def test_who_follows_is_told_when_the_driver_dies(tmp_path: Path, command: str) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    path = workflow(tmp_path, script("a", f"echo waiting; until test -e {tmp_path}/open; do sleep 0.05; done"))
    driver = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1"], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert driver.stderr is not None
    read_until(driver.stderr, "| waiting")
    following = follow(command, "r1", store)
    assert following.stderr is not None
    if command != "wait":
        assert following.stdout is not None
        read_until(following.stdout, "waiting" if command == "logs" else "TaskRunning")
    driver.send_signal(signal.SIGKILL)
    driver.communicate(timeout=60)
    assert "'aether resume r1'" in read_until(following.stderr, "no process drives this run")
    (tmp_path / "open").touch()
    assert aether("resume", "r1", AETHER_STORE=store).returncode == 0
    out, err = following.communicate(timeout=60)
    lost = "main.a | the attempt was lost here\n" if command == "logs" else ""
    assert (following.returncode, err) == (0, lost)
    assert out


@pytest.mark.rule("RT-159")
def test_a_lost_attempt_and_its_repetition_are_told_apart(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    path = workflow(tmp_path, script("a", f"echo one; until test -e {tmp_path}/open; do sleep 0.05; done; echo two"))
    driver = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1", "--quiet"], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL
    )
    following = follow("logs", "r1", store) if wait_for_run(store) else None
    assert following is not None
    assert following.stdout is not None
    read_until(following.stdout, "one")
    driver.send_signal(signal.SIGKILL)
    driver.wait(timeout=60)
    (tmp_path / "open").touch()
    assert aether("resume", "r1", AETHER_STORE=store).returncode == 0
    following.communicate(timeout=60)
    told = aether("logs", "r1", AETHER_STORE=store)
    assert told.stdout.splitlines() == ["main.a | one", "main.a#1 again | one", "main.a#1 again | two"]
    assert told.stderr == "main.a | the attempt was lost here\n"
    pieces = [json.loads(line) for line in aether("logs", "r1", "-o", "json", AETHER_STORE=store).stdout.splitlines()]
    notes = [number for number, piece in enumerate(pieces) if piece["stream"] == "note"]
    assert len(notes) == 1
    assert "".join(piece["text"] for piece in pieces[: notes[0]]) == "one\n"
    shown = aether("show", "r1", "a", AETHER_STORE=store).stdout
    assert "lost 1 time and begun again" in shown
    assert shown.endswith("log:\n  | one\n  | two\n")


def test_what_a_lost_attempt_did_not_end_is_a_line_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    printer = LogPrinter(paths=False)
    for attempt, stream, text in ((1, "stdout", "half"), (1, "note", LOSS), (1, "stdout", "whole\nha"), (1, "note", LOSS),
                                  (1, "stdout", "again\n"), (2, "stdout", "last\n")):
        printer.take(LogLine("r1", 1, "main.a", attempt, stream, text, 0))
    printer.end()
    lines = ["half", "#1 again | whole", "#1 again | ha", "#1 again 2 | again", "#2 | last"]
    assert capsys.readouterr().out.splitlines() == lines


def wait_for_run(store: str) -> bool:
    """Return once the run is there."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if aether("show", "r1", AETHER_STORE=store).returncode == 0:
            return True
    return False


def test_logs_are_never_mixed_into_json(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, script("a", "echo noise; echo noise >&2; sleep 0.1; echo noise"))
    done: dict[str, Any] = cli("run", path, "--run-id", "r1", "--output", "json").json
    assert done["phase"] == "Succeeded"
    for command in (["show", "r1"], ["wait", "r1"], ["run", path, "--run-id", "r1"], ["replay", "r1"]):
        assert cli(*command, "--output", "json").json == done
    assert {line["runId"] for line in cli("run", path, "--output", "events").lines} != {"r1"}
