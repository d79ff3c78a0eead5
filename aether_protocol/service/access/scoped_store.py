"""A store in which some namespaces alone are there: what a caller's client stands on.

Law: every method of every facet either asks the scope, or is refused. So whatever a client comes to do, it does it to
these namespaces. What engines do with a store (claim, append, decide) is not done through this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, NoReturn

from msgspec.structs import replace

from aether_protocol.errors import AetherError, ForbiddenError, NotFoundError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import (
    AccessToken,
    AuditRecord,
    Change,
    Lease,
    LogLine,
    NamespaceEntry,
    NewDocument,
    NewRun,
    Request,
    RunAppend,
    RunQuery,
    RunSummary,
    Store,
    StoredDocument,
    StoredRun,
    StoreInfo,
    schedules_of,
)
from aether_protocol.service.access.scope import NamespaceScope

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan
    from aether_protocol.ports.store import (
        AuditStore,
        ChangeFeed,
        LeaseStore,
        LibraryStore,
        LogStore,
        MailboxStore,
        NamespaceStore,
        RunStore,
        ScheduleStore,
        TokenStore,
        UpkeepStore,
    )
    from aether_protocol.ports.store.leases import Scope
    from aether_protocol.ports.store.library import DocumentKey, DocumentMark
    from aether_protocol.ports.store.schedules import FireRecord, ScheduleDecision, ScheduleWrite, StoredSchedule


class ScopedStore:
    """See `ports.store.Store`. Closing it leaves `inner` open."""

    def __init__(self, inner: Store, scope: NamespaceScope) -> None:
        self.scope = scope
        self.durable = inner.durable
        self.tier = inner.tier
        self.file: Path | None = inner.file
        self.appends_at_once = inner.appends_at_once
        runs = _ScopedRuns(inner, scope)
        self.runs: RunStore = runs
        self.leases: LeaseStore = _ScopedLeases(inner, runs)
        self.mailbox: MailboxStore = _ScopedMailbox(inner, runs)
        self.logs: LogStore = _ScopedLogs(inner, runs)
        self.library: LibraryStore = _ScopedLibrary(inner, scope)
        self.changes: ChangeFeed = _ScopedChanges(inner, scope)
        self.schedules: ScheduleStore | None = None if inner.schedules is None else _ScopedSchedules(inner, runs)
        self.upkeep: UpkeepStore = _ScopedUpkeep(inner, runs)
        self.tokens: TokenStore = _NoTokens()
        self.namespaces: NamespaceStore = _NoNamespaces()
        self.audit: AuditStore = _NoAudit()

    async def close(self) -> None:
        """Nothing: the store is another's."""


def _refuse() -> NoReturn:
    """What only engines and operators do."""
    raise ForbiddenError("this is not done for a caller")


