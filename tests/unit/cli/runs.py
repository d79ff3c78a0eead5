"""A pure run: the machine itself, driven by hand, so that views are tested without an engine, a clock or a process."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.commands import Continue, DispatchTask, LogEntry
from aether_protocol.scheduler.events import Continued, Event, RunHeader, Submitted, TaskFinished, TaskStarted
from aether_protocol.scheduler.machine import Machine

SECOND = 1_000_000
START = 1_767_225_600 * SECOND


@dataclass
class PureRun:
    """Every step goes to `watch`. Assignments wait until the test starts and ends them."""

    plan: Plan
    watch: Callable[[Machine, LogEntry], None]
    now: int = START

    def __post_init__(self) -> None:
        self.machine = Machine(self.plan)
        self.open: dict[str, DispatchTask] = {}
        header = RunHeader("r1", self.now, None, {}, {"system": {"os": "linux", "arch": "amd64"}}, 1)
        self.tell(Submitted(self.now, header, "test"))

    def tell(self, event: Event) -> None:
        step = self.machine.handle(event)
        self.watch(self.machine, step)
        for command in step.commands:
            if isinstance(command, DispatchTask):
                self.open[command.assignment.path] = command
            elif isinstance(command, Continue):
                self.tell(Continued(self.now, "test"))

    def start(self, path: str) -> int:
        task = self.open[path]
        self.tell(TaskStarted(self.now, task.node, task.assignment.attempt, "test"))
        return task.node

    def finish(self, path: str, code: int = 0, message: str = "", outputs: Mapping[str, object] | None = None) -> None:
        self.now += SECOND
        task = self.open.pop(path)
        result = TaskResult(task.assignment.ref, code, message, dict(outputs or {}))
        self.tell(TaskFinished(self.now, task.node, result, "test"))
