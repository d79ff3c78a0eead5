"""`aether run` as a process: exit codes, what goes to which stream, answers, signals."""

from __future__ import annotations

import json
import re
import signal
from itertools import pairwise
from pathlib import Path

import pytest

from aether_protocol.cli import entry as boundary
from aether_protocol.cli import main
from tests.e2e.documents import HEAD, task, workflow
from tests.e2e.process import RELEASE, Terminal, aether, read_until, start
from tests.e2e.servers import wait_for

ENDINGS = {
    "Succeeded": (task("a", "noop"), "", 0),
    "Failed": (task("a", "fail", "{code: 2, message: no luck}"), "", 1),
    "Error": (task("a", "sleep", "{duration: 1m}", ", timeout: 50ms"), "", 4),
    "Timeout": (task("a", "sleep", "{duration: 1m}"), "  timeout: 50ms\n", 5),
    "Suspended": (task("a", "await", "{message: sure}"), "", 7),
}


@pytest.mark.parametrize("phase", ENDINGS)
def test_the_exit_code_follows_the_phase_and_json_stands_alone(tmp_path: Path, phase: str) -> None:
    body, spec, code = ENDINGS[phase]
    done = aether("run", workflow(tmp_path, body, spec=spec), "--output", "json")
    assert done.returncode == code
    report = json.loads(done.stdout)
    assert report["phase"] == phase
    assert [t["path"] for t in report["tasks"]] == ["main", "main.a"]
    assert "main.a" in done.stderr


