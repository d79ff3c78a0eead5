"""Find out what applying documents comes to, and write it: checked with each other, with the store and with the present.

Law: everything that is wrong is found in one go, each with its place, and then nothing is written. What is written is written
in one transaction, and only where the library is as it was when that was found out. A stored document that was valid stays so:
what comes may not break what refers to it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from hashlib import sha256
from typing import Final

from msgspec import Struct, field
from msgspec.structs import replace

from aether_protocol.assembly.templates import read_shelf
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.diagnostics.bounds import first_of
from aether_protocol.documents.load import LoadedDocument, LoadedFile
from aether_protocol.documents.source_texts import document_texts
from aether_protocol.engine.schedules import ScheduleChange
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import NewDocument, Store, StoredDocument, schedules_of
from aether_protocol.ports.store.library import DocumentKey
from aether_protocol.ports.store.schedules import ScheduleWrite, StoredSchedule
from aether_protocol.service.documents.changes import (
    KINDS,
    SCHEDULE,
    TEMPLATE,
    Action,
    AppliedDocuments,
    DocumentChange,
    LeftOutDocument,
)
from aether_protocol.service.documents.compiling import compile_apart, is_large
from aether_protocol.service.documents.texts import refuse
from aether_protocol.service.documents.users import Key, StoredText, mentions, read_stored, refers
from aether_protocol.service.schedules.check import ScheduleCandidate, check_now, check_stored, schedule_spec

NOTHING: Final = "nothing was applied"
_ADVICE: Final = {
    TEMPLATE: "templates are documents of kind: WorkflowTemplate; a Workflow is run from its file",
    SCHEDULE: "a Workflow has no schedule: 'aether run' runs it",
}



class GivenDocuments(Struct, frozen=True, kw_only=True):
    """What is to be applied.

    Attributes:
        workspace: where references are looked up; the store's templates are on its shelf, where one is needed.
        files: as they were read, each once.
        folders: where files lie on the machine of the store, by name (ART-4).
        kinds: which documents are meant; the others are left out.
        variables: what a run would see of them.
        replaces: a CronWorkflow with another workflowSpec makes a new schedule of that name.
        large: they take long to compile.
        revision: that of the library, from before anything of it was read.
    """

    workspace: DocumentWorkspace
    files: Sequence[LoadedFile]
    folders: Mapping[str, str | None]
    variables: Mapping[str, Mapping[str, Json]]
    revision: str
    kinds: Collection[str] = KINDS
    replaces: bool = False
    large: bool = False


class WeighedDocuments(Struct, frozen=True):
    """What is to be written, and what that comes to; `revision` is that of the library which it was compared with."""

    revision: str
    documents: Sequence[NewDocument]
    schedules: Sequence[ScheduleWrite]
    applied: AppliedDocuments


class _Reading(Struct):
    """What the files hold, as far as it is asked for, and what is wrong with it."""

    documents: dict[DocumentKey, LoadedDocument] = field(default_factory=dict)
    candidates: list[ScheduleCandidate] = field(default_factory=list)
    left_out: list[LeftOutDocument] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)


async def weigh(given: GivenDocuments, store: Store, now: int) -> WeighedDocuments:
    """Find out what applying documents comes to; nothing is written.

    Args:
        given: the documents.
        store: what they are compared with.
        now: from when on a schedule must fire.

    Raises:
        DocumentError: something is invalid; with everything that was found.
        UsageError: there is no document of these kinds.
    """
    reading = await compile_apart(given.large, _read, given)
    for candidate in reading.candidates:
        reading.diagnostics += check_now(candidate, now, given.variables)
    kept = {key: one for key, one in reading.documents.items() if one.kind != SCHEDULE}
    texts = await compile_apart(given.large, document_texts, kept.values())
    new = {key: NewDocument(*key, text) for key, text in zip(kept, texts, strict=True)}
    stored = {key: await store.library.get(*key) for key in new}
    changes: Sequence[ScheduleChange] = ()
    if reading.candidates:
        schedules = schedules_of(store)
        changes, against = await check_stored(schedules, reading.candidates, now, replaces=given.replaces)
        reading.diagnostics += against
    reading.diagnostics += await _broken_users(given.workspace, store, new, stored)
    refuse(NOTHING, reading.diagnostics, given.workspace.sources)
    _require_some(reading, given)
    told = {key: _change(kept[key], one, stored[key]) for key, one in new.items()}
    for candidate, change in zip(reading.candidates, changes, strict=True):
        before = await schedules_of(store).get(candidate.spec.namespace, candidate.spec.name)
        told[SCHEDULE, candidate.spec.namespace, candidate.spec.name] = _schedule_change(candidate, change, before)
    return WeighedDocuments(
        given.revision,
        list(new.values()),
        [ScheduleWrite(one.schedule, one.plan) for one in changes if one.what != "unchanged"],
        AppliedDocuments(
            changes=[told[key] for key in reading.documents],
            warnings=first_of(reading.diagnostics),
            left_out=reading.left_out,
            dry_run=True,
        ),
    )


async def write(store: Store, weighed: WeighedDocuments, at: int) -> AppliedDocuments:
    """Write what was weighed, all of it or nothing.

    Args:
        store: where it is kept.
        weighed: what `weigh` found out.
        at: the instant that versions carry.

    Raises:
        BusyError: another changes one of the schedules at the same time.
        ChangedError: another has changed the library since it was weighed.
    """
    kept = await store.library.put(weighed.documents, at, weighed.schedules, revision=weighed.revision)
    now = {(stored.kind, stored.namespace, stored.name): (stored, made) for stored, made in kept}
    changes = []
    for change in weighed.applied.changes:
        stored, made = now.get((change.kind, change.namespace, change.name), (None, False))
        if stored is not None:  # another process may have been first since it was weighed
            action: Action = "unchanged" if not made else "created" if stored.version == 1 else "updated"
            change = replace(
                change, action=action, version=stored.version, digest=stored.digest, applied_at=stored.at
            )
        elif change.applied_at is None:
            change = replace(change, applied_at=at)
        changes.append(change)
    return replace(weighed.applied, changes=changes, dry_run=False)


def _read(given: GivenDocuments) -> _Reading:
    reading = _Reading()
    for file in given.files:
        reading.diagnostics += file.diagnostics
        for document in file.documents:
            if document.kind in given.kinds:
                _take(reading, document)
                _compile(reading, document, file, given)
            elif document.kind is not None:
                line, _ = document.locate(("kind",))
                reading.left_out.append(LeftOutDocument(document.kind, document.name or "", document.file, line))
    reading.diagnostics += given.workspace.faults_of_libraries()
    return reading


def _take(reading: _Reading, document: LoadedDocument) -> None:
    """Take a document in, and report a name that is taken by one of another file."""
    if document.model is None or document.name is None or document.kind is None:
        return
    first = reading.documents.setdefault((document.kind, document.model.metadata.namespace, document.name), document)
    if first.file == document.file or document.kind == TEMPLATE:  # the reader of the file, or the library, reports it
        return
    line, column = first.locate(("metadata", "name"))
    message = f"{document.kind} {document.name!r} is already there, at {first.file}:{line}:{column}"
    hint = "give each document its own name, or a namespace"
    reading.diagnostics.append(document.report("AE135", ("metadata", "name"), message, hint))


def _compile(reading: _Reading, document: LoadedDocument, file: LoadedFile, given: GivenDocuments) -> None:
    """Check a document; what a schedule runs is resolved here, as for a run on this machine."""
    compiled = given.workspace.compile(document, file, strict=document.kind == SCHEDULE)
    reading.diagnostics += compiled.diagnostics
    if document.kind == SCHEDULE and compiled.plan is not None and not _errors([*compiled.diagnostics, *file.diagnostics]):
        spec = schedule_spec(document, compiled.plan, given.folders.get(file.file))
        reading.candidates.append(ScheduleCandidate(document, spec))


def _require_some(reading: _Reading, given: GivenDocuments) -> None:
    if reading.documents:
        return
    names = ", ".join(repr(file.file) for file in given.files[:3]) or "what was given"
    what = next(iter(given.kinds)) if len(given.kinds) == 1 else "document"
    text = f"there is no {what} in {names}{', ...' if len(given.files) > 3 else ''}"
    raise UsageError(text, hint=_ADVICE.get(what))


async def _broken_users(
    workspace: DocumentWorkspace,
    store: Store,
    new: Mapping[DocumentKey, NewDocument],
    stored: Mapping[DocumentKey, StoredDocument | None],
) -> list[Diagnostic]:
    """Find what would become invalid among the stored documents that refer, over others too, to templates that change."""
    changed: set[Key] = {
        (one.namespace, one.name)
        for key, one in new.items()
        if one.kind == TEMPLATE and (old := stored[key]) is not None and old.text != one.text
    }
    if not changed:
        return []
    others = [one for one in await store.library.newest() if (one.kind, one.namespace, one.name) not in new]
    before = workspace.beside()
    for each in (workspace, before):
        each.put_on_shelf(await read_shelf(store, limits=workspace.limits))
    found: list[Diagnostic] = []
    while changed:
        reached: set[Key] = set()
        for one in [one for one in others if mentions(one.text, changed)]:
            large = is_large(one.text)
            read = await compile_apart(large, read_stored, one)
            if read is None or not refers(read, one.namespace, changed):
                continue
            others.remove(one)
            faults = await compile_apart(large, _faults, workspace, read)
            if faults and not await compile_apart(large, _faults, before, read):
                workspace.sources[read.file.file] = read.text
                found += faults
            if one.kind == TEMPLATE:
                reached.add((one.namespace, one.name))
        changed = reached
    return found


def _faults(workspace: DocumentWorkspace, read: StoredText) -> list[Diagnostic]:
    return _errors(workspace.compile(read.document, read.file, strict=False).diagnostics)


def _errors(found: Sequence[Diagnostic]) -> list[Diagnostic]:
    return [one for one in found if one.severity == "error"]


def _change(document: LoadedDocument, new: NewDocument, before: StoredDocument | None) -> DocumentChange:
    digest = sha256(new.text.encode("utf-8", "backslashreplace")).hexdigest()
    action: Action = "created" if before is None else "unchanged" if before.digest == digest else "updated"
    line, _ = document.locate(("metadata", "name"))
    return DocumentChange(
        kind=new.kind,
        namespace=new.namespace,
        name=new.name,
        action=action,
        version=(before.version if before is not None else 0) + (action != "unchanged"),
        digest=digest,
        file=document.file,
        line=line,
        before=None if before is None else before.text,
        text=new.text,
        applied_at=before.at if before is not None and action == "unchanged" else None,
    )


def _schedule_change(
    candidate: ScheduleCandidate, change: ScheduleChange, before: StoredSchedule | None
) -> DocumentChange:
    schedule, document = change.schedule, candidate.document
    line, _ = document.locate(("metadata", "name"))
    return DocumentChange(
        kind=SCHEDULE,
        namespace=schedule.namespace,
        name=schedule.name,
        action=change.what,
        version=schedule.generation,
        digest=sha256(schedule.document.encode("utf-8", "backslashreplace")).hexdigest(),
        file=document.file,
        line=line,
        before=None if before is None else before.document,
        text=schedule.document,
        applied_at=schedule.applied_at if change.what == "unchanged" else None,
        next_at=schedule.next_at,
        resumed=before is not None and before.settings.suspend and not schedule.settings.suspend,
    )
