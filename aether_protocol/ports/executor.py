"""The Executor port: carries out one attempt of a task.

Law: an executor knows its assignment and its context, nothing else; it never reads a store and never writes a phase.
Raising is not a protocol: any exception that leaves `execute` becomes an Error (code 3) with its text as the message.
"""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path
from typing import Final, Literal, Protocol

from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.notifier import Notifier
from aether_protocol.ports.wire import TaskAssignment, TaskResult

Mode = Literal["inline", "async", "thread"]


class ExecutionFolders(Protocol):
    """The folders of an attempt, each made on first use. Raises PortError where one cannot be made."""

    @property
    def workspace(self) -> Path:
        """The attempt's own folder, absolute, empty but for its input artifacts (ART-4)."""
        ...

    @property
    def scratch(self) -> Path:
        """A private folder for what must not be kept (keys, configs): it goes when the attempt is over,
        whatever became of it."""
        ...

    @property
    def shared(self) -> Path:
        """The folder that the attempts of this run share on this machine."""
        ...


SUMMARY_FILE: Final = "summary.md"  # in the scratch folder of an attempt: what it has to say to people (RT-158)
SUMMARY: Final = "aether.summary"  # its artifact: a name that no document can declare


class ExecutionContext(ExecutionFolders, Protocol):
    """What an executor may use while it runs. Secrets are masked in what it logs and notifies."""

    def mask(self, text: str) -> str:
        """Hide the secrets of this run in raw text, before it is cut, quoted or parsed for people (DATA-12)."""
        ...

    def log(self, text: str, stream: Literal["stdout", "stderr"] = "stdout") -> None:
        """Append to the run's log of this task. Thread-safe. `text` need not end at a line's end."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait on the engine's clock (virtual in tests). `math.inf` waits until cancelled."""
        ...

    def notifier(self, name: str = "default") -> Notifier:
        """A notifier of the engine by its name; secrets are masked in what it is given. Call it from a thread
        (`mode = "thread"`). Raises PortError where there is none of that name."""
        ...

    def stops_within(self, seconds: float) -> None:
        """Say how long this attempt may take to stop once it has to, where that is more than a few seconds."""
        ...

    def cancelled(self) -> bool:
        """True once the task has to stop; sync executors poll it, async ones get `CancelledError`."""
        ...


class Executor(Protocol):
    """One executor type. `mode`: `inline` is a quick plain function that runs on the loop, `async` a coroutine function,
    `thread` a plain function that runs in a thread. (One of `Mode`, as text so that `mode = "thread"` will do in a class;
    the engine refuses anything else.)"""

    @property
    def type(self) -> ExecutorType:
        """The declaration: name, config, outputs, site."""
        ...

    @property
    def mode(self) -> str:
        """How `execute` is called: `inline`, `async` or `thread`."""
        ...

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult | Awaitable[TaskResult]:
        """Carry out one attempt and return `task.succeed(...)`, `task.fail(...)` or `task.suspend(...)`.

        What it raises is recorded as an Error of the attempt, with the text of the exception.
        """
        ...
