"""Check CronWorkflows that are about to be applied: by themselves, against the present and against the store (CRON-6).

Law: whatever is wrong becomes a diagnostic with its place. Nothing here writes.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.compiler.checks.schedules import check_document
from aether_protocol.compiler.schedule_settings import cron_settings
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument, LoadedFile
from aether_protocol.documents.messages import Path
from aether_protocol.documents.models import CronWorkflow
from aether_protocol.engine.schedules import (
    ChangedSpecError,
    NoFireError,
    ScheduleChange,
    ScheduleSpec,
    check_fires,
    plan_change,
)
from aether_protocol.errors import DocumentError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store.schedules import ScheduleStore
from aether_protocol.scheduler.binding import bind_parameters
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.service.documents.changes import LeftOutDocument
from aether_protocol.service.schedules.find import ScheduleOverview

_PARAMETER: Final = re.compile(r"parameter '([^']*)'")


class ScheduleCandidate(Struct, frozen=True):
    """A CronWorkflow that can be applied as far as the document goes."""

    document: LoadedDocument
    spec: ScheduleSpec


class AppliedSchedule(Struct, frozen=True):
    """What was done to a schedule, and how it stands; `resumed`: it was suspended, and the document lets it continue."""

    what: str
    overview: ScheduleOverview
    resumed: bool


class AppliedSchedules(Struct, frozen=True):
    """What became of each CronWorkflow, in the order in which they were given; `others` are the Workflows beside them."""

    applied: Sequence[AppliedSchedule]
    others: Sequence[LeftOutDocument] = ()
    warnings: Sequence[Diagnostic] = ()


def schedule_spec(document: LoadedDocument, plan: Plan, folder: str | None) -> ScheduleSpec:
    """What `engine.schedules.plan_change` takes. `plan` is the document's, compiled without faults; it lies in `folder`."""
    model = document.model
    if not isinstance(model, CronWorkflow):
        raise UsageError(f"{document.name!r} is a {document.kind}, not a CronWorkflow")
    text = json.dumps(plan.snapshot["workflow"], ensure_ascii=False, separators=(",", ":"))
    settings = replace(cron_settings(model), folder=folder)
    return ScheduleSpec(plan.namespace, plan.name, settings, spec_digest(document), text, plan)


def spec_digest(document: LoadedDocument) -> str:
    """The sha256, in hex, of the workflowSpec as it is written; order, comments and layout do not count."""
    spec = document.tree["spec"]["workflowSpec"]
    text = json.dumps(spec, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def check_now(
    candidate: ScheduleCandidate, now: int, variables: Mapping[str, Mapping[str, Json]]
) -> list[Diagnostic]:
    """What only the present tells: no fire is ahead, or a fire could not start a run, which is given no arguments (DATA-14)."""
    document, given = candidate.document, candidate.spec
    found = []
    try:
        check_fires(given, now)
    except NoFireError as error:
        path: Path = ("spec", "endAt" if given.settings.end_at is not None else "schedule")
        found.append(document.report("AE511", path, error.message, error.hint))
    bare = RunHeader("apply", now, now, {}, variables, 0)
    _, problems = bind_parameters(given.plan, {}, bare)
    for problem in problems:
        hint = "a fire gives no arguments: declare a default, or a value"
        found.append(document.report("AE512", _parameter(document, problem), problem, hint))
    return found


def _parameter(document: LoadedDocument, problem: str) -> Path:
    """Where the parameter stands that a problem is about; its workflowSpec where a template declares it."""
    spec: Path = ("spec", "workflowSpec")
    named = _PARAMETER.match(problem)
    model = document.model
    assert isinstance(model, CronWorkflow)
    arguments = model.spec.workflow_spec.arguments
    if named is not None and arguments is not None:
        for index, parameter in enumerate(arguments.parameters or ()):
            if parameter.name == named[1]:
                return (*spec, "arguments", "parameters", index)
    return spec


async def check_stored(
    store: ScheduleStore, candidates: Sequence[ScheduleCandidate], now: int, *, replaces: bool
) -> tuple[list[ScheduleChange], list[Diagnostic]]:
    """What applying would do to the store, and what speaks against it (CRON-6)."""
    changes: list[ScheduleChange] = []
    found: list[Diagnostic] = []
    for one in candidates:
        try:
            changes.append(await plan_change(store, one.spec, now, replaces=replaces))
        except ChangedSpecError as error:
            found.append(one.document.report("AE510", ("spec", "workflowSpec"), error.message, error.hint))
        except NoFireError as error:  # within this second
            found.append(one.document.report("AE511", ("spec", "endAt"), error.message, error.hint))
    return changes, found


def read_cron_workflows(file: LoadedFile, name: str, sources: Mapping[str, bytes]) -> list[CronWorkflow]:
    """Give the CronWorkflows of one file, their schedules checked and nothing else; `name` is what the caller calls it.

    Raises:
        DocumentError: the file or a schedule has faults.
        UsageError: there is no CronWorkflow.
    """
    several = [(one, one.model) for one in file.documents if isinstance(one.model, CronWorkflow)]
    found = [*file.diagnostics, *(fault for one, _ in several for fault in check_document(one))]
    if _faulty(found):
        raise DocumentError(f"{name!r} is not valid", diagnostics=sorted(set(found)), sources=sources)
    if not several:
        raise UsageError(f"{name!r} holds no CronWorkflow", hint="only a CronWorkflow has a schedule")
    return [model for _, model in several]


def _faulty(diagnostics: Sequence[Diagnostic]) -> bool:
    return any(one.severity == "error" for one in diagnostics)