def test_the_example_of_the_readme_runs(tmp_path: Path) -> None:
    done = aether("run", RELEASE, "--resume", "approve=yes", cwd=tmp_path, TMPDIR=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "1.4.2 is out" in done.stdout
    assert "publish" in done.stdout
    assert "(1 retry)" in done.stdout
    assert "main.check[2] | windows: 4 of 4 words fine" in done.stderr
    assert list(tmp_path.glob("aether-release-*")) == [], "the hook cleaned up"


def test_quiet_says_nothing_but_the_result(tmp_path: Path) -> None:
    done = aether("run", workflow(tmp_path, task("a", "noop")), "--quiet")
    assert done.stderr == ""
    assert done.stdout.startswith("✓ Succeeded")


def test_events_are_json_lines_from_the_first_to_the_last(tmp_path: Path) -> None:
    done = aether("run", workflow(tmp_path, task("a", "noop")), "--output", "events", "--quiet")
    kinds = [json.loads(line)["kind"] for line in done.stdout.splitlines()]
    assert kinds[0] == "RunCreated"
    assert kinds[-1] == "RunClosed"
    assert kinds.count("NodeEnded") == 2


def test_what_is_left_suspended_tells_how_to_answer(tmp_path: Path) -> None:
    done = aether("run", workflow(tmp_path, task("ok", "await")), "--output", "events")
    assert done.returncode == 7
    assert """--resume 'main.ok={"approved": true}'""" in done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["kind"] in ("TaskSuspended", "ContainerPhase")


@pytest.mark.parametrize("answer", ["main.ok=yes", "ok=yes", 'ok={"approved": true}', "ok"])
def test_answers_can_be_given_beforehand(tmp_path: Path, answer: str) -> None:
    assert aether("run", workflow(tmp_path, task("ok", "await")), "--resume", answer).returncode == 0


def test_a_rejected_approval_fails_the_run(tmp_path: Path) -> None:
    assert aether("run", workflow(tmp_path, task("ok", "await")), "--resume", "ok=no").returncode == 1


@pytest.mark.rule("CTRL-2")
def test_an_answer_that_does_not_fit_is_refused_and_the_task_stays_suspended(tmp_path: Path) -> None:
    ask = task("ok", "await", more=", inputs: {parameters: [{name: n, type: integer, value: 1}]}")
    path = workflow(tmp_path, ask)
    done = aether("run", path, "--resume", 'ok={"n": "many"}')
    assert done.returncode == 7
    assert "was refused" in done.stderr
    again = aether("run", path, "--resume", 'ok={"n": "many"}', "--resume", 'ok={"n": 2}', "--output", "json")
    assert json.loads(again.stdout)["tasks"][1]["outputs"] == {"n": 2}


def test_other_work_goes_on_while_a_task_is_suspended(tmp_path: Path) -> None:
    path = workflow(tmp_path, task("ok", "await"), task("work", "sleep", "{duration: 300ms}"))
    done = aether("run", path, "--output", "json")
    phases = {t["path"]: t["phase"] for t in json.loads(done.stdout)["tasks"]}
    assert done.returncode == 7
    assert phases == {"main": "Suspended", "main.ok": "Suspended", "main.work": "Succeeded"}


PARAMETERS = """  arguments:
    parameters:
      - {name: count, type: integer}
      - {name: text, type: string, default: none}
      - {name: free}
"""


@pytest.mark.rule("DATA-14")
def test_parameters_come_from_options_and_files(tmp_path: Path) -> None:
    names = ("count", "text", "free")
    inputs = ", ".join(f'{{name: {name}, value: "{{{{workflow.parameters.{name}}}}}"}}' for name in names)
    path = workflow(tmp_path, task("a", "echo", more=f", inputs: {{parameters: [{inputs}]}}"), spec=PARAMETERS)
    (tmp_path / "p.yaml").write_text("count: 1\ntext: from file\nfree: [1, {x: null}]\n", "utf-8")
    done = aether("run", path, "--params-file", tmp_path / "p.yaml", "-p", "count=5", "-p", "text=12", "--output", "json")
    assert json.loads(done.stdout)["tasks"][1]["outputs"] == {"count": 5, "text": "12", "free": [1, {"x": None}]}


@pytest.mark.rule("DATA-14")
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "'count' has no value"),
        (["-p", "count=many", "-p", "free=1"], "must be integer"),
        (["-p", "count=1", "-p", "free=1", "-p", "txet=x"], "did you mean 'text'"),
        (["-p", "count"], "is not name=value"),
        (["--params-file", "missing.yaml"], "missing.yaml"),
        (["-p", "count=1", "-p", "free=1", "--resume", "nobody=yes"], "there is no such task"),
        (["-p", "count=1", "-p", "free=1", "--resume", "a=[1]"], "is not task=payload"),
        (["--concurrency", "0"], "concurrency"),
    ],
)
def test_wrong_usage_is_told_before_anything_runs(tmp_path: Path, options: list[str], words: str) -> None:
    done = aether("run", workflow(tmp_path, task("a", "noop"), spec=PARAMETERS), *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr


def test_a_dry_run_starts_nothing(tmp_path: Path) -> None:
    config = "{runtime: sh, workingDir: document, source: 'touch started'}"
    touch = task("a", "script", config, ", when: \"workflow.parameters.count > 1\"")
    path = workflow(tmp_path, touch, spec=PARAMETERS)
    done = aether("run", path, "-p", "count=1", "-p", "free=x", "--dry-run", cwd=tmp_path)
    assert done.returncode == 0
    assert "skipped: when is false" in done.stdout
    assert not (tmp_path / "started").exists()


def test_a_dry_run_of_billions_of_tasks_ends(tmp_path: Path) -> None:
    levels = "".join(
        f"    - dag: {{name: {name}, tasks: [{', '.join(f'{{name: t{i}, template: {inner}}}' for i in range(20))}]}}\n"
        for name, inner in pairwise(["main", *"abcdefgh", "work"])
    )
    path = tmp_path / "wide.yaml"
    head = HEAD.replace("spec:\n", "spec:\n  maxNestedDepth: 10\n")
    path.write_text(f"{head}  templates:\n{levels}    - task: {{name: work, executor: {{type: noop}}}}\n")
    done = aether("run", path, "--dry-run")
    assert done.returncode == 0
    assert "only the first 10000 are shown" in done.stdout


def test_secrets_reach_the_task_and_nobody_else(tmp_path: Path) -> None:
    token = ", inputs: {parameters: [{name: token, valueFrom: {secretKeyRef: {name: api, key: token}}}]}"
    tell = task("a", "script", "{runtime: sh, source: 'echo it is $AETHER_INPUT_TOKEN'}", token)
    (tmp_path / "secrets.yaml").write_text("api: {token: hunter2}\n", "utf-8")
    done = aether("run", workflow(tmp_path, tell), "--secrets-file", tmp_path / "secrets.yaml", "--output", "json")
    assert done.returncode == 0, done.stderr
    assert "it is ***" in done.stdout
    assert "hunter2" not in done.stdout + done.stderr


LONG = "{runtime: sh, source: 'echo working; sleep 60'}"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_cancels_the_run_and_still_reports(tmp_path: Path, number: signal.Signals) -> None:
    process = start("run", workflow(tmp_path, task("a", "script", LONG)), "--output", "json")
    assert process.stderr is not None
    read_until(process.stderr, "| working")
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert json.loads(out)["phase"] == "Cancelled"
    assert "Traceback" not in err


def test_a_second_interrupt_does_not_wait_for_stubborn_tasks(tmp_path: Path) -> None:
    stubborn = "{runtime: sh, source: 'trap \"\" TERM INT; echo working; while :; do sleep 0.2; done'}"
    process = start("run", workflow(tmp_path, task("a", "script", stubborn)))
    assert process.stderr is not None
    read_until(process.stderr, "| working")
    process.send_signal(signal.SIGINT)
    read_until(process.stderr, "cancelling")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_at_a_terminal_one_is_asked(tmp_path: Path) -> None:
    terminal = Terminal("run", workflow(tmp_path, task("ok", "await", "{message: shall we}"), task("b", "noop")))
    terminal.wait_for("shall we")
    terminal.wait_for("Ctrl-D leaves it suspended")
    terminal.press("perhaps\n")
    terminal.wait_for("neither yes, no nor")
    terminal.press('{"approved": true, "by": "me"}\n')
    assert terminal.end() == 0
    assert "Succeeded" in terminal.shown


def test_ctrl_d_leaves_it_suspended(tmp_path: Path) -> None:
    terminal = Terminal("run", workflow(tmp_path, task("ok", "await")))
    terminal.wait_for("Ctrl-D leaves it suspended")
    terminal.press("\x04")
    assert terminal.end() == 7


def test_ctrl_c_at_the_prompt_cancels(tmp_path: Path) -> None:
    terminal = Terminal("run", workflow(tmp_path, task("ok", "await")))
    terminal.wait_for("Ctrl-D leaves it suspended")
    terminal.press("\x03")
    assert terminal.end() == 130
    assert "Cancelled" in terminal.shown


def test_a_timeout_fires_while_the_prompt_waits(tmp_path: Path) -> None:
    terminal = Terminal("run", workflow(tmp_path, task("ok", "await"), spec="  timeout: 1s\n"))
    terminal.wait_for("Ctrl-D leaves it suspended")
    assert terminal.end() == 5


@pytest.mark.rule("DOC-1")
def test_one_of_several_workflows_is_chosen_by_name(tmp_path: Path) -> None:
    one = workflow(tmp_path, task("a", "noop")).read_text("utf-8")
    path = tmp_path / "two.yaml"
    path.write_text(f"{one}---\n{one.replace('name: flow', 'name: other')}", "utf-8")
    unclear = aether("run", path)
    assert unclear.returncode == 2
    assert "'flow', 'other'" in unclear.stderr
    assert json.loads(aether("run", path, "--name", "other", "--output", "json").stdout)["workflow"]["name"] == "other"


def test_a_document_comes_from_standard_input(tmp_path: Path) -> None:
    text = workflow(tmp_path, task("a", "noop")).read_text("utf-8")
    assert aether("run", "-", text=text).returncode == 0
    broken = aether("run", "-", text=text.replace("noop", "nop"))
    assert broken.returncode == 3
    assert "<stdin>:10:" in broken.stderr
    assert "^" in broken.stderr


@pytest.mark.rule("TMPL-2")
def test_templates_are_looked_up_in_the_library(tmp_path: Path) -> None:
    shared = tmp_path / "library"
    shared.mkdir()
    (shared / "tools.yaml").write_text(
        "apiVersion: aether/v1\nkind: WorkflowTemplate\nmetadata: {name: tools}\nspec:\n  templates:\n"
        "    - task: {name: nothing, executor: {type: noop}}\n",
        "utf-8",
    )
    path = workflow(tmp_path, "{name: a, templateRef: {name: tools, template: nothing}}")
    assert aether("run", path).returncode == 3
    assert aether("run", path, "--library", shared).returncode == 0
    assert aether("validate", path, "-L", shared).returncode == 0
    assert aether("validate", tmp_path).returncode == 0, "a folder given is a library, too"


def is_pending(pid: int, number: signal.Signals) -> bool:
    """Whether a signal has not reached a process yet: the same one, sent again until then, is one with it."""
    found = re.search(r"^ShdPnd:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return found is not None and bool(int(found[1], 16) >> (number - 1) & 1)


def test_a_third_interrupt_leaves_at_once_and_leaves_no_process_behind(tmp_path: Path) -> None:
    stubborn = "{runtime: sh, source: 'trap \"\" TERM INT; echo pid $$; while :; do sleep 0.2; done'}"
    process = start("run", workflow(tmp_path, task("a", "script", stubborn)))
    assert process.stderr is not None
    pid = int(read_until(process.stderr, "| pid ").rsplit(" ", 1)[1])
    for _ in range(3):
        wait_for(lambda: not is_pending(process.pid, signal.SIGINT))
        process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    status = Path(f"/proc/{pid}/stat")
    assert not status.exists() or status.read_text().rpartition(") ")[2][0] in "ZX"  # dead, and not yet taken note of


def test_an_interrupt_at_any_other_moment_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def interrupted(arguments: object) -> int:
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(boundary, "guarded", interrupted)
    try:
        assert main([]) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "error: interrupted\n"
