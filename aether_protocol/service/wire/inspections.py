"""Closer looks at runs, and what is said of a store, as JSON."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta, Struct, to_builtins
from msgspec.structs import replace

from aether_protocol.expressions.values import Json
from aether_protocol.ports.artifacts import KeptArtifact
from aether_protocol.ports.store import StoreInfo
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.runs.delete import Freed
from aether_protocol.service.runs.inspect import AskedInput, KeptWorkspace, LogPlace, TaskQuestion
from aether_protocol.service.runs.overview import FailedTask, RunDifferences, RunOverview, RunStep, WaitingTask
from aether_protocol.service.store_check import StoreFindings
from aether_protocol.service.wire.feeds import LogBody, log_json, read_log
from aether_protocol.service.wire.reports import HookBody, NoteBody, ShownTask, TaskBody, Values
from aether_protocol.service.wire.runs import RunBody, read_row
from aether_protocol.service.wire.values import Instant, read_instant
from aether_protocol.views.artifacts import RunArtifact
from aether_protocol.views.diff import TaskDurations
from aether_protocol.views.summary import row_json

AnyReport = Annotated[dict[str, Any], Meta(description="A run report (docs/reference/run-report.md).")]


class ReasonBody(Struct):
    """A task that went wrong, and the end of its log."""

    task: TaskBody
    logs: list[LogBody]


class OverviewBody(Struct):
    """What people look at first. `reasons`: the first tasks that went wrong; `more`: how many others did."""

    run: RunBody
    report: AnyReport
    parameters: Values
    reasons: list[ReasonBody]
    more: int
    owner: Annotated[str | None, Meta(description="Which engine drives the run now.")]
    waiting: Annotated[list[WaitingTask], Meta(description="Attempts that no worker has yet, and why.")] = []
    unreachable: Annotated[list[str], Meta(description="Servers that did not answer why.")] = []


class ReadRunBody(RunBody, rename="camel"):
    """A run, and of at most 100 of the attempts that wait for a worker why; `waitingCount`: how many wait; `unreachable`:
    servers that did not answer why."""

    waiting: list[WaitingTask] = []
    waiting_count: int = 0
    unreachable: list[str] = []


class StepBody(Struct):
    """A run as it was after a log entry, which was made at `at`."""

    seq: int
    at: Instant
    report: AnyReport
    critical: Annotated[list[str], Meta(description="Of a run that has ended, the leaves that it had to wait for.")] = []


class RunViewBody(Struct, rename="camel"):
    """A run for its page. `run`, `owner` and `waiting` are as they are now; all else is as it was after the log entry `seq`."""

    run: RunBody
    seq: Annotated[int, Meta(description="The number of the log entry; what follows is in the feed of events.")]
    phase: str
    message: str
    progress: str
    outputs: Values
    parameters: Values
    owner: Annotated[str | None, Meta(description="Which engine drives the run now.")]
    waiting: Annotated[list[WaitingTask], Meta(description="Attempts that no worker has yet, and why.")]
    tasks: list[ShownTask]
    hooks: list[HookBody]
    not_run: list[str]
    warnings: list[NoteBody]
    critical: Annotated[list[str], Meta(description="Of a run that has ended, the leaves that it had to wait for.")] = []


class DifferencesBody(Struct):
    """What differs between two runs, or two steps of one. Of two runs also how long their tasks took, in seconds, the rows of
    both, and the lines of a unified diff of their documents, as YAML."""

    before: str
    after: str
    changes: list[dict[str, Any]]
    durations: list[TaskDurations] = []
    documents: list[str] = []
    rows: list[RunBody] = []


class ArtifactsBody(Struct):
    """The artifacts of a run, in document order."""

    artifacts: list[RunArtifact]


class SummaryBody(Struct):
    """What a task left in AETHER_SUMMARY, in Markdown; null where it left none."""

    summary: str | None


class PlaceBody(Struct):
    """Where the logs of a task are. `several`: there may be several tasks below `path`."""

    path: str
    several: bool


class QuestionBody(Struct):
    """A suspended task, its inputs, and the declared types of these by name."""

    path: str
    types: dict[str, str]
    inputs: list[AskedInput] = []


class WorkspaceBody(Struct):
    """A task, and the folder of the workspace that was kept of it on the server's machine; null where none is kept."""

    path: str
    folder: str | None


class SuspendedBody(Struct):
    """Paths of the tasks that wait for an answer, in document order."""

    suspended: list[str]


class DriverBody(Struct):
    """Which engine drives the run now; null where none does."""

    driver: str | None


class StoreBody(Struct, rename="camel"):
    """What the store is, and what it holds. `size` is in bytes."""

    schema: int
    runs: int
    open_runs: int
    size: int
    details: dict[str, str]


