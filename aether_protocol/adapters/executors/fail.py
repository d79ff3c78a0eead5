"""`fail`: ends with the code that its config names (EXEC-2)."""

from __future__ import annotations

from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import FAILED, TaskAssignment, TaskResult

TYPE = ExecutorType(
    "fail",
    "Ends without success, on purpose: the branch that must not be reached, a guard, a test of a hook.",
    config=(
        ConfigField(
            "code",
            "integer",
            "2 is Failed, 3 is Error, 4 is Timeout, any greater one is Error.",
            default=FAILED,
            minimum=FAILED,
        ),
        ConfigField("message", "string", "Why.", default="failed as asked"),
    ),
)


class FailExecutor:
    type: ExecutorType = TYPE
    mode: Mode = "inline"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        config = task.config or {}
        return task.fail(config.get("message") or "failed as asked", config.get("code") or FAILED)
