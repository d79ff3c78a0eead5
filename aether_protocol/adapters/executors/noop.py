"""`noop`: succeeds at once and gives nothing (EXEC-2).

Law: nothing happens here that is not needed to say "done"; benchmarks measure the engine through it.
"""

from __future__ import annotations

from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import TaskAssignment, TaskResult

TYPE = ExecutorType("noop", "Does nothing and succeeds.")


class NoopExecutor:
    type: ExecutorType = TYPE
    mode: Mode = "inline"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        return TaskResult(task.ref)
