"""What `aether cron apply` is given: read, compiled and held against the present and the store, before anything is written.

Law: whatever is wrong becomes a diagnostic with its place, and all of them are found in one go. Nothing here writes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from msgspec import Struct, field

from aether_protocol.assembly.cron import application
from aether_protocol.assembly.schedules import check_document
from aether_protocol.assembly.variables import SystemVariables
from aether_protocol.cli.faults import InvalidDocumentError
from aether_protocol.cli.workspace import Workspace
from aether_protocol.compiler.compile import Compiled
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument, LoadedFile
from aether_protocol.documents.messages import Path
from aether_protocol.documents.models import CronWorkflow
from aether_protocol.documents.source import Limits
from aether_protocol.engine.schedules import Application, Change, ChangedSpecError, NoFireError, check_fires, weigh
from aether_protocol.engine.submission import read_variables
from aether_protocol.errors import UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.schedules import ScheduleStore
from aether_protocol.scheduler.arguments import bind_parameters
from aether_protocol.scheduler.events import RunHeader

_PARAMETER: Final = re.compile(r"parameter '([^']*)'")


class Candidate(Struct, frozen=True):
    """A CronWorkflow that can be applied as far as the document goes."""

    document: LoadedDocument
    application: Application


class Reading(Struct):
    """All CronWorkflows of what was given. `others` are the workflows beside them, which no schedule runs."""

    candidates: list[Candidate] = field(default_factory=list)
    others: list[LoadedDocument] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


def read(workspace: Workspace, paths: Sequence[str]) -> Reading:
    """Read and compile. Raises UsageError where there is no CronWorkflow, and nothing wrong either."""
    reading = Reading()
    files = workspace.read(paths)
    for file in dict.fromkeys(file for several in files for file in several):
        reading.diagnostics += file.diagnostics
        reading.others += [document for document in file.documents if document.kind == "Workflow"]
    seen: dict[tuple[str, str], LoadedDocument] = {}
    for file, document, compiled in workspace.compile_all(files, "CronWorkflow"):
        _take(reading, file, document, compiled, seen)
    reading.diagnostics += workspace.library_faults()
    if not seen and not any(found.severity == "error" for found in reading.diagnostics):
        told = f"there is no CronWorkflow in {', '.join(map(repr, paths))}"
        raise UsageError(told, hint="a Workflow has no schedule: 'aether run' runs it")
    return reading


def _take(
    reading: Reading,
    file: LoadedFile,
    document: LoadedDocument,
    compiled: Compiled,
    seen: dict[tuple[str, str], LoadedDocument],
) -> None:
    found = list(compiled.diagnostics)
    assert document.model is not None
    metadata = document.model.metadata
    first = seen.setdefault((metadata.namespace, metadata.name), document)
    if first is not document and first.file != document.file:  # of one file, its reader tells
        line, column = first.locate(("metadata", "name"))
        message = f"CronWorkflow {metadata.name!r} is already there, at {first.file}:{line}:{column}"
        found.append(document.report("AE135", ("metadata", "name"), message, "give each schedule its own name, or a namespace"))
    reading.diagnostics += found
    if compiled.plan is not None and not _faulty([*found, *file.diagnostics]):
        reading.candidates.append(Candidate(document, application(document, compiled.plan)))


def check_now(candidate: Candidate, now: int) -> list[Diagnostic]:
    """What only the present tells: no fire is ahead, or a fire could not start a run, which is given no arguments (DATA-14)."""
    document, given = candidate.document, candidate.application
    found = []
    try:
        check_fires(given, now)
    except NoFireError as error:
        path: Path = ("spec", "endAt" if given.settings.end_at is not None else "schedule")
        found.append(document.report("AE511", path, error.message, error.hint))
    bare = RunHeader("apply", now, now, {}, read_variables([SystemVariables()]), 0)
    _, problems = bind_parameters(given.plan, {}, bare)
    for problem in problems:
        hint = "a fire gives no arguments: declare a default, or a value"
        found.append(document.report("AE512", _parameter(document, given.plan, problem), problem, hint))
    return found


def _parameter(document: LoadedDocument, plan: Plan, problem: str) -> Path:
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
    store: ScheduleStore, candidates: Sequence[Candidate], now: int, *, replaces: bool
) -> tuple[list[Change], list[Diagnostic]]:
    """What applying would do to the store, and what speaks against it (CRON-6)."""
    changes: list[Change] = []
    found: list[Diagnostic] = []
    for one in candidates:
        try:
            changes.append(await weigh(store, one.application, now, replaces=replaces))
        except ChangedSpecError as error:
            found.append(one.document.report("AE510", ("spec", "workflowSpec"), error.message, error.hint))
        except NoFireError as error:  # within this second
            found.append(one.document.report("AE511", ("spec", "endAt"), error.message, error.hint))
    return changes, found


def refuse(workspace: Workspace, diagnostics: Sequence[Diagnostic]) -> None:
    """Raise InvalidDocumentError with everything, if any of it is an error."""
    if _faulty(diagnostics):
        raise InvalidDocumentError(
            "nothing was applied", diagnostics=sorted(set(diagnostics)), sources=workspace.sources
        )


def read_cron_workflows(path: str, limits: Limits) -> list[tuple[LoadedDocument, CronWorkflow]]:
    """The CronWorkflows of one file, their schedules checked and nothing else. Raises InvalidDocumentError, UsageError."""
    workspace = Workspace((), limits)
    file = workspace.read_one(path)
    several = [(one, one.model) for one in file.documents if isinstance(one.model, CronWorkflow)]
    found = [*file.diagnostics, *(fault for one, _ in several for fault in check_document(one))]
    if _faulty(found):
        raise InvalidDocumentError(f"{path!r} is not valid", diagnostics=sorted(set(found)), sources=workspace.sources)
    if not several:
        raise UsageError(f"{path!r} holds no CronWorkflow", hint="only a CronWorkflow has a schedule")
    return several


def _faulty(diagnostics: Sequence[Diagnostic]) -> bool:
    return any(one.severity == "error" for one in diagnostics)
