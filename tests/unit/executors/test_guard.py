"""No program outlives the process that started it: killed without a warning, by a signal or with its own kind of end.

Every program holds the writing end of a pipe: when reading it comes to its end, all of them are gone.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aether_protocol.adapters.executors import orphan_guard as guard
from tests.unit.executors.test_programs import gone

ENGINE = """
import asyncio, os, signal, sys
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # whoever runs the tests under nohup has it ignored
from aether_protocol.adapters.executors import orphan_guard as guard
from tests.unit.executors.test_programs import gone
from aether_protocol.adapters.executors.child_process import Child, ProcessSpec, run_child
from aether_protocol.adapters.executors.streams import Pipe

begun = guard.begun

def and_say_so(pid):
    name = begun(pid)
    print("guarded", flush=True)
    return name

guard.begun = and_say_so

async def main():
    def told(text):
        print(text, end="", flush=True)
    command = ProcessSpec(["sh", "-c", sys.argv[1]], dict(os.environ))
    await run_child(Child(command, lambda excess: (Pipe(told, 0), Pipe(told, 0))), command)
    print("over", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


class Engine:
    """A process that runs `source` as a task would. `theirs` stands for a descriptor that the program holds as long as it
    or one of its children lives."""

    def __init__(self, folder: Path, source: str) -> None:
        fifo = folder / "held"
        os.mkfifo(fifo)
        self.held = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
        self.process = subprocess.Popen(
            [sys.executable, "-c", ENGINE, f"exec 9> {fifo}\n{source}"], cwd=folder, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.said = self.process.stdout

    def wait_for_two_words(self) -> list[str]:
        """`guarded`, and what the program itself says, in any order."""
        return sorted(self.said.readline().strip() for _ in range(2))

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(10)
        self.said.close()

    def all_gone(self, seconds: float = 10) -> bool:
        """Whether the last one that held the pipe is gone within that time."""
        os.set_blocking(self.held, True)
        return bool(select.select([self.held], [], [], seconds)[0]) and os.read(self.held, 1) == b""

    def close(self) -> None:
        os.close(self.held)
        if self.process.poll() is None:
            self.kill()


Start = Callable[[str], Engine]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    made: list[Engine] = []

    def engine(source: str) -> Engine:
        made.append(Engine(tmp_path, source))
        return made[-1]

    yield engine
    for one in made:
        one.close()


@pytest.mark.rule("EXEC-3")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGABRT])
def test_a_program_and_its_children_end_with_the_engine(start: Start, number: int) -> None:
    engine = start("sleep 100 & echo begun; sleep 100")
    assert engine.wait_for_two_words() == ["begun", "guarded"]
    engine.kill(number)
    assert engine.all_gone()


def test_it_may_clear_up_before(start: Start, tmp_path: Path) -> None:
    engine = start("exec 2> /dev/null; trap 'echo cleared > cleared; exit' TERM; echo begun; while :; do sleep 0.01; done")
    assert engine.wait_for_two_words() == ["begun", "guarded"]
    engine.kill()
    assert engine.all_gone()
    assert (tmp_path / "cleared").read_text() == "cleared\n"


def test_who_ignores_that_ends_all_the_same(start: Start) -> None:
    engine = start("trap '' TERM; echo begun; while :; do sleep 0.01; done")
    assert engine.wait_for_two_words() == ["begun", "guarded"]
    engine.kill()
    assert engine.all_gone()


def test_what_has_left_the_group_is_left_alone(start: Start, tmp_path: Path) -> None:
    engine = start(f"{sys.executable} -c 'import os, time; os.setsid(); print(os.getpid(), flush=True); time.sleep(100)'")
    pid = int(engine.wait_for_two_words()[0])
    engine.kill()
    assert not engine.all_gone(0.6)
    os.kill(pid, signal.SIGKILL)
    assert engine.all_gone()


def test_a_number_that_somebody_else_has_by_now_is_not_touched(tmp_path: Path) -> None:
    """The group began at another instant than the process of that number: it is another one."""
    other = subprocess.Popen(["sleep", "100"], process_group=0)
    code = (
        "from aether_protocol.adapters.executors import orphan_guard as guard; import os; guard.ready(); "
        f"guard._tell('+ {other.pid}:1\\n'); import subprocess; "
        "mine = subprocess.Popen(['sleep', '100'], process_group=0, stdout=subprocess.DEVNULL).pid; "
        "guard.begun(mine); print(mine, flush=True); os.kill(os.getpid(), 9)"
    )
    engine = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert gone(int(engine.stdout)), "that one ends"
    assert other.poll() is None, "this one does not"
    other.kill()
    other.wait(10)


def test_without_a_shell_there_is_no_guard_and_all_else_works(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*arguments: object, **named: object) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(os, "posix_spawn", nothing)
    monkeypatch.setattr(guard, "_owner", 0)
    monkeypatch.setattr(guard, "_pipe", None)
    guard.ready()
    assert guard._pipe is None
    assert guard.begun(os.getpid()).startswith(f"{os.getpid()}:")
    guard.ended("1:1")
