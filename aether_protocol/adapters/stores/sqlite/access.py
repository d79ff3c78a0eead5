"""Tokens, namespaces and the audit in SQLite."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aether_protocol.adapters.stores.sqlite.database import Database, Execute, next_id
from aether_protocol.adapters.stores.sqlite.records import COVERED, damaged, require, sum_of
from aether_protocol.errors import ConflictError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.access import AccessToken, AuditRecord, NamespaceEntry

_TOKEN: Final = COVERED["tokens"]
_IN_USE: Final = (
    "SELECT EXISTS (SELECT 1 FROM runs WHERE namespace = ?1) OR EXISTS (SELECT 1 FROM documents WHERE namespace = ?1) "
    "OR EXISTS (SELECT 1 FROM schedules WHERE namespace = ?1)"
)


class SqliteTokens:
    """`ports.store.TokenStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def add(self, token: AccessToken) -> None:
        values = _values_of_token(token)
        async with self._db.write() as execute:
            if _find_token(execute, token.id) is not None:
                raise ConflictError(f"token {token.id!r} exists already")
            execute(
                f"INSERT INTO tokens ({_TOKEN}, used_at, sum) VALUES ({', '.join('?' * 11)})",
                (*values, token.used_at, sum_of("tokens", values)),
            )

    async def get(self, id_: str) -> AccessToken | None:
        with self._db.read() as execute:
            return _find_token(execute, clean(id_))

    async def list(self) -> list[AccessToken]:
        with self._db.read() as execute:
            found = execute(f"SELECT {_TOKEN}, sum, used_at FROM tokens ORDER BY created_at, token").fetchall()
        return [_make_token(one) for one in found]

    async def revoke(self, id_: str, at: int) -> bool:
        async with self._db.write() as execute:
            changed = execute("UPDATE tokens SET revoked_at = ? WHERE token = ? AND revoked_at IS NULL", (at, clean(id_)))
            if changed.rowcount != 1:
                return False
            values = execute(f"SELECT {_TOKEN} FROM tokens WHERE token = ?", (id_,)).fetchone()
            execute("UPDATE tokens SET sum = ? WHERE token = ?", (sum_of("tokens", values), id_))
        return True

    async def used(self, times: Mapping[str, int]) -> None:
        if not times:
            return
        async with self._db.write() as execute:
            for id_, at in times.items():
                text = "UPDATE tokens SET used_at = ?1 WHERE token = ?2 AND coalesce(used_at, ?1 - 1) < ?1"
                execute(text, (at, clean(id_)))


def _values_of_token(token: AccessToken) -> tuple[Any, ...]:
    roles, pools = json.dumps(dict(token.roles), sort_keys=True), json.dumps(list(token.pools))
    texts = (token.id, clean(token.name), token.kind, roles, pools, token.digest)
    return (*texts, token.created_at, token.expires_at, token.revoked_at)


def _find_token(execute: Execute, id_: str) -> AccessToken | None:
    found = execute(f"SELECT {_TOKEN}, sum, used_at FROM tokens WHERE token = ?", (id_,)).fetchone()
    return None if found is None else _make_token(found)


def _make_token(found: tuple[Any, ...]) -> AccessToken:
    *values, sum_, used_at = found
    require("tokens", values, sum_, f"token {values[0]!r}")
    id_, name, kind, roles, pools, digest, created_at, expires_at, revoked_at = values
    try:
        return AccessToken(
            id=id_,
            name=name,
            kind=kind,
            roles=json.loads(roles),
            pools=tuple(json.loads(pools)),
            digest=digest,
            created_at=created_at,
            expires_at=expires_at,
            revoked_at=revoked_at,
            used_at=used_at,
        )
    except ValueError as error:
        raise damaged(f"token {id_!r}") from error


class SqliteNamespaces:
    """`ports.store.NamespaceStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def put(self, namespace: NamespaceEntry) -> bool:
        async with self._db.write() as execute:
            before = _find_namespace(execute, namespace.name)
            created_at = namespace.created_at if before is None else before.created_at
            values = (namespace.name, created_at, namespace.weight, namespace.limit)
            execute("INSERT OR REPLACE INTO namespaces VALUES (?, ?, ?, ?, ?)", (*values, sum_of("namespaces", values)))
        return before is None

    async def get(self, name: str) -> NamespaceEntry | None:
        with self._db.read() as execute:
            return _find_namespace(execute, clean(name))

    async def list(self) -> list[NamespaceEntry]:
        with self._db.read() as execute:
            found = execute(f"SELECT {COVERED['namespaces']}, sum FROM namespaces ORDER BY name").fetchall()
        return [_make_namespace(one) for one in found]

    async def remove(self, name: str) -> bool:
        async with self._db.write() as execute:
            if _find_namespace(execute, clean(name)) is None:
                return False
            if execute(_IN_USE, (name,)).fetchone()[0]:
                raise ConflictError(
                    f"namespace {name!r} has runs, documents or schedules",
                    hint="remove these first, if they are not wanted any more",
                )
            execute("DELETE FROM namespaces WHERE name = ?", (name,))
        return True


def _find_namespace(execute: Execute, name: str) -> NamespaceEntry | None:
    found = execute(f"SELECT {COVERED['namespaces']}, sum FROM namespaces WHERE name = ?", (name,)).fetchone()
    return None if found is None else _make_namespace(found)


def _make_namespace(found: tuple[Any, ...]) -> NamespaceEntry:
    *values, sum_ = found
    require("namespaces", values, sum_, f"namespace {values[0]!r}")
    name, created_at, weight, limit = values
    return NamespaceEntry(name=name, created_at=created_at, weight=weight, limit=limit)


class SqliteAudit:
    """`ports.store.AuditStore`."""

    def __init__(self, database: Database) -> None:
        self._db = database

    async def write(self, records: Sequence[AuditRecord]) -> None:
        if not records:
            return
        async with self._db.write() as execute:
            for one in records:
                texts = (one.actor, one.kind, one.token, one.action, one.namespace, one.target, one.outcome, one.detail)
                values = (next_id(execute, "audit"), one.at, *map(clean, texts))
                execute(
                    f"INSERT INTO audit ({COVERED['audit']}, sum) VALUES ({', '.join('?' * 11)})",
                    (*values, sum_of("audit", values)),
                )

    async def read(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> list[AuditRecord]:
        text = (
            f"SELECT {COVERED['audit']}, sum FROM audit WHERE (?1 IS NULL OR id < ?1) AND (?2 IS NULL OR namespace = ?2) "
            "ORDER BY id DESC LIMIT ?3"
        )
        with self._db.read() as execute:
            found: list[Any] = execute(text, (before, namespace, limit)).fetchall()
        return [_make_record(one) for one in found]

    async def drop(self, *, older_than: int, most: int) -> int:
        text = "DELETE FROM audit WHERE at < ?1 OR id <= (SELECT id FROM audit ORDER BY id DESC LIMIT 1 OFFSET ?2)"
        async with self._db.write() as execute:
            return execute(text, (older_than, most)).rowcount


def _make_record(found: tuple[Any, ...]) -> AuditRecord:
    *values, sum_ = found
    require("audit", values, sum_, f"audit record {values[0]}")
    id_, at, actor, kind, token, action, namespace, target, outcome, detail = values
    return AuditRecord(
        id=id_,
        at=at,
        actor=actor,
        kind=kind,
        token=token,
        action=action,
        namespace=namespace,
        target=target,
        outcome=outcome,
        detail=detail,
    )
