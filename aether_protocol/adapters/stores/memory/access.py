"""Tokens, namespaces and the audit in memory."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from typing import TYPE_CHECKING

from msgspec.structs import replace

from aether_protocol.errors import ConflictError
from aether_protocol.ports.store.access import OK, AccessToken, AuditRecord, NamespaceEntry
from aether_protocol.ports.store.runs import RunQuery

if TYPE_CHECKING:
    from aether_protocol.ports.store import Store


class MemoryTokens:
    """`ports.store.TokenStore`."""

    def __init__(self) -> None:
        self._tokens: dict[str, AccessToken] = {}

    async def add(self, token: AccessToken) -> None:
        if token.id in self._tokens:
            raise ConflictError(f"token {token.id!r} exists already")
        self._tokens[token.id] = token

    async def get(self, id_: str) -> AccessToken | None:
        return self._tokens.get(id_)

    async def list(self) -> list[AccessToken]:
        return sorted(self._tokens.values(), key=lambda one: (one.created_at, one.id))

    async def revoke(self, id_: str, at: int) -> bool:
        token = self._tokens.get(id_)
        if token is None or token.revoked_at is not None:
            return False
        self._tokens[id_] = replace(token, revoked_at=at)
        return True

    async def used(self, times: Mapping[str, int]) -> None:
        for id_, at in times.items():
            token = self._tokens.get(id_)
            if token is not None and (token.used_at is None or token.used_at < at):
                self._tokens[id_] = replace(token, used_at=at)


class MemoryNamespaces:
    """`ports.store.NamespaceStore`: of `store`."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._entries: dict[str, NamespaceEntry] = {}

    async def put(self, namespace: NamespaceEntry) -> bool:
        before = self._entries.get(namespace.name)
        created_at = namespace.created_at if before is None else before.created_at
        self._entries[namespace.name] = replace(namespace, created_at=created_at)
        return before is None

    async def get(self, name: str) -> NamespaceEntry | None:
        return self._entries.get(name)

    async def list(self) -> list[NamespaceEntry]:
        return [one for _, one in sorted(self._entries.items())]

    async def remove(self, name: str) -> bool:
        if name not in self._entries:
            return False
        store = self._store
        schedules = [] if store.schedules is None else await store.schedules.find(name)
        if schedules or await store.runs.rows(RunQuery(namespace=name, limit=1)) or await store.library.newest(None, name):
            raise ConflictError(
                f"namespace {name!r} has runs, documents or schedules",
                hint="remove these first, if they are not wanted any more",
            )
        del self._entries[name]
        return True




class MemoryAudit:
    """`ports.store.AuditStore`: the records, oldest first."""

    def __init__(self) -> None:
        self._records: list[AuditRecord] = []
        self._ids = count(1)

    async def write(self, records: Sequence[AuditRecord]) -> None:
        self._records += [replace(one, id=next(self._ids)) for one in records]

    async def read(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> list[AuditRecord]:
        found = [one for one in reversed(self._records) if before is None or one.id < before]
        return [one for one in found if namespace in (None, one.namespace)][:limit]

    async def drop(self, *, older_than: int, most: int) -> int:
        before = len(self._records)
        kept = [one for one in self._records if one.at >= older_than]
        shares = Counter[tuple[bool, str]]()
        self._records = []
        for one in reversed(kept):
            share = (one.outcome == OK, one.namespace if one.outcome == OK else one.token)
            shares[share] += 1
            if shares[share] <= most:
                self._records.append(one)
        self._records.reverse()
        return before - len(self._records)