class _ScopedRuns:
    def __init__(self, inner: Store, scope: NamespaceScope) -> None:
        self._inner = inner.runs
        self.scope = scope

    async def require_seen(self, run_id: str) -> RunSummary:
        """Raise NotFoundError for a run that is not seen."""
        row = await self.row(run_id)
        if row is None:
            raise NotFoundError(f"run {run_id!r} is unknown")
        return row

    async def require_change(self, run_id: str) -> None:
        """Raise NotFoundError, ForbiddenError."""
        self.scope.require((await self.require_seen(run_id)).namespace)

    async def create(self, run: NewRun) -> int:
        self.scope.require(run.row.namespace)
        return await self._inner.create(run)

    async def append(self, batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        _refuse()

    async def load(self, run_id: str) -> StoredRun:
        await self.require_seen(run_id)
        return await self._inner.load(run_id)

    async def row(self, run_id: str) -> RunSummary | None:
        row = await self._inner.row(run_id)
        return row if row is not None and self.scope.sees(row.namespace) else None

    async def rows(self, query: RunQuery) -> list[RunSummary]:
        reads = self.scope.reads
        if reads is None:
            return await self._inner.rows(query)
        if query.namespaces is not None:
            reads &= frozenset(query.namespaces)
        if not reads or (query.namespace is not None and query.namespace not in reads):
            return []
        return await self._inner.rows(replace(query, namespaces=sorted(reads)))

    async def lines(self, run_id: str, after: int = 0, limit: int = 10_000) -> list[tuple[int, str]]:
        await self.require_seen(run_id)
        return await self._inner.lines(run_id, after, limit)

    async def import_run(self, run: StoredRun) -> None:
        self.scope.require(run.row.namespace)
        self.scope.require(run.plan.namespace)
        await self._inner.import_run(run)

    async def delete(self, run_ids: Sequence[str]) -> int:
        for run_id in run_ids:
            row = await self.row(run_id)
            if row is not None:
                self.scope.require(row.namespace)
        return await self._inner.delete([one for one in run_ids if await self.row(one) is not None])


class _ScopedLeases:
    def __init__(self, inner: Store, runs: _ScopedRuns) -> None:
        self._inner = inner.leases
        self._runs = runs

    async def claim(
        self,
        owner: str,
        ttl: int | None,
        limit: int | None = None,
        run_ids: Sequence[str] | None = None,
        scope: Scope = "ready",
    ) -> list[tuple[str, int]]:
        _refuse()

    async def renew(self, owner: str, ttl: int | None, held: Mapping[str, int]) -> list[str]:
        _refuse()

    async def release(
        self, owner: str, run_ids: Sequence[str] | None = None, sleeps: Mapping[str, int | None] | None = None
    ) -> None:
        self._runs.scope.require_everything()
        await self._inner.release(owner, run_ids, sleeps)

    async def owner(self, run_id: str) -> Lease | None:
        await self._runs.require_seen(run_id)
        return await self._inner.owner(run_id)

    async def owners(self) -> list[Lease]:
        self._runs.scope.require_everything()
        return await self._inner.owners()

    async def lock(self, name: str, owner: str, ttl: int | None) -> bool:
        self._runs.scope.require_everything()
        return await self._inner.lock(name, owner, ttl)

    async def unlock(self, name: str, owner: str) -> None:
        self._runs.scope.require_everything()
        await self._inner.unlock(name, owner)

    async def broke(self, run_id: str, token: int, ended: int, reason: str) -> bool:
        _refuse()


class _ScopedMailbox:
    """The ids of requests that were made through this are known; of no other one is an answer given."""

    def __init__(self, inner: Store, runs: _ScopedRuns) -> None:
        self._inner = inner.mailbox
        self._runs = runs
        self._asked: set[int] = set()

    async def post(self, run_id: str, request: Json) -> int:
        await self._runs.require_change(run_id)
        id_ = await self._inner.post(run_id, request)
        self._asked.add(id_)
        return id_

    async def requests(self, owner: str) -> list[Request]:
        _refuse()

    async def answered(self, id_: int, answer: Json) -> None:
        _refuse()

    async def answer(self, id_: int) -> Json | None:
        return await self._inner.answer(id_) if id_ in self._asked else None

    async def listen(self, heard: Callable[[], None]) -> Callable[[], None] | None:
        return await self._inner.listen(heard)  # that something was asked somewhere says nothing

    async def withdraw(self, id_: int) -> bool:
        return id_ in self._asked and await self._inner.withdraw(id_)


class _ScopedLogs:
    def __init__(self, inner: Store, runs: _ScopedRuns) -> None:
        self._inner = inner.logs
        self._runs = runs

    async def write(self, lines: Sequence[LogLine]) -> None:
        for run_id in {one.run_id for one in lines}:
            await self._runs.require_change(run_id)
        await self._inner.write(lines)

    async def read(
        self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000, *, before: int | None = None
    ) -> list[LogLine]:
        if await self._runs.row(run_id) is None:
            return []
        return await self._inner.read(run_id, path, after, limit, before=before)


class _ScopedLibrary:
    def __init__(self, inner: Store, scope: NamespaceScope) -> None:
        self._inner = inner.library
        self._scope = scope

    async def put(
        self,
        documents: Sequence[NewDocument],
        at: int,
        schedules: Sequence[ScheduleWrite] = (),
        *,
        revision: str | None = None,
    ) -> list[tuple[StoredDocument, bool]]:
        for document in documents:
            self._scope.require(document.namespace)
        for one in schedules:
            _require_schedule(self._scope, one.schedule, one.plan)
        return await self._inner.put(documents, at, schedules, revision=revision)

    async def revision(self) -> str:
        return await self._inner.revision()  # a digest of all of it: it says nothing of a namespace

    async def get(
        self, kind: str, namespace: str, name: str, digest: str | None = None, version: int | None = None
    ) -> StoredDocument | None:
        return await self._inner.get(kind, namespace, name, digest, version) if self._scope.sees(namespace) else None

    async def versions(self, kind: str, namespace: str, name: str) -> list[StoredDocument]:
        return await self._inner.versions(kind, namespace, name) if self._scope.sees(namespace) else []

    async def newest(
        self,
        kind: str | None = None,
        namespace: str | None = None,
        *,
        after: tuple[str, str, str] | None = None,
        limit: int | None = None,
    ) -> list[StoredDocument]:
        if namespace is not None or self._scope.reads is None:
            seen = namespace is None or self._scope.sees(namespace)
            return await self._inner.newest(kind, namespace, after=after, limit=limit) if seen else []
        several = [await self._inner.newest(kind, one, after=after, limit=limit) for one in self._scope.reads]
        return sorted((one for page in several for one in page), key=lambda one: (one.kind, one.namespace, one.name))[:limit]

    async def remove(self, keys: Sequence[DocumentKey], *, revision: str | None = None) -> bool:
        if not all(self._scope.sees(namespace) for _, namespace, _ in keys):
            return False
        for _, namespace, _ in keys:
            self._scope.require(namespace)
        return await self._inner.remove(keys, revision=revision)

    async def mark(self, marks: Sequence[DocumentMark], remove: Sequence[DocumentMark] = ()) -> None:
        self._scope.require_everything()
        await self._inner.mark(marks, remove)

    async def marks(self) -> list[DocumentMark]:
        return [one for one in await self._inner.marks() if self._scope.reads is None or self._scope.sees(one.namespace)]


class _ScopedChanges:
    def __init__(self, inner: Store, scope: NamespaceScope) -> None:
        self._inner = inner.changes
        self._scope = scope

    async def newest(self) -> int:
        return await self._inner.newest()

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        while page := await self._inner.after(cursor, limit):
            seen = self._seen(page)
            if seen:
                return seen
            cursor = page[-1].cursor
        return []

    async def wait(self, cursor: int, seconds: float) -> bool:
        end = monotonic() + seconds
        while await self._inner.wait(cursor, max(0.0, end - monotonic())):
            page = await self._inner.after(cursor)
            if self._seen(page):
                return True
            if page:
                cursor = page[-1].cursor
        return False

    def _seen(self, page: Sequence[Change]) -> list[Change]:
        if self._scope.reads is None:
            return list(page)
        return [one for one in page if self._scope.sees(one.namespace)]


class _ScopedSchedules:
    def __init__(self, inner: Store, runs: _ScopedRuns) -> None:
        self._inner = schedules_of(inner)
        self._runs = runs
        self._scope = runs.scope

    async def put(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        _require_schedule(self._scope, schedule, plan)
        return await self._inner.put(schedule, plan)

    async def get(self, namespace: str, name: str) -> StoredSchedule | None:
        return await self._inner.get(namespace, name) if self._scope.sees(namespace) else None

    async def find(
        self,
        namespace: str | None = None,
        *,
        due: int | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> list[StoredSchedule]:
        if namespace is not None and not self._scope.sees(namespace):
            return []
        if self._scope.reads is None or namespace is not None:
            return await self._inner.find(namespace, due=due, after=after, limit=limit)
        if due is not None:
            return self._scope.seen(await self._inner.find(due=due))[:limit]
        found: list[StoredSchedule] = []
        for one in sorted(self._scope.reads):
            left = None if limit is None else limit - len(found)
            if left != 0 and (after is None or one >= after[0]):
                found += await self._inner.find(one, after=after, limit=left)
        return found

    async def plan(self, namespace: str, name: str) -> Plan:
        if not self._scope.sees(namespace):
            raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return await self._inner.plan(namespace, name)

    async def remove(self, namespace: str, name: str) -> bool:
        if not self._scope.sees(namespace):
            return False
        self._scope.require(namespace)
        return await self._inner.remove(namespace, name)

    async def decide(self, decision: ScheduleDecision) -> Mapping[str, int]:
        _require_schedule(self._scope, decision.schedule, None)
        for run in decision.runs:
            self._scope.require(run.row.namespace)
        for run_id in decision.cancel:
            await self._runs.require_change(run_id)
        return await self._inner.decide(decision)

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        return await self._inner.fires(namespace, name, before, limit) if self._scope.sees(namespace) else []

    async def runs(
        self, namespace: str | None = None, name: str | None = None, *, closed: bool | None = None
    ) -> list[RunSummary]:
        return self._scope.seen(await self._inner.runs(namespace, name, closed=closed))


def _require_schedule(scope: NamespaceScope, schedule: StoredSchedule, plan: Plan | None) -> None:
    """A schedule begins runs in the namespace of its plan."""
    scope.require(schedule.namespace)
    if plan is not None:
        scope.require(plan.namespace)


class _ScopedUpkeep:
    def __init__(self, inner: Store, runs: _ScopedRuns) -> None:
        self._inner = inner.upkeep
        self._runs = runs

    async def info(self) -> StoreInfo:
        self._runs.scope.require_everything()
        return await self._inner.info()

    async def check(self) -> list[str]:
        self._runs.scope.require_everything()
        return await self._inner.check()

    async def vacuum(self) -> None:
        self._runs.scope.require_everything()
        await self._inner.vacuum()

    async def migrate(self) -> tuple[int, int]:
        self._runs.scope.require_everything()
        return await self._inner.migrate()

    async def identity(self) -> str:
        return await self._inner.identity()

    async def artifacts(self) -> Mapping[tuple[str, str], str]:
        self._runs.scope.require_everything()
        return await self._inner.artifacts()

    async def mend(self, run_id: str) -> bool:
        await self._runs.require_change(run_id)
        return await self._inner.mend(run_id)


class _NoTokens:
    """Tokens are looked after elsewhere (`administration`)."""

    async def add(self, token: AccessToken) -> None:
        _refuse()

    async def get(self, id_: str) -> AccessToken | None:
        _refuse()

    async def list(self) -> list[AccessToken]:
        _refuse()

    async def revoke(self, id_: str, at: int) -> bool:
        _refuse()

    async def used(self, times: Mapping[str, int]) -> None:
        _refuse()


class _NoNamespaces:
    async def put(self, namespace: NamespaceEntry) -> bool:
        _refuse()

    async def get(self, name: str) -> NamespaceEntry | None:
        _refuse()

    async def list(self) -> list[NamespaceEntry]:
        _refuse()

    async def remove(self, name: str) -> bool:
        _refuse()


class _NoAudit:
    async def write(self, records: Sequence[AuditRecord]) -> None:
        _refuse()

    async def read(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> list[AuditRecord]:
        _refuse()

    async def drop(self, *, older_than: int, most: int) -> int:
        _refuse()
