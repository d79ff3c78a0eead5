"""The two messages as JSON (WIRE-1, WIRE-2): camelCase, durations as in documents, instants as RFC 3339.

Law: `schemas/task-assignment.schema.json` and `schemas/task-result.schema.json` describe exactly what is written and read
here; a test holds them together. Unknown fields of a result are refused, so that a misspelt one is noticed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec.structs import asdict

from aether_protocol.expressions.json_copy import clean, own
from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.timing import duration_text, rfc3339

PROTOCOL: Final = "aether/v1"

_RESULT_FIELDS: Final = frozenset(
    {"taskRunId", "workflowRunId", "attempt", "epoch", "code", "message", "parameters", "artifacts", "warnings", "fetched"}
)


def encode_assignment(assignment: TaskAssignment) -> dict[str, Json]:
    """All that a worker needs. Once the engine has filled secrets in, `config` and `inputs` hold their texts: `secrets`
    tells which ones, so that a worker can mask them."""
    timeout, deadline = assignment.timeout_us, assignment.deadline_us
    resources = assignment.resources
    return {
        "protocol": PROTOCOL,
        "taskRunId": assignment.task_run_id,
        "workflowRunId": assignment.run_id,
        "path": assignment.path,
        "taskName": assignment.task_name,
        "templateName": assignment.template_name,
        "attempt": assignment.attempt,
        "epoch": assignment.ref.epoch,
        "retryCount": assignment.retry_count,
        "executorType": assignment.executor_type,
        "config": {} if assignment.config is None else assignment.config,
        "inputs": dict(assignment.inputs),
        "secrets": [{"name": name, "key": key} for name, key in assignment.secrets],
        "artifacts": {
            "inputs": dict(assignment.artifacts),
            "outputs": [
                {"name": output.name, "path": output.path, "archive": output.archive} for output in assignment.target.artifacts
            ],
        },
        "declaredOutputs": [
            {
                "name": output.name,
                "type": output.type,
                "enum": None if output.enum is None else list(output.enum),
                "file": output.file,
            }
            for output in assignment.declared_outputs
        ],
        "payloads": [dict(payload) for payload in assignment.payloads],
        "timeout": None if timeout is None else duration_text(timeout),
        "deadline": None if deadline is None else rfc3339(deadline),
        "elapsed": None if not assignment.elapsed_us else duration_text(assignment.elapsed_us),
        "resources": None if resources is None else asdict(resources),
        "priority": assignment.priority,
        "idempotencyKey": assignment.idempotency_key,
        "traceContext": assignment.trace_context,
        "hook": assignment.hook,
    }


def encode_result(result: TaskResult) -> dict[str, Json]:
    return {
        "taskRunId": result.ref.task_run_id,
        "workflowRunId": result.ref.run_id,
        "attempt": result.ref.attempt,
        "epoch": result.ref.epoch,
        "code": result.code,
        "message": result.message,
        "parameters": dict(result.outputs),
        "artifacts": dict(result.artifacts),
        "warnings": list(result.warnings),
        "fetched": dict(result.fetched),
    }


def decode_result(message: Json) -> TaskResult:
    """A result that came as JSON. Raises ValueError that names the field."""
    if not isinstance(message, dict):
        raise ValueError("a task result must be an object")
    unknown = sorted(message.keys() - _RESULT_FIELDS)
    if unknown:
        raise ValueError(f"a task result has no field {unknown[0]!r}")
    run_id = _take(message, "workflowRunId", str)
    task_run_id = _take(message, "taskRunId", str)
    owner, _, path = task_run_id.partition("/")
    if owner != run_id or not path:
        raise ValueError(f"taskRunId {task_run_id!r} does not name a task run of {run_id!r}")
    attempt, epoch = _take(message, "attempt", int), _take(message, "epoch", int, 0)
    if attempt < 1:
        raise ValueError(f"attempt must be at least 1, not {attempt}")
    if epoch < 0:
        raise ValueError(f"epoch must be at least 0, not {epoch}")
    return TaskResult(
        AttemptRef(run_id, path, attempt, epoch),
        _take(message, "code", int, 0),
        clean(_take(message, "message", str, "")),
        own(_take(message, "parameters", dict, {})),
        _artifacts(own(_take(message, "artifacts", dict, {}))),
        _warnings(_take(message, "warnings", list, [])),
        _artifacts(own(_take(message, "fetched", dict, {}))),
    )


def _take(message: Mapping[str, Json], name: str, kind: type, default: Any = None) -> Any:
    value = message.get(name, default)
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name} must be {_KINDS[kind]}" if name in message else f"{name} is missing")
    return value


_KINDS: Final = {str: "text", int: "an integer", dict: "an object", list: "a list"}


def _warnings(warnings: list[Json]) -> tuple[str, ...]:
    if not all(isinstance(text, str) for text in warnings):
        raise ValueError("warnings must be texts")
    return tuple(map(clean, warnings))


def _artifacts(artifacts: dict[str, Json]) -> dict[str, Json]:
    for name, value in artifacts.items():
        if not isinstance(value, dict) or not isinstance(value.get("digest"), str):
            raise ValueError(f"artifact {name!r} must be an object with a digest")
    return artifacts
