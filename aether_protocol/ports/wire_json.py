"""The messages between engine and workers as JSON and back (WIRE-1, WIRE-2): camelCase, durations as in documents, instants as
RFC 3339, secrets as references apart from the data (`wire_secrets`).

`schemas/` describes exactly what is written and read here; a test holds them together. A message that does not fit is a
WireError that names the message, the field and what is wrong: unknown fields are refused, so that a misspelt one is found.
What makes sense on one machine alone (the folder of the document, the order of what happens at one instant) is not sent.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

from msgspec import Meta, Struct, ValidationError, convert, field
from msgspec.structs import asdict

from aether_protocol.errors import UsageError
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.expressions.json_copy import clean, json_copy
from aether_protocol.expressions.template import UNKNOWN_TEMPLATE
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import ArtifactOutput, Call, Kind, OutputBinding, Resources, TaskDef
from aether_protocol.plan.placement import Placement, read_placement
from aether_protocol.ports.wire import (
    AttemptRef,
    HeartbeatMessage,
    LogMessage,
    LostMessage,
    StartedMessage,
    StopMessage,
    Stream,
    TaskAssignment,
    TaskResult,
)
from aether_protocol.ports.wire_secrets import ROOTS, Places, lift_secrets, place_secrets
from aether_protocol.scheduler.timing import duration_text, rfc3339

PROTOCOL: Final = "aether/v1"

Message = dict[str, Json]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class WireError(ValueError):
    """A message that does not fit: the sender is of another version, or not one of these workers."""


# --- shapes: what is read ---------------------------------------------------------------------------------------------

_Positive = Annotated[int, Meta(ge=1)]
_Count = Annotated[int, Meta(ge=0)]
_Object = dict[str, Any]


class _Named(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True, gc=False):
    """What every message says: of which attempt it speaks."""

    task_run_id: str
    workflow_run_id: str
    attempt: _Positive
    epoch: _Count = 0


class _Secret(Struct, forbid_unknown_fields=True, frozen=True, gc=False):
    name: str
    key: str


class _Output(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    type: Literal["string", "number", "integer", "boolean", "object", "array", "any"]
    enum: list[Any] | None
    file: str | None


class _ArtifactOut(Struct, forbid_unknown_fields=True, gc=False):
    name: str
    path: str | None
    archive: str | None


class _Artifacts(Struct, forbid_unknown_fields=True, gc=False):
    inputs: dict[str, _Object]
    outputs: list[_ArtifactOut]


class _Resources(Struct, forbid_unknown_fields=True, gc=False):
    cpu: str | None
    memory: str | None
    gpu: str | None


class _Placement(Struct, rename="camel", forbid_unknown_fields=True, gc=False):
    pool: str | None
    selector: str | None
    prefer: str | None
    sticky: Literal["run"] | None
    wait_at_most: str | None
    redeliver: Literal["lease-end", "on-disconnect"]


class _Assignment(_Named, kw_only=True, gc=False):
    epoch: _Count  # always said here
    protocol: Literal["aether/v1"]
    namespace: str
    path: str
    task_name: str
    template_name: str
    retry_count: _Count
    executor_type: str
    config: Any
    inputs: _Object
    secrets: list[_Secret]
    secret_places: dict[str, list[str | _Secret]]
    artifacts: _Artifacts
    declared_outputs: list[_Output]
    payloads: list[_Object]
    timeout: str | None
    deadline: str | None
    elapsed: str | None
    resources: _Resources | None
    placement: _Placement | None
    priority: Annotated[int, Meta(ge=0, le=1000)]
    idempotency_key: str
    trace_context: str | None
    hook: str | None


class _Result(_Named, kw_only=True, gc=False):
    code: int = 0
    message: str = ""
    parameters: _Object = field(default_factory=dict)
    artifacts: dict[str, _Object] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    fetched: dict[str, _Object] = field(default_factory=dict)


class _Log(_Named, kw_only=True, gc=False):
    stream: Stream
    offset: _Count | None
    text: str


class _Heartbeat(_Named, kw_only=True, gc=False):
    details: Any = None


class _Lost(_Named, kw_only=True, gc=False):
    reason: str
    blamed: bool = False


_Shape = TypeVar("_Shape", bound=_Named)


def _read(message: Json, shape: type[_Shape], what: str) -> tuple[_Shape, AttemptRef]:
    try:
        found = convert(message, shape)
    except ValidationError as error:
        raise WireError(f"{what} does not fit: {error}") from None
    owner, _, path = found.task_run_id.partition("/")
    if owner != found.workflow_run_id or not path:
        run = found.workflow_run_id
        raise WireError(f"{what} does not fit: taskRunId {found.task_run_id!r} does not name a task run of {run!r}")
    return found, AttemptRef(owner, path, found.attempt, found.epoch)


def _own(value: Json, what: str) -> Json:
    try:
        return json_copy(value) if value else value  # nothing in it could be shared or wrong
    except ValueError as error:
        raise WireError(f"{what} does not fit: it holds {error}") from None


def _ref(ref: AttemptRef) -> Message:
    return {"taskRunId": ref.task_run_id, "workflowRunId": ref.run_id, "attempt": ref.attempt, "epoch": ref.epoch}


# --- assignments ------------------------------------------------------------------------------------------------------


def encode_assignment(assignment: TaskAssignment) -> Message:
    """All that a worker needs. Secrets in it are references. Raises UsageError for one whose secrets are filled in."""
    if assignment.filled:
        raise UsageError(f"the secrets of attempt {assignment.ref.path!r} are filled in: it is not sent any more")
    ref, call, target = assignment.ref, assignment.call, assignment.target
    timeout, deadline, resources = call.timeout_us, assignment.deadline_us, target.resources
    secrets, outputs, artifacts, payloads = assignment.secrets, target.outputs, target.artifacts, assignment.payloads
    message: Message = {
        "protocol": PROTOCOL,
        **_ref(ref),
        "namespace": assignment.namespace,
        "path": ref.path if assignment.hook is None else assignment.path,
        "taskName": call.name,
        "templateName": target.name,
        "retryCount": assignment.retry_count,
        "executorType": target.executor_type,
        "config": {} if assignment.config is None else assignment.config,
        "inputs": dict(assignment.inputs),
        "secrets": [{"name": name, "key": key} for name, key in secrets] if secrets else [],
        "secretPlaces": {},
        "artifacts": {
            "inputs": dict(assignment.artifacts),
            "outputs": [_artifact(one) for one in artifacts] if artifacts else [],
        },
        "declaredOutputs": [_output(output) for output in outputs] if outputs else [],
        "payloads": [dict(payload) for payload in payloads] if payloads else [],
        "timeout": None if timeout is None else duration_text(timeout),
        "deadline": None if deadline is None else rfc3339(deadline),
        "elapsed": duration_text(assignment.elapsed_us) if assignment.elapsed_us >= 1_000 else None,
        "resources": None if resources is None else asdict(resources),
        "placement": None if assignment.placement is None else _placement(assignment.placement),
        "priority": assignment.priority,
        "idempotencyKey": assignment.idempotency_key,
        "traceContext": assignment.trace_context,
        "hook": assignment.hook,
    }
    if assignment.secret:
        places: Places = message["secretPlaces"]
        for root in ROOTS:
            message[root] = lift_secrets(message[root], f"/{root}", places)
    return message


def _placement(asked: Placement) -> Message:
    longest = asked.wait_at_most_us
    return {
        "pool": asked.pool or None,
        "selector": asked.selector or None,
        "prefer": asked.prefer or None,
        "sticky": "run" if asked.sticky else None,
        "waitAtMost": None if longest is None else duration_text(longest),
        "redeliver": "on-disconnect" if asked.eager else "lease-end",
    }


def _artifact(output: ArtifactOutput) -> Message:
    return {"name": output.name, "path": output.path, "archive": output.archive}


def _output(output: OutputBinding) -> Message:
    enum = None if output.enum is None else list(output.enum)
    return {"name": output.name, "type": output.type, "enum": enum, "file": output.file}


def _data(found: _Assignment, what: str) -> Json:
    """The values of an assignment, by their ROOTS. Each may be as deep as it may be in the engine."""
    roots = (found.config, found.inputs, found.artifacts.inputs, found.payloads)
    config, inputs, artifacts, payloads = (_own(one, what) for one in roots)
    return {"config": config, "inputs": inputs, "artifacts": {"inputs": artifacts}, "payloads": payloads}


def decode_assignment(message: Json) -> TaskAssignment:
    """The assignment of a message, for `execution/` to carry out: its secrets are references that are not filled in yet.

    Its config is checked again where it is carried out, for the executor there may be of another version. Raises WireError.
    """
    what = "a task assignment"
    found, ref = _read(message, _Assignment, what)
    data = _data(found, what)
    try:
        place_secrets(data, message["secretPlaces"])
        timeout = None if found.timeout is None else parse_duration(found.timeout)
        elapsed = 0 if found.elapsed is None else parse_duration(found.elapsed)
        deadline = None if found.deadline is None else _instant(found.deadline)
        placement = None if found.placement is None else read_placement(message["placement"])
    except ValueError as error:
        raise WireError(f"{what} does not fit: {error}") from None
    target = _target(found)
    return TaskAssignment(
        ref=ref,
        rank=(),
        call=Call(found.task_name, 0, Kind.TASK, target, timeout_us=timeout),
        target=target,
        retry_count=found.retry_count,
        config=data["config"],
        inputs=data["inputs"],
        artifacts=data["artifacts"]["inputs"],
        payloads=tuple(data["payloads"]),
        priority=found.priority,
        deadline_us=deadline,
        secret=bool(found.secret_places),
        hook=found.hook,
        trace_context=found.trace_context,
        secrets=tuple((one.name, one.key) for one in found.secrets),
        namespace=found.namespace,
        elapsed_us=elapsed,
        placement=placement,
    )


def _target(found: _Assignment) -> TaskDef:
    outputs = [
        OutputBinding(one.name, one.type, (), None if one.enum is None else tuple(one.enum), one.file)
        for one in found.declared_outputs
    ]
    artifacts = [ArtifactOutput(one.name, one.path, one.archive, None) for one in found.artifacts.outputs]
    needs = found.resources
    return TaskDef(
        name=found.template_name,
        executor_type=found.executor_type,
        config=UNKNOWN_TEMPLATE,
        inline=False,
        outputs=tuple(outputs),
        artifacts=tuple(artifacts),
        resources=None if needs is None else Resources(needs.cpu, needs.memory, needs.gpu),
        library=None,
    )


def _instant(text: str) -> int:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"deadline {text!r} is not an instant") from None
    if when.tzinfo is None:
        raise ValueError(f"deadline {text!r} has no zone")
    return (when - _EPOCH) // _MICROSECOND


# --- results ----------------------------------------------------------------------------------------------------------


def encode_result(result: TaskResult) -> Message:
    """What an attempt gave; what is empty is left out."""
    message: Message = {**_ref(result.ref), "code": result.code}
    if result.message:
        message["message"] = result.message
    if result.outputs:
        message["parameters"] = dict(result.outputs)
    if result.artifacts:
        message["artifacts"] = dict(result.artifacts)
    if result.warnings:
        message["warnings"] = list(result.warnings)
    if result.fetched:
        message["fetched"] = dict(result.fetched)
    return message


def decode_result(message: Json) -> TaskResult:
    """A result that came as JSON. Raises WireError."""
    what = "a task result"
    found, ref = _read(message, _Result, what)
    return TaskResult(
        ref=ref,
        code=found.code,
        message=clean(found.message),
        outputs=_own(found.parameters, what),
        artifacts=_artifacts(found.artifacts, what),
        warnings=tuple(map(clean, found.warnings)),
        fetched=_artifacts(found.fetched, what),
    )


def _artifacts(artifacts: dict[str, Json], what: str) -> Mapping[str, Json]:
    for name, value in artifacts.items():
        if not isinstance(value.get("digest"), str):
            raise WireError(f"{what} does not fit: artifact {name!r} must have a digest")
    own: Mapping[str, Json] = _own(artifacts, what)
    return own


# --- while it runs ----------------------------------------------------------------------------------------------------


def encode_started(message: StartedMessage) -> Message:
    return _ref(message.ref)


def decode_started(message: Json) -> StartedMessage:
    """Raises WireError."""
    return StartedMessage(_read(message, _Named, "a start")[1])


def encode_log(message: LogMessage) -> Message:
    return {**_ref(message.ref), "stream": message.stream, "offset": message.offset, "text": message.text}


def decode_log(message: Json) -> LogMessage:
    """Raises WireError."""
    found, ref = _read(message, _Log, "a piece of a log")
    return LogMessage(ref, found.stream, found.offset, clean(found.text))


def encode_heartbeat(message: HeartbeatMessage) -> Message:
    return {**_ref(message.ref), "details": message.details}


def decode_heartbeat(message: Json) -> HeartbeatMessage:
    """Raises WireError."""
    found, ref = _read(message, _Heartbeat, "a heartbeat")
    return HeartbeatMessage(ref, _own(found.details, "a heartbeat"))


def encode_lost(message: LostMessage) -> Message:
    return {**_ref(message.ref), "reason": message.reason, "blamed": message.blamed}


def decode_lost(message: Json) -> LostMessage:
    """Raises WireError."""
    found, ref = _read(message, _Lost, "a loss")
    return LostMessage(ref, clean(found.reason), found.blamed)


def encode_stop(message: StopMessage) -> Message:
    return _ref(message.ref)


def decode_stop(message: Json) -> StopMessage:
    """Raises WireError."""
    return StopMessage(_read(message, _Named, "a stop")[1])
