"""Signals: a terminal that is hung up, a service manager's SIGTERM, at any moment from the first import on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.documents import task, workflow
from tests.e2e.process import AETHER, Terminal, aether, environment, read_until

HOOKS = "  hooks: { onCancel: { template: note }, onExit: { template: note } }\n"
NOTE = "    - task: { name: note, executor: { type: script, config: { source: 'echo \"{{hook.event}}\" >> %s/trace' } } }\n"
SIGNALS = [signal.SIGHUP, signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def hooked(tmp_path: Path) -> Path:
    """A run that says `working`, and whose hooks leave a trace."""
    flow = workflow(tmp_path, task("a", "script", "{source: 'echo working; sleep 60'}"), spec=HOOKS)
    flow.write_text(flow.read_text("utf-8") + NOTE % tmp_path, "utf-8")
    return flow


def trace(flow: Path) -> list[str]:
    path = flow.parent / "trace"
    return path.read_text("utf-8").split() if path.exists() else []


def begun(flow: Path, *more: str, ignored: bool = False) -> subprocess.Popen[str]:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        [*AETHER, "run", str(flow), "--store", f"sqlite:{flow.parent}/s.db", *more], env=environment(), cwd=flow.parent,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=ignore if ignored else None,
    )
    assert process.stderr is not None
    read_until(process.stderr, "| working")
    return process


@pytest.mark.rule("RT-89")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_cancels_a_run_without_a_name_and_its_hooks_run(hooked: Path, number: signal.Signals) -> None:
    process = begun(hooked)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert trace(hooked) == ["onCancel", "onExit"]
    assert "Traceback" not in err


@pytest.mark.rule("RT-89")
@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_leaves_a_named_run_as_it_is(hooked: Path, number: signal.Signals) -> None:
    process = begun(hooked, "--run-id", "r")
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "aether resume r" in err
    assert trace(hooked) == []
    shown = aether("show", "r", "--output", "json", AETHER_STORE=f"sqlite:{hooked.parent}/s.db")
    assert json.loads(shown.stdout)["phase"] == "Running"


@pytest.mark.rule("RT-89")
def test_a_hangup_that_is_to_be_ignored_is(hooked: Path) -> None:
    process = begun(hooked, ignored=True)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.5)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 130


@pytest.mark.rule("RT-89")
def test_a_hangup_that_is_told_twice_waits_for_the_hooks(hooked: Path) -> None:
    process = begun(hooked)
    for _ in range(3):
        process.send_signal(signal.SIGHUP)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert trace(hooked) == ["onCancel", "onExit"]


@pytest.mark.rule("RT-89")
@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_a_terminal_that_goes_cancels_the_run_and_its_hooks_run(hooked: Path, term: str) -> None:
    terminal = Terminal("run", hooked, "--store", f"sqlite:{hooked.parent}/s.db", cwd=hooked.parent, TERM=term)
    terminal.wait_for("working")
    os.close(terminal.ours)
    assert terminal.process.wait(30) == 130
    assert trace(hooked) == ["onCancel", "onExit"]


@pytest.mark.rule("RT-89")
def test_a_terminal_that_goes_while_it_asks_answers_nothing(tmp_path: Path) -> None:
    flow = workflow(tmp_path, task("ok", "await"))
    store = f"sqlite:{tmp_path}/s.db"
    terminal = Terminal("run", flow, "--store", store, "--run-id", "r", cwd=tmp_path)
    terminal.wait_for("Ctrl-D leaves it suspended")
    os.close(terminal.ours)
    assert terminal.process.wait(30) == 130
    assert aether("resume", "r", "ok", "--payload", "yes", AETHER_STORE=store).returncode == 0


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("command", ["wait r", "logs r --follow", "events r --follow"])
def test_one_who_watches_is_interrupted_without_noise(hooked: Path, number: signal.Signals, command: str) -> None:
    store = f"sqlite:{hooked.parent}/s.db"
    driver = begun(hooked, "--run-id", "r")
    watcher = subprocess.Popen(
        [*AETHER, *command.split(), "--store", store], env=environment(), stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    )
    driver.send_signal(signal.SIGINT)
    driver.communicate(timeout=30)
    assert watcher.stderr is not None
    read_until(watcher.stderr, "no process drives this run")
    watcher.send_signal(number)
    _, err = watcher.communicate(timeout=30)
    assert (watcher.returncode, err.strip()) == (130, "error: interrupted")


SELF_SIGNALLED = """
import os, signal, sys

class Signals:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Signals())
from aether_protocol.cli import main
sys.exit(main({arguments!r}))
"""


@pytest.mark.rule("RT-89")
@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize(
    "module",
    ["aether_protocol.cli.entry", "click", "aether_protocol.cli.commands.runs.run", "aether_protocol.documents.load",
     "aether_protocol.assembly", "aether_protocol.cli.session", "aether_protocol.engine.loop"],
)
def test_a_signal_while_the_command_starts_is_an_interrupt(tmp_path: Path, module: str, number: signal.Signals) -> None:
    flow = workflow(tmp_path, task("a", "noop"))
    code = SELF_SIGNALLED.format(module=module, number=int(number), arguments=["run", str(flow), "--store", "sqlite:s.db"])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 130, done
    assert done.stderr.strip().endswith("error: interrupted")
    assert "Traceback" not in done.stderr
