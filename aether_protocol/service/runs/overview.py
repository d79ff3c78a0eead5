"""Runs as people look at them first: what one came to and why, as it was after a step, and what differs between two.

Law: made from a state that is only read, without a look at a clock, so that it can be made in any thread.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine, RunSummary
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.runs.plans import documents_of
from aether_protocol.views.critical import critical_path
from aether_protocol.views.diff import TaskDurations, differences, document_difference, durations, parameter_differences
from aether_protocol.views.phases import FINE_PHASES
from aether_protocol.views.report import TaskReport, faults, make_excerpt, make_report


class FailedTask(Struct, frozen=True):
    """A task that went wrong, as in a report, and the end of its log."""

    task: Mapping[str, Json]
    logs: Sequence[LogLine]


class WaitingTask(Struct, frozen=True, gc=False):
    """An attempt that no worker has yet. `code` says why to programs, `reason` to people."""

    path: str
    attempt: int
    code: str
    reason: str


class RunOverview(Struct, frozen=True):
    """What people look at first.

    `report` is a report without what went well, where that is long; `reasons` are the first tasks that went wrong, `more` the
    number of the others; `owner` drives the run now; `unreachable`: servers that did not answer why tasks wait.
    """

    row: RunSummary
    report: Mapping[str, Json]
    parameters: Mapping[str, Json]
    reasons: Sequence[FailedTask]
    more: int
    owner: str | None
    waiting: Sequence[WaitingTask] = ()
    unreachable: Sequence[str] = ()


class RunStep(Struct, frozen=True):
    """A run as it was after a step, which was made at instant `at`. `critical`: of one that has ended the leaves that it had to
    wait for, one after the other."""

    seq: int
    at: int
    report: Mapping[str, Json]
    critical: Sequence[str] = ()


class RunDifferences(Struct, frozen=True):
    """What differs between two runs, or two steps of one: see `views.diff`. Of two runs also how long their tasks took, how
    their documents differ, as the lines of a unified diff, and the rows of both."""

    before: str
    after: str
    changes: Sequence[Mapping[str, Json]]
    durations: Sequence[TaskDurations] = ()
    documents: Sequence[str] = ()
    rows: Sequence[RunSummary] = ()


class Excerpt(Struct, frozen=True):
    """The part of an overview that a state gives: `failed` are the first `reasons` tasks that went wrong, of `count`."""

    report: Mapping[str, Json]
    parameters: Mapping[str, Json]
    failed: Sequence[TaskReport]
    count: int


def take_excerpt(state: RunState, lines: int, reasons: int) -> Excerpt:
    """Take what an overview shows of a state: at most so many task runs, and so many reasons."""
    failed, count = ([], 0) if str(state.phase) in FINE_PHASES else faults(state, reasons)
    return Excerpt(make_excerpt(state, lines), redacted(state.header.parameters), failed, count)


def take_step(state: RunState) -> RunStep:
    """Take a run as it is in this state."""
    return RunStep(state.seq, state.now, make_report(state).to_json(), critical_path(state))


class Comparable(Struct, frozen=True):
    """What of a run is compared with another."""

    parameters: Mapping[str, Json]
    report: Mapping[str, Json]
    documents: Sequence[Json]


def take_comparable(state: RunState) -> Comparable:
    """Take what is compared."""
    documents = documents_of(state.plan)
    told = [documents.workflow, *documents.library]
    return Comparable(redacted(state.header.parameters), make_report(state).to_json(), told)


def compare_runs(ours: RunSummary, theirs: RunSummary, old: Comparable, new: Comparable) -> RunDifferences:
    """Tell what differs between two runs: documents, parameters, phases, inputs and outputs, task by task."""
    changes: list[dict[str, Json]] = []
    if ours.digest != theirs.digest:
        changes.append({"path": "", "field": "digest", "before": ours.digest, "after": theirs.digest})
    changes += parameter_differences(old.parameters, new.parameters)
    changes += differences(old.report, new.report)
    return RunDifferences(
        ours.run_id,
        theirs.run_id,
        changes,
        durations(old.report, new.report),
        document_difference(old.documents, new.documents) if ours.digest != theirs.digest else (),
        (ours, theirs),
    )
