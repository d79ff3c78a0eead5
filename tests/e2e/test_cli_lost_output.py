"""A reader that goes, a device that is full, a pipe without a reader: a command goes through, and its outcome decides."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, Terminal, aether, environment
from tests.e2e.schedules import cron_file
from tests.e2e.test_cli_streams import shell

LOST = {
    "the reader goes": "{} 2>&1 | head -1 >/dev/null; exit ${{PIPESTATUS[0]}}",
    "the reader of stderr goes": "{} 2> >(true) >/dev/null",
    "stdout is full": "{} >/dev/full",
    "stderr is full": "{} 2>/dev/full >/dev/null",
    "both are full": "{} >/dev/full 2>&1",
    "stdout is closed": "{} >&-",
    "stderr is closed": "{} 2>&- >/dev/null",
    "all are closed": "{} <&- >&- 2>&-",
}
HOWS = ["", "--quiet", "--output json", "--output events", "--output events --quiet"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    waits = task("ask", "await", more=", dependencies: [a]")
    workflow(tmp_path, task("a", "script", "{source: 'seq 30 >&2'}"), waits, name="asks.yaml")
    workflow(tmp_path, task("a", "script", "{source: 'seq 30 >&2'}"), task("b", "fail"), name="fails.yaml")
    return tmp_path


def lost(here: Path, way: str, command: str) -> int:
    """The exit code of the command with its streams like that. It ends in time, or that is the fault."""
    done = shell(LOST[way].format(command), here)
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr
    return done.returncode


def phase(here: Path, run: str = "latest") -> str:
    found: str = json.loads(aether("show", run, "--output", "json", cwd=here, AETHER_STORE="sqlite:s.db").stdout)["phase"]
    return found


@pytest.mark.rule("RT-88")
@pytest.mark.parametrize("way", LOST)
def test_the_outcome_of_a_run_decides_wherever_its_output_went(here: Path, way: str) -> None:
    for how in HOWS[:1] if "full" not in way and "goes" not in way else HOWS:
        assert lost(here, way, f"aether run asks.yaml --store sqlite:s.db --resume ask=yes {how}") == 0, how
        assert phase(here) == "Succeeded"
    assert lost(here, way, "aether run fails.yaml --store sqlite:s.db") == 1
    assert lost(here, way, "aether run asks.yaml --store sqlite:s.db --run-id r") == 7
    assert lost(here, way, "aether retry r --store sqlite:s.db") == 2, "an error keeps its code"
    assert lost(here, way, "aether resume r ask --payload yes --store sqlite:s.db") == 0
    assert phase(here, "r") == "Succeeded"


@pytest.mark.rule("RT-88")
@pytest.mark.parametrize("way", ["the reader goes", "both are full", "stderr is closed"])
def test_schedules_are_driven_whoever_looks(here: Path, way: str) -> None:
    cron_file(here, "nightly", "seq 30 >&2", schedule="0 0 * * *")
    assert aether("cron", "apply", "nightly.yaml", cwd=here, AETHER_STORE="sqlite:s.db").returncode == 0
    past = "--from 2020-01-01 --until 2020-01-03"
    for code, command in {
        f"backfill nightly {past}": 0,
        f"backfill nightly {past} --again --output events": 0,
        "trigger nightly": 0,
        "tick": 0,
        "tick nothing-like-it": 2,
    }.items():
        assert lost(here, way, f"aether cron {code} --store sqlite:s.db") == command, code
    ran = json.loads(aether("ls", "--output", "json", cwd=here, AETHER_STORE="sqlite:s.db").stdout)["runs"]
    assert {row["phase"] for row in ran} == {"Succeeded"}
    assert ran


@pytest.mark.rule("RT-88")
@pytest.mark.parametrize("way", ["the reader goes", "both are full", "stdout is full"])
def test_what_only_prints_says_that_it_could_not(here: Path, way: str) -> None:
    lines = "{source: 'seq 30000'}"  # more than a pipe holds
    flow = workflow(here, task("a", "script", lines))
    assert aether("run", flow, "--run-id", "r", cwd=here, AETHER_STORE="sqlite:s.db").returncode == 0
    for command in ("logs r", "logs r --follow", "events r --follow", "schema"):
        store = "" if command.startswith("schema") else "--store sqlite:s.db"
        expected = {9} if "full" in way or "logs" in command else {0, 9}  # it may all fit into the pipe
        assert lost(here, way, f"aether {command} {store}") in expected, command


@pytest.mark.rule("RT-88")
@pytest.mark.parametrize("way", ["the reader goes", "both are full", "stdout is full"])
def test_a_verdict_is_no_less_true_for_not_being_read(here: Path, way: str) -> None:
    fine = "case: fine\ndocumentFile: plain.yaml\nexpect: {phase: Succeeded}\n"
    wrong = "case: wrong\ndocumentFile: plain.yaml\nexpect: {phase: Failed}\n"
    workflow(here, task("a", "noop"), name="plain.yaml")
    (here / "fine.case.yaml").write_text(fine, "utf-8")
    (here / "wrong.case.yaml").write_text(wrong, "utf-8")
    assert lost(here, way, "aether test fine.case.yaml -v") == 0
    assert lost(here, way, "aether test fine.case.yaml wrong.case.yaml -v") == 1
    assert lost(here, way, "aether run fails.yaml --store sqlite:s.db") == 1
    assert lost(here, way, "aether wait latest --store sqlite:s.db") == 1


@pytest.mark.rule("RT-88")
def test_a_full_device_is_told_and_a_reader_that_left_is_not(here: Path) -> None:
    full = shell("aether run fails.yaml --store memory --quiet >/dev/full", here)
    assert full.returncode == 1
    assert full.stderr == "warning: standard output cannot be written: No space left on device; what is there is not complete\n"
    full = shell("aether schema >/dev/full", here)
    assert full.returncode == 9
    assert full.stderr.startswith("error: standard output cannot be written: No space left on device")
    assert "hint: " in full.stderr
    left = shell("set -o pipefail; aether schema | true", here)
    assert (left.returncode, left.stderr) == (9, "")


def stalled(here: Path, *arguments: str) -> subprocess.Popen[str]:
    """A run whose output goes to pipes that are not read for now."""
    return subprocess.Popen(
        [*AETHER, "run", *arguments, "--store", "sqlite:s.db", "--run-id", "r"], cwd=here, env=environment(),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )


def ended(here: Path) -> int:
    """The exit code of the run, which another process drives."""
    for _ in range(60):  # it may not be there yet
        waited = aether("wait", "r", "--timeout", "30s", cwd=here, AETHER_STORE="sqlite:s.db")
        if waited.returncode != 2:
            break
    return waited.returncode


@pytest.mark.rule("RT-88")
@pytest.mark.parametrize("output", ["text", "json", "events"])
def test_a_reader_that_does_not_read_holds_no_run_up(here: Path, output: str) -> None:
    flood = task("a", "script", "{source: 'seq 100000 >&2'}")
    process = stalled(here, str(workflow(here, flood, task("b", "noop"))), "--output", output)
    assert ended(here) == 0
    out, err = process.communicate(timeout=60)  # and what waited is all there
    assert process.returncode == 0
    assert "100000" in err
    assert "left out" not in err
    assert "Succeeded" in out


@pytest.mark.rule("RT-88")
def test_every_event_reaches_a_reader_that_comes_late(here: Path) -> None:
    loop = (
        "apiVersion: aether/v1\nkind: Workflow\nmetadata: {name: many}\nspec:\n  entrypoint: main\n  templates:\n"
        "    - loop: {name: main, body: one, concurrency: 0, items: [" + ",".join(map(str, range(3000))) + "]}\n"
        "    - task: {name: one, executor: {type: noop}}\n"
    )
    (here / "many.yaml").write_text(loop, "utf-8")
    process = stalled(here, "many.yaml", "--output", "events", "--quiet")
    assert ended(here) == 0
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    kinds = [json.loads(line)["kind"] for line in out.splitlines()]
    assert kinds.count("NodeEnded") == 3001
    assert kinds[-1] == "RunClosed"


@pytest.mark.rule("RT-88")
def test_a_process_ends_though_nobody_ever_reads_its_notes(here: Path) -> None:
    flood = workflow(here, task("a", "script", "{source: 'seq 20000 >&2; exit 3'}"))
    process = stalled(here, str(flood))
    assert process.wait(60) == 1, "they are given up after some seconds, the result (which fits the pipe) is not"
    assert process.stdout is not None
    assert "Failed" in process.stdout.read()
    process.communicate()


@pytest.mark.rule("RT-88")
def test_a_terminal_keeps_the_order_of_what_is_said_and_what_is_printed(here: Path) -> None:
    terminal = Terminal("run", "fails.yaml", "--store", "sqlite:s.db", cwd=here, TERM="dumb")
    assert terminal.end() == 1
    shown = terminal.shown
    assert shown.index("failed as asked") < shown.index("✗ Failed") < shown.index("hint: aether show")
