"""Run reports as JSON, and the way back (docs/reference/run-report.md)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, field

from aether_protocol.scheduler.events import RunConfiguration
from aether_protocol.service.wire.runs import Phase, Progress, RunId, WorkflowBody
from aether_protocol.service.wire.values import Instant
from aether_protocol.views.report import HookReport, Note, Report, TaskReport, WorkflowName

Values = Annotated[dict[str, Any], Meta(description="Values by name.")]


class ShownTask(Struct, rename="camel", kw_only=True):
    """A task run without its inputs and outputs."""

    id: str
    path: str
    task_name: str
    template_name: str
    template_type: Annotated[str, Meta(description="task, dag or loop")]
    depth: int
    phase: Phase
    message: str
    retries: int
    started_at: Instant | None
    finished_at: Instant | None
    item: Annotated[str | None, Meta(description="Of an iteration over items: which one, as a short text.")] = None


class TaskBody(ShownTask, rename="camel", kw_only=True):
    """One task run: a task, container or iteration."""

    inputs: Values
    outputs: Values


class WaitBody(Struct):
    """Why it has no worker yet: a code for programs, a sentence for people."""

    code: str
    reason: str


class ListedTaskBody(TaskBody, rename="camel", omit_defaults=True):
    """One task run as lists show it. `waiting`: why its attempt waits for a worker, where it does."""

    waiting: WaitBody | None = None


class HookBody(Struct, rename="camel"):
    """One run of a hook: `workflow:onExit` or `task:PATH:onSuccess`."""

    hook: str
    path: str
    phase: Phase
    message: str
    outputs: Values
    started_at: Instant | None
    finished_at: Instant | None


class NoteBody(Struct):
    """Something that people should know and that changed nothing; `path` is empty for the workflow."""

    path: str
    message: str


class ConfigurationBody(Struct):
    """With which configuration the run began."""

    profile: str | None
    digest: str


class LeftOutBody(Struct, rename="camel"):
    """What an excerpt leaves out; `bad` counts all tasks that ended and neither Succeeded nor were Skipped."""

    tasks: int
    not_run: int
    bad: int = 0


class ReportBody(Struct, rename="camel", omit_defaults=True):
    """A run with its tasks, in document order."""

    run_id: RunId
    workflow: WorkflowBody
    phase: Phase
    message: str
    outputs: Values
    progress: Progress
    started_at: Instant
    finished_at: Instant | None
    duration_seconds: float | None
    tasks: list[TaskBody]
    hooks: list[HookBody]
    not_run: Annotated[list[str], Meta(description="Paths of tasks that did not begin.")]
    warnings: list[NoteBody]
    configuration: ConfigurationBody | None = None
    broken: str | None = None
    document_version: int | None = None
    trace_id: Annotated[str | None, Meta(description="Of the trace that the run is in (W3C), where it is in one.")] = None
    left_out: LeftOutBody | None = None


class TaskPage(Struct):
    """The task runs of a run, in document order. `next` is the `after` that follows; null at the end. `unreachable`: servers
    that did not answer why tasks wait."""

    tasks: list[ListedTaskBody]
    next: int | None = field(default=None)
    unreachable: list[str] = field(default_factory=list)


def read_report(body: ReportBody) -> Report:
    """Give the report that a body was made of (`Report.to_json`)."""
    configured = body.configuration
    return Report(
        run_id=body.run_id,
        workflow=WorkflowName(body.workflow.name, body.workflow.namespace, body.workflow.version),
        phase=body.phase,
        message=body.message,
        outputs=body.outputs,
        progress=body.progress,
        started_at=body.started_at,
        finished_at=body.finished_at,
        duration_seconds=body.duration_seconds,
        tasks=tuple(TaskReport(**_plain(task)) for task in body.tasks),
        hooks=tuple(HookReport(**_plain(hook)) for hook in body.hooks),
        not_run=tuple(body.not_run),
        warnings=tuple(Note(note.path, note.message) for note in body.warnings),
        broken=body.broken,
        configuration=None if configured is None else RunConfiguration(configured.digest, configured.profile),
        document_version=body.document_version,
        trace_id=body.trace_id,
    )


def _plain(body: Struct) -> dict[str, Any]:
    return {name: getattr(body, name) for name in body.__struct_fields__}
