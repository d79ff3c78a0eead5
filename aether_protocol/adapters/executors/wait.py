"""The two that wait: `sleep` for a time, `await` for an answer from outside (EXEC-2, CTRL-2).

Law: time passes only on the engine's clock, so a test with a virtual one never waits.
"""

from __future__ import annotations

from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.values import Json
from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType, OutputField
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import TaskAssignment, TaskResult

SLEEP = ExecutorType(
    "sleep",
    "Waits for a time, then succeeds. After a crash of the engine it waits for what is left of that time.",
    config=(ConfigField("duration", "duration", "How long, like `30s` or `1h30m`.", required=True),),
)

AWAIT = ExecutorType(
    "await",
    "Suspends the task until it is resumed. The payload of the resume becomes its outputs; a payload with "
    "`approved: false` makes it Failed.",
    config=(ConfigField("message", "string", "What is asked, for the person who answers.", default="waiting for a resume"),),
    outputs=(
        OutputField("approved", "boolean", "By convention; `false` makes the task Failed."),
        OutputField("<field>", "any", "Each field of the payloads; of several payloads the last one wins."),
    ),
    open_outputs=True,
    site="engine",
)


class SleepExecutor:
    type: ExecutorType = SLEEP
    mode: Mode = "async"

    async def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        left_us = parse_duration(task.config["duration"]) - task.elapsed_us  # what is left after a crash
        await context.sleep(max(left_us, 0) / 1_000_000)
        return task.succeed()


class AwaitExecutor:
    type: ExecutorType = AWAIT
    mode: Mode = "inline"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        if not task.payloads:
            return task.suspend((task.config or {}).get("message") or "waiting for a resume")
        answer: dict[str, Json] = {}
        for payload in task.payloads:
            answer.update(payload)
        if answer.get("approved") is False:
            reason = answer.get("reason")
            message = f"not approved: {reason}" if isinstance(reason, str) and reason else "not approved"
            return task.fail(message, outputs=answer)
        return task.succeed(**answer)
