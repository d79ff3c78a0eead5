"""What a person sees on a terminal of 40, 80 and 200 columns: no line is longer, and nothing that matters is missing."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.furnished import furnished_folder
from tests.e2e.process import Terminal

LONG = "cannot open the database at db.internal:5432, which this task needs before anything else can be done"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    shutil.copytree(furnished_folder(), tmp_path, dirs_exist_ok=True)
    return tmp_path


def lines(folder: Path, *arguments: str, columns: int, **env: str) -> list[str]:
    env |= {"COLUMNS": str(columns), "AETHER_STORE": "sqlite:.aether/aether.db", "NO_COLOR": "1"}
    terminal = Terminal(*arguments, cwd=folder, **env)
    terminal.end()
    return terminal.shown.replace("\r\n", "\n").splitlines()


@pytest.mark.parametrize("columns", [40, 80, 200])
@pytest.mark.parametrize("line", [
    "ls", "show bad", "show bad a", "show bad --timeline", "show waits", "stats", "stats bad", "graph good.yaml", "graph bad",
    "graph waits -o ascii",
])  # fmt: skip
def test_no_line_of_what_runs_are_is_longer_than_the_terminal(folder: Path, line: str, columns: int) -> None:
    assert max(map(len, lines(folder, *line.split(), columns=columns))) <= columns


@pytest.mark.parametrize("columns", [80, 200])
@pytest.mark.parametrize("line", ["cron ls", "cron history nightly", "template ls", "cron show nightly"])
def test_no_line_is_longer_than_the_terminal(folder: Path, line: str, columns: int) -> None:
    assert max(map(len, lines(folder, *line.split(), columns=columns))) <= columns


def test_columns_that_matter_least_are_left_out(folder: Path) -> None:
    widths = (64, 200)  # at 80 it depends on how far away the next fire is
    narrow, wide = (lines(folder, "cron", "ls", columns=columns)[0].split() for columns in widths)
    assert ("ZONE" in narrow, "ZONE" in wide) == (False, True)
    assert narrow[-1] == wide[-1] == "OPEN"


def test_a_long_message_goes_on_further_in(folder: Path) -> None:
    workflow(folder, task("a", "fail", f"{{message: '{LONG}'}}", ", continueOn: {failed: true}"), name="long.yaml")
    shown = lines(folder, "run", "long.yaml", "--no-progress", columns=80)
    at = next(number for number, line in enumerate(shown) if line.startswith("    ✗ a"))
    assert shown[at].startswith("    ✗ a  Failed  0.00s  - cannot open the database")
    assert shown[at + 1].startswith("          ")
    assert " ".join(" ".join(shown[at : at + 2]).split()).endswith(LONG)
    assert all(len(line) <= 80 for line in shown)


def test_a_reason_is_said_of_the_run_and_of_the_task_alone(folder: Path) -> None:
    shown = lines(folder, "show", "bad", columns=200)
    assert "  a: failed as asked" in shown
    assert [line for line in shown if "main" in line and "failed as asked" in line] == []


def test_a_live_view_says_when_a_task_is_tried_again(folder: Path) -> None:
    retry = ", retry: {limit: 1, backoff: {duration: 1s}, expression: 'true'}"
    workflow(folder, task("a", "fail", "{}", retry), name="again.yaml")
    shown = "\n".join(lines(folder, "run", "again.yaml", columns=80))
    assert "retry 1 in 0." in shown
    assert "Created  failed" not in shown


def test_a_dumb_terminal_gets_lines(folder: Path) -> None:
    shown = lines(folder, "run", "good.yaml", columns=80, TERM="dumb")
    assert any("main.a  Succeeded in" in line for line in shown)
    assert "\x1b" not in "".join(shown)


LIVE = """
apiVersion: aether/v1
kind: Workflow
metadata: { name: live }
spec:
  entrypoint: main
  templates:
    - dag:
        name: main
        tasks:
          - { name: bad, continueOn: { failed: true }, executor: { type: fail } }
          - { name: check, template: all }
          - { name: publish, dependencies: [check], executor: { type: noop } }
    - loop:
        name: all
        items: [linux, windows]
        concurrency: 2
        body: one
        arguments: { parameters: [{ name: os, value: "{{iterator.item}}" }] }
    - task:
        name: one
        inputs: { parameters: [{ name: os }] }
        executor: { type: script, config: { runtime: sh, source: until test -e go; do sleep 0.05; done, workingDir: document } }
"""


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_the_live_view_says_what_matters_at_every_width(tmp_path: Path, columns: int, color: bool) -> None:
    (tmp_path / "live.yaml").write_text(LIVE, "utf-8")
    env = {"COLUMNS": str(columns), "LINES": "24"} | ({} if color else {"NO_COLOR": "1"})
    terminal = Terminal("run", "live.yaml", "--run-id", "r1", "--store", "sqlite:runs.db", cwd=tmp_path, **env)
    terminal.wait_for("windows")
    terminal.wait_for("✗ 1")
    frames = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.shown).replace("\r", "\n").splitlines()
    assert any(("0/4  ✗ 1" if columns < 60 else "0/4 done  ✗ 1 Failed") in line for line in frames)
    assert max(map(len, frames)) <= columns
    for text in ("check[1] windows", "· publish", "check  0", "━━"):
        assert any(text in line for line in frames), text
    assert any("━" in line and "╌" in line for line in frames), "what is to be done has another shape, too"
    assert ("\x1b[32m" in terminal.shown) == color
    watched = Terminal("watch", "--store", "sqlite:runs.db", cwd=tmp_path, **env)
    watched.wait_for("windows")
    watched.press("\x03")
    watched.end()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", watched.shown).splitlines()
    assert any(" 0/4  ✗ 1" in line for line in shown), "what failed did not succeed"
    assert max(map(len, shown)) <= columns
    (tmp_path / "go").touch()
    assert terminal.end() == 0