class ArtifactBody(Struct, rename="camel"):
    """A content of the repository of artifacts. `size` is in bytes."""

    digest: str
    size: int
    put_at: Instant


class FindingsBody(Struct):
    """What is wrong with the store, in words; where nothing is, also the artifacts that no run names."""

    faults: list[str]
    store: StoreBody
    orphans: list[ArtifactBody]


class ChangedBody(Struct):
    """A number before and after something was done to the store."""

    before: int
    after: int


class FreedBody(Struct):
    """The artifacts that were deleted, their bytes, and why not all of them were."""

    count: int
    size: int
    fault: str | None


# --- there ---


def overview_json(overview: RunOverview) -> dict[str, Json]:
    """Write an overview."""
    return {
        "run": row_json(overview.row),
        "report": overview.report,
        "parameters": overview.parameters,
        "reasons": [{"task": one.task, "logs": [log_json(line) for line in one.logs]} for one in overview.reasons],
        "more": overview.more,
        "owner": overview.owner,
        "waiting": [to_builtins(one) for one in overview.waiting],
    }


def shown_task(task: Mapping[str, Any]) -> dict[str, Any]:
    """Leave the values of a task run out."""
    return {name: value for name, value in task.items() if name not in ("inputs", "outputs")}


def step_json(step: RunStep) -> dict[str, Json]:
    """Write a step."""
    return {"seq": step.seq, "at": rfc3339(step.at), "report": step.report, "critical": list(step.critical)}


def differences_json(found: RunDifferences) -> dict[str, Json]:
    """Write what differs."""
    told: dict[str, Json] = {"before": found.before, "after": found.after, "changes": list(found.changes)}
    if found.rows:
        told |= {
            "durations": to_builtins(found.durations),
            "documents": list(found.documents),
            "rows": [row_json(row) for row in found.rows],
        }
    return told


def workspace_json(kept: KeptWorkspace) -> dict[str, Json]:
    """Write where a workspace is."""
    return {"path": kept.path, "folder": None if kept.folder is None else str(kept.folder)}


def store_json(info: StoreInfo) -> dict[str, Json]:
    """Write what a store is."""
    return {
        "schema": info.schema,
        "runs": info.runs,
        "openRuns": info.open_runs,
        "size": info.size,
        "details": dict(info.details),
    }


def findings_json(found: StoreFindings) -> dict[str, Json]:
    """Write what was found in a store."""
    orphans = [{"digest": one.digest, "size": one.size, "putAt": rfc3339(one.put_at)} for one in found.orphans]
    return {"faults": list(found.faults), "store": store_json(found.info), "orphans": orphans}


# --- and back ---


def read_overview(body: OverviewBody) -> RunOverview:
    """Give the overview that a body was made of."""
    reasons = [FailedTask(to_builtins(one.task), [read_log(line) for line in one.logs]) for one in body.reasons]
    overview = RunOverview(read_row(body.run), body.report, body.parameters, reasons, body.more, body.owner)
    return replace(overview, waiting=tuple(body.waiting), unreachable=tuple(body.unreachable))


def read_step(body: StepBody) -> RunStep:
    """Give the step that a body was made of."""
    return RunStep(body.seq, read_instant(body.at), body.report, body.critical)


def read_differences(body: DifferencesBody) -> RunDifferences:
    """Give what a body was made of."""
    rows = tuple(map(read_row, body.rows))
    return RunDifferences(body.before, body.after, body.changes, tuple(body.durations), tuple(body.documents), rows)


def read_place(body: PlaceBody) -> LogPlace:
    """Give what a body was made of."""
    return LogPlace(body.path, body.several)


def read_question(body: QuestionBody) -> TaskQuestion:
    """Give what a body was made of."""
    return TaskQuestion(body.path, body.types, tuple(body.inputs))


def read_workspace(body: WorkspaceBody) -> KeptWorkspace:
    """Give what a body was made of."""
    return KeptWorkspace(body.path, None if body.folder is None else Path(body.folder))


def read_store(body: StoreBody) -> StoreInfo:
    """Give what a body was made of."""
    return StoreInfo(body.schema, body.runs, body.open_runs, body.size, body.details)


def read_findings(body: FindingsBody) -> StoreFindings:
    """Give what a body was made of."""
    orphans = [KeptArtifact(one.digest, one.size, read_instant(one.put_at)) for one in body.orphans]
    return StoreFindings(body.faults, read_store(body.store), orphans)


def read_freed(body: FreedBody) -> Freed:
    """Give what a body was made of."""
    return Freed(body.count, body.size, body.fault)
