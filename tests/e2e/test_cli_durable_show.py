"""What `aether show` says about runs of every kind: one that was tolerated, kept, large, driven, left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from aether_protocol.cli.root import root
from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, Terminal, aether, environment, read_until
from tests.e2e.store_cli import Cli, ids, make_cli

HEAD = "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: many}\nspec:\n  entrypoint: main\n  templates:\n"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Cli:
    return make_cli(tmp_path, monkeypatch, capsys)


def loop(folder: Path, count: int, executor: str) -> Path:
    path = folder / f"many{count}.yaml"
    items = json.dumps(list(range(count)))
    body = f"    - loop: {{name: main, body: b, items: {items}, concurrency: 0}}\n"
    path.write_text(f"{HEAD}{body}    - task: {{name: b, executor: {executor}}}\n", "utf-8")
    return path


def test_a_failure_that_was_tolerated_is_no_reason(cli: Cli, tmp_path: Path) -> None:
    tolerated = task("a", "fail", "{message: never mind}", ", continueOn: {failed: true}")
    assert cli("run", workflow(tmp_path, tolerated), "--quiet", "--run-id", "r1").code == 0
    shown = cli("show", "r1").out
    assert "never mind" in shown
    assert "why:" not in shown


def test_of_many_reasons_the_first_are_shown_and_the_others_counted(cli: Cli, tmp_path: Path) -> None:
    path = loop(tmp_path, 9, "{type: fail, config: {message: no luck}}")
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    shown = cli("show", "r1").out
    assert shown.count("why: ") == 5
    assert shown.endswith("(4 more tasks went wrong)\n")


@pytest.mark.rule("RT-52")
def test_what_a_retry_kept_is_told(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("a", "noop"), task("b", "fail", more=", dependencies: [a]"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    retried = cli("retry", "r1")
    assert "    ✓ a  (reused)" in retried.out.splitlines()
    assert retried.err.splitlines()[0] == "retrying run r1 as r1.2"
    assert any(line.endswith("main.a  reused") for line in retried.err.splitlines())
    shown = cli("show", "r1.2").out
    assert "  retry of:    r1" in shown.splitlines()
    assert "    ✓ a  (reused)" in shown.splitlines()
    created = cli("events", "r1.2").lines[0]
    assert (created["kind"], created["retryOf"]) == ("RunCreated", "r1")


def test_one_task_is_shown_with_its_attempts_and_the_end_of_its_log(cli: Cli, tmp_path: Path) -> None:
    retry = ", inputs: {parameters: [{name: x, value: 7}]}, retry: {limit: 1, expression: 'true', backoff: {duration: 1ms}}"
    flaky = task("flaky", "script", "{runtime: sh, source: 'echo try; touch kept; echo no luck >&2; exit 5'}", retry)
    path = workflow(tmp_path, flaky, task("later", "noop", more=", dependencies: [flaky]"), task("ask", "await"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 7
    shown = cli("show", "r1", "flaky").out
    assert shown.splitlines()[0] == "✗ Failed  main.flaky"
    assert shown.count("exit code 5: no luck") == 1, "a reason is said once"
    for text in ("  x: 7", "attempts:", "#1  ✗ Failed", "#2  ✗ Failed", "code 5", "  | try", "retries:     1", "workspace:"):
        assert text in shown
    asked = cli("show", "r1", "ask", "-o", "json").json
    assert (asked["phase"], asked["waits"]) == ("Suspended", "for an answer: 'aether resume' gives it")
    assert [attempt["number"] for attempt in asked["attempts"]] == [1]
    assert "of 2 tasks succeeded so far" in cli("show", "r1", "main").out
    assert cli("show", "r1", "later").out.startswith("· Created  main.later")
    assert cli("show", "r1", "nothing").code == 2
    assert cli("show", "r1", "flaky", "--timeline").code == 2


def test_an_attempt_ended_as_it_did_also_where_its_task_is_cancelled_while_it_waits(cli: Cli, tmp_path: Path) -> None:
    retry = ", retry: {limit: 1, expression: 'true', backoff: {duration: 1h}}"
    path = workflow(tmp_path, task("flaky", "fail", more=retry), spec="  timeout: 1s\n")
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 5
    [attempt] = cli("show", "r1", "flaky", "-o", "json").json["attempts"]
    assert (attempt["phase"], attempt["message"]) == ("Failed", "failed as asked")


def test_a_timeline_has_a_line_for_each_task_and_fits(cli: Cli, tmp_path: Path) -> None:
    retry = ", retry: {limit: 1, expression: 'true', backoff: {duration: 300ms}}"
    path = workflow(
        tmp_path, task("first", "script", "{runtime: sh, source: 'sleep 0.3'}"),
        task("then", "script", "{runtime: sh, source: 'sleep 0.1; exit 1'}", f", dependencies: [first]{retry}"),
    )
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    head, main, first, then, legend = cli("show", "r1", "--timeline").out.splitlines()
    assert " UTC to " in head
    assert "─" in main
    assert first.index("█") < then.index("█")
    assert "~" in then, "it waited for its retry"
    assert "waits for a retry" in legend
    told = cli("show", "r1", "--timeline", "-o", "json").json["tasks"]
    assert [one["path"] for one in told] == ["main", "main.first", "main.then"]
    assert [stretch["phase"] for stretch in told[1]["stretches"]][-2:] == ["Running", "Succeeded"]
    for columns in ("40", "80", "200"):
        terminal = Terminal("show", "r1", "--timeline", cwd=tmp_path, COLUMNS=columns, NO_COLOR="1",
                            AETHER_STORE=f"sqlite:{tmp_path}/.aether/aether.db")
        assert terminal.end() == 0
        assert max(map(len, terminal.shown.splitlines()[1:-1])) <= int(columns)


def test_a_run_is_drawn_with_what_became_of_each_task(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("good", "noop"), task("bad", "fail", more=", dependencies: [good]"),
                    task("never", "noop", more=", dependencies: [bad]"), name="flow.yaml")
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 1
    drawn = cli("graph", "r1").out
    for text in ("main (dag): Failed in", "Succeeded in", "did not run"):
        assert text in drawn
    picture = cli("graph", "r1", "-o", "svg").out
    for kind in ("task succeeded", "task failed", "task created", "dag failed frame"):
        assert picture.count(f'class="{kind}"') == 1
    assert "did not run" in cli("graph", "r1", "-o", "mermaid").out
    assert cli("graph", "flow.yaml").out == cli("graph", path).out != drawn, "a file goes before a run"
    (tmp_path / "r1").write_text(path.read_text("utf-8"), "utf-8")
    assert "did not run" not in cli("graph", "r1").out
    many = loop(tmp_path, 4, "{type: noop}")
    assert cli("run", many, "--quiet", "--run-id", "r2").code == 0
    assert "4 Succeeded" in cli("graph", "r2").out
    unknown = cli("graph", "nothing-like-that")
    assert (unknown.code, "is unknown" in unknown.err) == (2, True)


def test_who_waits_for_an_answer_is_told_and_how_to_give_it(cli: Cli, tmp_path: Path) -> None:
    path = workflow(tmp_path, task("ask", "await", "{message: may we?}"))
    assert cli("run", path, "--quiet", "--run-id", "r1").code == 7
    told = "main.ask waits for an answer: aether resume r1 main.ask -p NAME=VALUE"
    assert told in cli("show", "r1").out.splitlines()
    assert cli("resume", "r1", "main.ask", "-p", "approved=true").code == 0
    assert "waits for an answer" not in cli("show", "r1").out


def test_large_runs_are_shown_in_a_page_and_whole_for_programs(cli: Cli, tmp_path: Path) -> None:
    assert cli("run", loop(tmp_path, 10_000, "{type: noop}"), "--quiet", "--run-id", "r1").code == 0
    shown = cli("show", "r1").out
    assert len(shown.splitlines()) < 20
    assert "10000/10000 tasks" in shown
    assert "(10001 more tasks; -o json has them all)" in shown
    assert len(cli("show", "r1", "--output", "json").json["tasks"]) == 10_001
    ended = [line for line in cli("events", "r1").lines if line["kind"] == "NodeEnded"]
    assert len(ended) == 10_001
    assert cli("ls", "--output", "json").json["runs"][0]["progress"] == "10000/10000"
    near = cli("logs", "r1", "main[99999]")
    assert near.code == 2
    assert "has no task run 'main[99999]'" in near.err


def test_who_drives_a_run_is_told(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    path = workflow(tmp_path, task("a", "script", "{runtime: sh, source: 'echo waiting; exec sleep 60'}"))
    driver = subprocess.Popen(
        [*AETHER, "run", str(path), "--run-id", "r1"], env=environment(AETHER_STORE=store), stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )
    assert driver.stderr is not None
    read_until(driver.stderr, "| waiting")
    assert "● Running" in aether("ls", AETHER_STORE=store).stdout
    assert f"process {driver.pid} on {os.uname().nodename}" in aether("show", "r1", AETHER_STORE=store).stdout
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=60)
    shown = aether("show", "r1", AETHER_STORE=store).stdout
    assert "no process ('aether resume' continues it)" in shown
    assert "! Undriven" in aether("ls", AETHER_STORE=store).stdout
    listed = json.loads(aether("ls", "--undriven", "-o", "json", AETHER_STORE=store).stdout)["runs"]
    assert [(row["runId"], row["phase"], row["driven"]) for row in listed] == [("r1", "Running", False)]
    waited = aether("wait", "r1", "--or-undriven", "--timeout", "50s", AETHER_STORE=store)
    assert waited.returncode == 8
    assert "it is Running, and no process drives it" in waited.stderr
    assert aether("cancel", "r1", AETHER_STORE=store).returncode == 0
    assert json.loads(aether("ls", "-o", "json", AETHER_STORE=store).stdout)["runs"][0]["driven"] is None
    assert aether("ls", "--undriven", AETHER_STORE=store).stdout == ""
    assert aether("wait", "r1", "--or-undriven", AETHER_STORE=store).returncode == 6
    assert "driven by" not in aether("show", "r1", AETHER_STORE=store).stdout


def test_a_list_fits_its_terminal(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    path = workflow(tmp_path, task("a", "fail", f"{{message: {'long ' * 40}}}"))
    name = "a-rather-long-name-for-a-run-of-a-night"
    assert aether("run", path, "--quiet", "--run-id", name, AETHER_STORE=store).returncode == 1
    for columns in ("40", "80", "120", "200"):
        terminal = Terminal("ls", AETHER_STORE=store, COLUMNS=columns, NO_COLOR="1")
        assert terminal.end() == 0
        lines = terminal.shown.splitlines()
        assert len(lines) == 2
        assert lines[1].startswith(name)
        assert all(len(line) <= max(int(columns), 52) for line in lines)
    assert len(aether("ls", AETHER_STORE=store, COLUMNS="40").stdout.splitlines()[1]) > 120, "a pipe is no terminal"


def test_a_list_on_a_terminal_has_short_ids_that_every_command_takes(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    path = workflow(tmp_path, task("a", "fail", "{message: no route to the host}"))
    for _ in range(2):
        assert aether("run", path, "--quiet", AETHER_STORE=store).returncode == 1
    assert aether("retry", "latest", "--quiet", AETHER_STORE=store).returncode == 1
    whole = [row["runId"] for row in json.loads(aether("ls", "-o", "json", AETHER_STORE=store).stdout)["runs"]]
    terminal = Terminal("ls", AETHER_STORE=store, COLUMNS="80", NO_COLOR="1")
    assert terminal.end() == 0
    heading, *lines = terminal.shown.splitlines()
    assert heading.split() == ["RUN", "WORKFLOW", "PHASE", "TASKS", "AGE", "TOOK", "MESSAGE"]
    assert all(line.endswith("a: no route to the host") for line in lines)
    for run_id, short in zip(whole, [line.split()[0] for line in lines], strict=True):
        assert len(short) < len(run_id)
        assert aether("show", short, AETHER_STORE=store).stdout.splitlines()[0] == run_id
    piped = aether("ls", AETHER_STORE=store).stdout.splitlines()[1:]
    assert [line.split()[0] for line in piped] == whole, "they are whole in a pipe"


def test_a_list_is_watched_on_a_terminal_alone(tmp_path: Path) -> None:
    store = f"sqlite:{tmp_path}/runs.db"
    good, bad = (workflow(tmp_path, task("a", kind), name=f"{kind}.yaml") for kind in ("noop", "fail"))
    assert aether("run", good, "--quiet", "--run-id", "first", AETHER_STORE=store).returncode == 0
    terminal = Terminal("ls", "--watch", AETHER_STORE=store, COLUMNS="80")
    terminal.wait_for("first")
    assert aether("run", bad, "--quiet", "--run-id", "second", AETHER_STORE=store).returncode == 1
    terminal.wait_for("second")
    terminal.press("\x03")
    assert terminal.end() == 0
    piped = aether("ls", "--watch", AETHER_STORE=store)
    assert piped.returncode == 2
    assert "draws on a terminal" in piped.stderr


def test_a_page_is_sorted_as_one_likes(cli: Cli, tmp_path: Path) -> None:
    for name, seconds in (("slow", 0.3), ("quick", 0)):
        path = workflow(tmp_path, task("a", "script", f"{{runtime: sh, source: 'sleep {seconds}'}}"), name=f"{name}.yaml")
        assert cli("run", path, "-q", "--run-id", name).code == 0
    assert cli("run", workflow(tmp_path, task("a", "await"), name="open.yaml"), "-q", "--run-id", "open").code == 7
    orders = {"created": "open quick slow", "ended": "open quick slow", "phase": "quick slow open"}
    assert {by: " ".join(ids(cli("ls", "-o", "json", "--sort", by))) for by in orders} == orders
    assert ids(cli("ls", "-o", "json", "--ended", "--sort", "took")) == ["slow", "quick"]


@pytest.mark.parametrize("command", sorted(root.table))
def test_no_color_and_no_terminal_mean_no_escapes(cli: Cli, tmp_path: Path, command: str) -> None:
    path = workflow(tmp_path, task("a", "script", "{runtime: sh, source: 'echo out; echo err >&2; exit 1'}"))
    cli("run", path, "--quiet", "--run-id", "r1")
    arguments = {"run": [str(path)], "diff": ["r1", "r1"], "db": ["info"], "ls": [],
                 "replay": ["r1", "--at", "0", "--diff", "3"]}
    for more in (arguments.get(command, ["r1"]), ["--nonsense"], ["nothing-of-that-name"]):
        said = cli(command, *more)
        assert "\x1b" not in said.out + said.err
        assert "Traceback" not in said.err
