"""Copy a store into another one, of any kind: runs with their logs, documents with their versions, schedules with their fires,
tokens, namespaces, what followed folders held, the audit.

Law: every run is checked and replayed on its way, as an export is. What the target has already stays as it is, so that a copy
that was interrupted is finished by another one. What is tied to processes (leases, requests that are not answered, idempotency
keys, workers) stays behind.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import BusyError
from aether_protocol.ports.store import NewDocument, RunQuery, RunSummary, Store
from aether_protocol.ports.store.schedules import FireRecord, ScheduleDecision, StoredSchedule
from aether_protocol.service.archive import archive_lines, read_archive

_PAGE: Final = 500
_LOGS: Final = 2_000


class CopiedStore(Struct):
    """How many of each were copied; `there`, the runs that the target had already."""

    runs: int = 0
    there: int = 0
    documents: int = 0
    schedules: int = 0
    tokens: int = 0
    namespaces: int = 0
    audit: int = 0


async def check_source(source: Store) -> None:
    """Raise BusyError where an engine drives runs of a store that is to be copied: before there is anything of the copy."""
    driven = [lease.owner for lease in await source.leases.owners() if lease.live]
    if driven:
        hint = "stop what runs on it first, so that nothing is recorded there that the copy has not"
        raise BusyError(f"an engine drives runs of the store that is copied: {driven[0]!r}", hint=hint)


async def copy_store(source: Store, target: Store) -> CopiedStore:
    """Copy all that `source`, which was checked, keeps."""
    done = CopiedStore()
    for namespace in await source.namespaces.list():
        done.namespaces += await target.namespaces.put(namespace)
    known = {token.id for token in await target.tokens.list()}
    for token in await source.tokens.list():
        if token.id not in known:
            await target.tokens.add(token)
            done.tokens += 1
    await _copy_documents(source, target, done)
    async for row in _rows(source):
        if await target.runs.row(row.run_id) is not None:
            done.there += 1
            continue
        await _copy_run(source, target, row.run_id)
        done.runs += 1
    await _copy_schedules(source, target, done)
    await _copy_audit(source, target, done)
    return done


async def _rows(source: Store) -> AsyncIterator[RunSummary]:
    """All runs, newest first, in pages."""
    before: tuple[int, str] | None = None
    while page := await source.runs.rows(RunQuery(limit=_PAGE, before=before)):
        for row in page:
            yield row
        before = page[-1].created_at, page[-1].run_id


async def _copy_run(source: Store, target: Store, run_id: str) -> None:
    archive = read_archive([line async for line in archive_lines(source, run_id)], f"run {run_id}")
    run = archive.run
    there = await source.runs.row(run_id)
    if there is not None:  # what replaying cannot show
        run.row = replace(run.row, document_version=there.document_version, created_at=there.created_at)
    await target.runs.import_run(run)
    for start in range(0, len(archive.logs), _LOGS):
        await target.logs.write(archive.logs[start : start + _LOGS])


async def _copy_documents(source: Store, target: Store, done: CopiedStore) -> None:
    for newest in await source.library.newest():
        key = (newest.kind, newest.namespace, newest.name)
        if await target.library.get(*key) is not None:
            continue
        for one in reversed(await source.library.versions(*key)):
            await target.library.put([NewDocument(one.kind, one.namespace, one.name, one.text)], one.at)
        done.documents += 1
    await target.library.mark(await source.library.marks())


async def _copy_schedules(source: Store, target: Store, done: CopiedStore) -> None:
    if source.schedules is None or target.schedules is None:
        return
    for schedule in await source.schedules.find():
        if await target.schedules.get(schedule.namespace, schedule.name) is not None:
            continue
        plan = await source.schedules.plan(schedule.namespace, schedule.name)
        stored = await target.schedules.put(replace(schedule, version=0), plan)
        fires = await _fires(source, schedule)
        if fires:
            await target.schedules.decide(ScheduleDecision(stored, [replace(one, id=0) for one in fires]))
        done.schedules += 1


async def _fires(source: Store, schedule: StoredSchedule) -> Sequence[FireRecord]:
    """All records of a schedule, oldest first."""
    assert source.schedules is not None
    found: list[FireRecord] = []
    before = None
    while page := await source.schedules.fires(schedule.namespace, schedule.name, before, _PAGE):
        found += page
        before = page[-1].id
    return found[::-1]


async def _copy_audit(source: Store, target: Store, done: CopiedStore) -> None:
    """Copy the audit into a target that has none: its records have no names by which two could be compared."""
    if await target.audit.read(limit=1):
        return
    pages = []
    before = None
    while page := await source.audit.read(before=before, limit=_PAGE):
        pages.append(page)
        before = page[-1].id
    for page in reversed(pages):
        await target.audit.write(page[::-1])
        done.audit += len(page)
