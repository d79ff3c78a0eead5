"""Streams that are not what one expects: closed, full, endless, left by their reader."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, Terminal, aether, environment


def shell(command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """`command` with `aether` in it, in a bash that fails with the first command of a pipe."""
    given = command.replace("aether", " ".join(AETHER))
    return subprocess.run(
        ["bash", "-c", given], cwd=cwd, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )


@pytest.fixture
def here(tmp_path: Path) -> Path:
    workflow(tmp_path, task("a", "script", '{source: "seq 2000"}'), name="w.yaml")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("aether run w.yaml --quiet >&-", 0),
        ("aether run w.yaml --output events <&- >&- 2>&-", 0),
        ("aether run w.yaml 2>/dev/full", 0),
        ("aether run w.yaml --output json >/dev/full", 0),
        ("aether run w.yaml --output events >/dev/full", 0),
        ("aether run w.yaml --dry-run >/dev/full", 9),
        ("aether validate w.yaml >/dev/full", 9),
        ("aether validate nothing.yaml >/dev/full 2>/dev/full", 2),
        ("aether --help >/dev/full", 9),
        ("aether validate - <&-", 3),
        ("aether validate /dev/zero", 3),
        ("aether run /dev/zero", 3),
        ("aether validate - </dev/zero", 3),
        ("aether run w.yaml --output events 2>&1 | head -1; exit ${PIPESTATUS[0]}", 0),
        ("aether run w.yaml --output json | true; exit ${PIPESTATUS[0]}", 0),
        ("aether schema | true; exit ${PIPESTATUS[0]}", 9),
    ],
)
def test_the_exit_code_says_what_it_was(here: Path, command: str, code: int) -> None:
    done = shell(command, here)
    assert done.returncode == code, done
    assert "Traceback" not in done.stderr
    assert "internal error" not in done.stderr


def test_no_color_holds_for_errors_too(here: Path) -> None:
    for no_color, coloured in (("", True), ("1", False)):
        terminal = Terminal("run", "nope.yaml", cwd=here, NO_COLOR=no_color)
        assert terminal.end() == 2
        assert ("\x1b[31m" in terminal.shown) is coloured


def test_a_document_that_is_too_large_is_told_as_that(here: Path) -> None:
    done = aether("validate", "/dev/zero")
    assert "the file has more than 10485760 bytes" in done.stdout
