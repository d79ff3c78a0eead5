"""A task assignment as cases see it: the fields of WIRE-1, in their spelling on the wire.

Law: a table; durations stay microseconds here, since cases write them as durations.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire import TaskAssignment

ASSIGNED: Final[Mapping[str, Callable[[TaskAssignment], Json]]] = {
    "taskRunId": lambda task: task.task_run_id,
    "workflowRunId": lambda task: task.run_id,
    "path": lambda task: task.path,
    "taskName": lambda task: task.task_name,
    "templateName": lambda task: task.template_name,
    "attempt": lambda task: task.attempt,
    "executorType": lambda task: task.executor_type,
    "config": lambda task: task.config,
    "inputs": lambda task: dict(task.inputs),
    "artifacts": lambda task: dict(task.artifacts),
    "declaredOutputs": lambda task: [{"name": output.name, "type": output.type} for output in task.declared_outputs],
    "timeout": lambda task: task.timeout_us,
    "deadline": lambda task: task.deadline_us,
    "resources": lambda task: _resources(task),
    "priority": lambda task: task.priority,
    "retryCount": lambda task: task.retry_count,
    "payloads": lambda task: [dict(payload) for payload in task.payloads],
    "idempotencyKey": lambda task: task.idempotency_key,
    "traceContext": lambda task: task.header.trace_context,
}


def _resources(task: TaskAssignment) -> Json:
    given = task.resources
    if given is None:
        return None
    return {name: value for name in ("cpu", "memory", "gpu") if (value := getattr(given, name)) is not None}
