"""Durable runs as processes: killed and recovered, two at once, locks, following, answers from elsewhere."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, Terminal, aether, environment, read_until


@pytest.fixture
def store(tmp_path: Path) -> str:
    return f"sqlite:{tmp_path / 'runs.db'}"


def start(store: str, *arguments: str | Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*AETHER, *map(str, arguments)], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def call(store: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return aether(*arguments, AETHER_STORE=store)


def report(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    return json.loads(done.stdout)


def script(name: str, source: str, more: str = "") -> str:
    return task(name, "script", f"{{runtime: sh, source: {json.dumps(source)}}}", more)


def gated(folder: Path, name: str = "gated.yaml") -> Path:
    """`first` ends at once; `second` says that it waits and ends when the file `open` is there."""
    first = script("first", f"echo first >> {folder}/trace")
    wait = f"echo $AETHER_IDEMPOTENCY_KEY >> {folder}/keys; echo waiting; until test -e {folder}/open; do sleep 0.05; done"
    return workflow(folder, first, script("second", wait, ", dependencies: [first]"), name=name)


def until_waiting(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    read_until(process.stderr, "| waiting")


def end(process: subprocess.Popen[str], number: int = signal.SIGKILL) -> tuple[int, str, str]:
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.mark.rule("RT-42", "RT-46", "RT-48")
def test_a_killed_run_is_gone_on_with_at_once_and_nothing_is_done_twice(tmp_path: Path, store: str) -> None:
    path = gated(tmp_path)
    process = start(store, "run", path, "--run-id", "r1")
    until_waiting(process)
    end(process)
    (tmp_path / "open").touch()
    done = call(store, "run", path, "--run-id", "r1", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert "continuing run r1: 1 of 2 tasks done" in done.stderr
    assert (tmp_path / "trace").read_text() == "first\n"
    assert report(done)["progress"] == "2/2"
    again = call(store, "run", path, "--run-id", "r1", "--output", "json")
    assert (again.returncode, report(again)) == (0, report(done))


@pytest.mark.rule("RT-44")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_a_named_run_and_tells_how_to_go_on(tmp_path: Path, store: str, number: int) -> None:
    path = gated(tmp_path)
    process = start(store, "run", path, "--run-id", "r1", "--output", "json")
    until_waiting(process)
    code, out, err = end(process, number)
    assert code == 130
    assert json.loads(out)["phase"] == "Running"
    assert "aether resume r1" in err
    assert "aether cancel r1" in err
    (tmp_path / "open").touch()
    done = call(store, "resume", "r1", "--output", "json")
    assert (done.returncode, report(done)["phase"]) == (0, "Succeeded")
    assert (tmp_path / "trace").read_text() == "first\n"


@pytest.mark.rule("RT-44")
def test_an_interrupt_cancels_a_run_without_a_name(tmp_path: Path, store: str) -> None:
    process = start(store, "run", gated(tmp_path), "--output", "json")
    until_waiting(process)
    code, out, _ = end(process, signal.SIGINT)
    assert (code, json.loads(out)["phase"]) == (130, "Cancelled")
    assert report(call(store, "show", "latest", "--output", "json"))["phase"] == "Cancelled"


@pytest.mark.rule("RT-46", "RT-57")
def test_two_processes_never_drive_one_run(tmp_path: Path, store: str) -> None:
    path = gated(tmp_path)
    process = start(store, "run", path, "--run-id", "r1")
    until_waiting(process)
    second = call(store, "run", path, "--run-id", "r1")
    assert second.returncode == 8
    assert "aether wait r1" in second.stderr
    assert call(store, "rm", "r1", "--force").returncode == 8
    (tmp_path / "open").touch()
    waited = call(store, "wait", "r1", "--output", "json")
    assert (waited.returncode, report(waited)["phase"]) == (0, "Succeeded")
    assert process.wait(60) == 0
    process.communicate()
    assert (tmp_path / "trace").read_text() == "first\n"


@pytest.mark.rule("RT-42")
def test_processes_that_start_one_run_at_once_make_one_run(tmp_path: Path, store: str) -> None:
    path = workflow(tmp_path, script("a", f"echo a >> {tmp_path}/trace; sleep 0.2"))
    processes = [start(store, "run", path, "--run-id", "r1", "--quiet") for _ in range(4)]
    codes = sorted(process.wait(60) for process in processes)
    for process in processes:
        process.communicate()
    assert codes[0] == 0
    assert set(codes) <= {0, 8}
    assert (tmp_path / "trace").read_text() == "a\n"


@pytest.mark.rule("RT-43")
def test_a_changed_document_is_told_and_not_used(tmp_path: Path, store: str) -> None:
    path = gated(tmp_path)
    process = start(store, "run", path, "--run-id", "r1")
    until_waiting(process)
    end(process)
    (tmp_path / "open").touch()
    path.write_text(path.read_text().replace("echo waiting", "echo changed"), "utf-8")
    done = call(store, "run", path, "--run-id", "r1")
    assert done.returncode == 0
    row = json.loads(call(store, "ls", "--output", "json").stdout)["runs"][0]
    assert f"recorded {row['digest']}, the file is " in done.stderr
    assert "changed" not in call(store, "logs", "r1").stdout


@pytest.mark.rule("RT-43")
def test_parameters_that_differ_are_told_and_not_used(tmp_path: Path, store: str) -> None:
    spec = "  arguments: {parameters: [{name: n, type: integer, default: 1}]}\n"
    path = workflow(tmp_path, task("a", "echo", more=', inputs: {parameters: [{name: n, value: "{{workflow.parameters.n}}"}]}'),
                    spec=spec)
    assert call(store, "run", path, "--run-id", "r1", "-p", "n=2").returncode == 0
    done = call(store, "run", path, "--run-id", "r1", "-p", "n=3", "--output", "json")
    assert "has n = 2, not 3" in done.stderr
    assert report(done)["tasks"][1]["outputs"] == {"n": 2}  # type: ignore[index]
    assert "has n" not in call(store, "run", path, "--run-id", "r1", "-p", "n=2").stderr


@pytest.mark.rule("CTRL-4", "RT-42")
def test_again_failed_retries_until_it_succeeds_and_keeps_what_did(tmp_path: Path, store: str) -> None:
    good = script("good", f"echo good >> {tmp_path}/trace")
    path = workflow(tmp_path, good, script("bad", f"test -e {tmp_path}/fixed", ", dependencies: [good]"))
    run = ("run", path, "--run-id", "r1")
    assert [call(store, *run).returncode for _ in range(2)] == [1, 1]
    failed = call(store, *run, "--again", "failed")
    assert failed.returncode == 1
    assert "retrying it as r1.2" in failed.stderr
    (tmp_path / "fixed").touch()
    done = call(store, *run, "--again", "failed", "--output", "json")
    assert (done.returncode, report(done)["runId"]) == (0, "r1.3")
    for more in ((), ("--again", "failed")):
        again = call(store, *run, *more, "--output", "json")
        assert (again.returncode, report(again)) == (0, report(done))
    assert (tmp_path / "trace").read_text() == "good\n"


@pytest.mark.rule("RT-45")
def test_locks_keep_invocations_apart(tmp_path: Path, store: str) -> None:
    path = gated(tmp_path)
    other = workflow(tmp_path, script("b", f"echo other >> {tmp_path}/trace"), name="other.yaml")
    process = start(store, "run", path, "--lock", "door")
    until_waiting(process)
    skipped = call(store, "run", other, "--lock", "door", "--lock-mode", "skip")
    assert (skipped.returncode, skipped.stdout) == (0, "")
    assert "nothing to do" in skipped.stderr
    failed = call(store, "run", other, "--lock", "door", "--lock-mode", "fail")
    assert failed.returncode == 8
    assert call(store, "run", other, "--lock", "window").returncode == 0
    waiting = start(store, "run", other, "--lock", "door")
    assert waiting.stderr is not None
    read_until(waiting.stderr, "waiting for lock")
    assert (tmp_path / "trace").read_text() == "first\nother\n"
    (tmp_path / "open").touch()
    assert process.wait(60) == 0
    assert waiting.wait(60) == 0
    for one in (process, waiting):
        one.communicate()
    assert (tmp_path / "trace").read_text() == "first\nother\nother\n"


@pytest.mark.rule("RT-45", "RT-46")
def test_the_lock_of_a_killed_process_is_free_at_once(tmp_path: Path, store: str) -> None:
    process = start(store, "run", gated(tmp_path), "--lock", "door")
    until_waiting(process)
    end(process)
    path = workflow(tmp_path, task("a", "noop"))
    assert call(store, "run", path, "--lock", "door", "--lock-mode", "fail").returncode == 0
    (tmp_path / "open").touch()  # the script of the killed one still waits for it


def test_an_interrupt_ends_the_wait_for_a_lock(tmp_path: Path, store: str) -> None:
    process = start(store, "run", gated(tmp_path), "--lock", "door")
    until_waiting(process)
    waiting = start(store, "run", gated(tmp_path, "more.yaml"), "--lock", "door")
    assert waiting.stderr is not None
    read_until(waiting.stderr, "waiting for lock")
    code, out, err = end(waiting, signal.SIGINT)
    assert (code, out) == (130, "")
    assert "Traceback" not in err
    end(process, signal.SIGINT)


def test_what_is_left_suspended_is_answered_later(tmp_path: Path, store: str) -> None:
    path = workflow(tmp_path, task("ok", "await", "{message: shall we}"), script("b", "echo went on", ", dependencies: [ok]"))
    left = call(store, "run", path, "--run-id", "r1")
    assert left.returncode == 7
    assert "aether resume r1 main.ok -p approved=true" in left.stderr
    assert call(store, "run", path, "--run-id", "r1").returncode == 7
    refused = call(store, "resume", "r1", "b", "-p", "approved=true")
    assert refused.returncode == 2
    assert "main.b has not begun" in refused.stderr
    done = call(store, "resume", "r1", "ok", "--payload", '{"by": "ada"}', "-p", "approved=true", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert report(done)["tasks"][1]["outputs"]["by"] == "ada"  # type: ignore[index]
    over = call(store, "resume", "r1", "ok", "-p", "approved=true")
    assert over.returncode == 2
    assert "has ended" in over.stderr


@pytest.mark.rule("CTRL-2")
def test_an_answer_that_is_refused_leaves_the_run_suspended(tmp_path: Path, store: str) -> None:
    ask = task("ok", "await", more=", inputs: {parameters: [{name: n, type: integer, value: 1}]}")
    assert call(store, "run", workflow(tmp_path, ask), "--run-id", "r1").returncode == 7
    refused = call(store, "resume", "r1", "ok", "-p", "n=many")
    assert refused.returncode == 2
    assert "n" in refused.stderr
    assert call(store, "resume", "r1", "ok", "-p", "n=2").returncode == 0


@pytest.mark.rule("RT-53")
def test_answers_and_cancels_reach_the_process_that_drives_the_run(tmp_path: Path, store: str) -> None:
    path = workflow(tmp_path, task("ok", "await"), script("b", "echo waiting; sleep 60", ", dependencies: [ok]"),
                    task("long", "sleep", "{duration: 60s}"))
    process = start(store, "run", path, "--run-id", "r1")
    assert process.stderr is not None
    read_until(process.stderr, "main.ok  suspended")
    answered = call(store, "resume", "r1", "main.ok", "-p", "approved=true")
    assert answered.returncode == 0, answered.stderr
    assert "driven by another process" in answered.stderr
    until_waiting(process)
    refused = call(store, "resume", "r1", "main.ok", "-p", "approved=true")
    assert refused.returncode == 2
    cancelled = call(store, "cancel", "r1")
    assert cancelled.returncode == 0, cancelled.stderr
    assert process.wait(60) == 6
    process.communicate()


def test_a_run_that_nobody_drives_is_cancelled_with_its_hooks(tmp_path: Path, store: str) -> None:
    hook = "  hooks: {onExit: {template: tidy}}\n"
    path = workflow(tmp_path, task("ok", "await"), spec=hook)
    tidy = f'    - task: {{name: tidy, executor: {{type: script, config: {{runtime: sh, source: "touch {tmp_path}/tidy"}}}}}}\n'
    path.write_text(path.read_text() + tidy, "utf-8")
    assert call(store, "run", path, "--run-id", "r1").returncode == 7
    done = call(store, "cancel", "r1", "--output", "json")
    assert (done.returncode, report(done)["phase"]) == (0, "Cancelled")
    assert (tmp_path / "tidy").exists()
    assert call(store, "cancel", "r1").returncode == 2


@pytest.mark.rule("EXEC-3", "SCHED-9")
def test_programs_of_a_killed_process_end_before_they_are_begun_again(tmp_path: Path, store: str) -> None:
    """The first attempt holds a pipe that comes to its end with it."""
    os.mkfifo(tmp_path / "held")
    source = f"""
        echo $$ >> {tmp_path}/begun; test -e {tmp_path}/again && exit
        exec 9> {tmp_path}/held; echo starting; sleep 0.2; echo waiting
        while :; do sleep 1; done
    """
    path = workflow(tmp_path, script("a", source))
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    process = start(store, "run", path, "--run-id", "r1")
    until_waiting(process)
    end(process)
    os.set_blocking(held, True)
    assert select.select([held], [], [], 20)[0]
    assert os.read(held, 1) == b"", "it is gone, though nobody went on with the run"
    os.close(held)
    (tmp_path / "again").touch()
    done = call(store, "run", path, "--run-id", "r1", "--output", "json")
    assert (done.returncode, report(done)["phase"]) == (0, "Succeeded"), done.stderr
    assert len((tmp_path / "begun").read_text().split()) == 2


@pytest.mark.rule("SCHED-9")
def test_an_attempt_is_repeated_however_many_processes_die_with_it(tmp_path: Path, store: str) -> None:
    source = f"""
        echo $AETHER_IDEMPOTENCY_KEY $AETHER_ATTEMPT >> {tmp_path}/keys
        test -e {tmp_path}/enough && exit
        echo waiting; sleep 60
    """
    more = ", retry: {limit: 3}"
    path = workflow(tmp_path, script("a", source, more), script("b", f"echo b >> {tmp_path}/b", ", dependencies: [a]"))
    for _ in range(11):
        process = start(store, "run", path, "--run-id", "r1")
        until_waiting(process)
        end(process)
    (tmp_path / "enough").touch()
    done = call(store, "run", path, "--run-id", "r1", "--output", "json")
    assert (done.returncode, report(done)["phase"]) == (0, "Succeeded"), done.stderr
    (task_a,) = [one for one in report(done)["tasks"] if one["path"] == "main.a"]  # type: ignore[attr-defined]
    assert (task_a["phase"], task_a["retries"]) == ("Succeeded", 0)
    assert set((tmp_path / "keys").read_text().splitlines()) == {"r1:main.a 1"}
    assert len((tmp_path / "keys").read_text().splitlines()) == 12
    assert (tmp_path / "b").read_text() == "b\n"


@pytest.mark.rule("RT-48")
def test_a_run_whose_process_was_killed_is_cancelled_and_nothing_of_it_starts_again(tmp_path: Path, store: str) -> None:
    process = start(store, "run", gated(tmp_path), "--run-id", "r1")
    until_waiting(process)
    end(process)
    done = call(store, "cancel", "r1", "--output", "json")
    assert (done.returncode, report(done)["phase"]) == (0, "Cancelled"), done.stderr
    assert len((tmp_path / "keys").read_text().split()) == 1
    assert (tmp_path / "trace").read_text() == "first\n"


def test_following_shows_a_run_of_another_process_to_its_end(tmp_path: Path, store: str) -> None:
    process = start(store, "run", gated(tmp_path), "--run-id", "r1", "--quiet")
    while not (tmp_path / "keys").exists():
        assert process.poll() is None
        os.sched_yield()
    logs = start(store, "logs", "r1", "--follow")
    assert logs.stdout is not None
    read_until(logs.stdout, "main.second | waiting")
    events = start(store, "events", "r1", "--follow")
    assert events.stdout is not None
    read_until(events.stdout, '"kind":"TaskRunning"')
    (tmp_path / "open").touch()
    assert process.wait(60) == 0
    assert [logs.wait(60), events.wait(60)] == [0, 0]
    last = events.stdout.read().splitlines()[-1]
    assert json.loads(last)["kind"] == "RunClosed"
    for one in (process, logs, events):
        one.communicate()


def test_at_a_terminal_a_resumed_run_asks(tmp_path: Path, store: str) -> None:
    path = workflow(tmp_path, task("ok", "await", "{message: shall we}"))
    assert call(store, "run", path, "--run-id", "r1").returncode == 7
    terminal = Terminal("run", path, "--run-id", "r1", AETHER_STORE=store)
    terminal.wait_for("shall we")
    terminal.press("y\n")
    assert terminal.end() == 0


def test_waiting_ends_with_the_time_given(tmp_path: Path, store: str) -> None:
    path = workflow(tmp_path, task("ok", "await"))
    assert call(store, "run", path, "--run-id", "r1").returncode == 7
    late = call(store, "wait", "r1", "--timeout", "300ms")
    assert late.returncode == 8
    assert "no process drives" in late.stderr
    assert call(store, "wait", "r1", "--or-suspended").returncode == 7


def test_a_live_view_of_a_resumed_run(tmp_path: Path, store: str) -> None:
    path = gated(tmp_path)
    process = start(store, "run", path, "--run-id", "r1")
    until_waiting(process)
    end(process)
    (tmp_path / "open").touch()
    terminal = Terminal("resume", "r1", AETHER_STORE=store)
    assert terminal.end() == 0
    assert "Succeeded" in terminal.shown
