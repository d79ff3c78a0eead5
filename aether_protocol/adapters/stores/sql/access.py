"""Tokens, namespaces and the audit in SQL."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from aether_protocol.adapters.stores.sql.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.work import Row, Rows, SqlDatabase, Work, change, fetch, fetch_one
from aether_protocol.errors import ConflictError
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.store.access import OK, AccessToken, AuditRecord, NamespaceEntry

_TOKEN: Final = COVERED["tokens"]
_NAMESPACE: Final = COVERED["namespaces"]
_PUT_NAMESPACE: Final = (
    f"INSERT INTO namespaces ({_NAMESPACE}, sum) VALUES (?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET "
    "created_at = excluded.created_at, weight = excluded.weight, most = excluded.most, sum = excluded.sum"
)


class SqlTokens:
    """`ports.store.TokenStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def add(self, token: AccessToken) -> None:
        await self._db.transact(lambda: self._add(token), "tokens")

    def _add(self, token: AccessToken) -> Work[None]:
        values = _values_of_token(token)
        if (yield from _find_token(token.id)) is not None:
            raise ConflictError(f"token {token.id!r} exists already")
        text = f"INSERT INTO tokens ({_TOKEN}, used_at, sum) VALUES ({', '.join('?' * 11)})"
        yield text, (*values, token.used_at, sum_of("tokens", values))

    async def get(self, id_: str) -> AccessToken | None:
        return await self._db.query(lambda: _find_token(clean(id_)))

    async def list(self) -> list[AccessToken]:
        found = await self._db.query(lambda: fetch(f"SELECT {_TOKEN}, sum, used_at FROM tokens ORDER BY created_at, token"))
        return [_make_token(one) for one in found]

    async def revoke(self, id_: str, at: int) -> bool:
        return await self._db.transact(lambda: self._revoke(clean(id_), at), "tokens")

    def _revoke(self, id_: str, at: int) -> Work[bool]:
        if (yield from change("UPDATE tokens SET revoked_at = ? WHERE token = ? AND revoked_at IS NULL", (at, id_))) != 1:
            return False
        values = yield from fetch_one(f"SELECT {_TOKEN} FROM tokens WHERE token = ?", (id_,))
        assert values is not None
        yield "UPDATE tokens SET sum = ? WHERE token = ?", (sum_of("tokens", values), id_)
        return True

    async def used(self, times: Mapping[str, int]) -> None:
        if times:
            await self._db.transact(lambda: self._used(times), "tokens")

    def _used(self, times: Mapping[str, int]) -> Work[None]:
        for id_, at in times.items():
            yield "UPDATE tokens SET used_at = ?1 WHERE token = ?2 AND coalesce(used_at, ?1 - 1) < ?1", (at, clean(id_))


def _values_of_token(token: AccessToken) -> tuple[Any, ...]:
    roles, pools = json.dumps(dict(token.roles), sort_keys=True), json.dumps(list(token.pools))
    texts = (token.id, clean(token.name), token.kind, roles, pools, token.digest)
    return (*texts, token.created_at, token.expires_at, token.revoked_at)


def _find_token(id_: str) -> Work[AccessToken | None]:
    found = yield from fetch_one(f"SELECT {_TOKEN}, sum, used_at FROM tokens WHERE token = ?", (id_,))
    return None if found is None else _make_token(found)


def _make_token(found: Row) -> AccessToken:
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


class SqlNamespaces:
    """`ports.store.NamespaceStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def put(self, namespace: NamespaceEntry) -> bool:
        return await self._db.transact(lambda: self._put(namespace), "namespaces")

    def _put(self, namespace: NamespaceEntry) -> Work[bool]:
        before = yield from _find_namespace(namespace.name)
        created_at = namespace.created_at if before is None else before.created_at
        values = (namespace.name, created_at, namespace.weight, namespace.limit)
        yield _PUT_NAMESPACE, (*values, sum_of("namespaces", values))
        return before is None

    async def get(self, name: str) -> NamespaceEntry | None:
        return await self._db.query(lambda: _find_namespace(clean(name)))

    async def list(self) -> list[NamespaceEntry]:
        found = await self._db.query(lambda: fetch(f"SELECT {_NAMESPACE}, sum FROM namespaces ORDER BY name"))
        return [_make_namespace(one) for one in found]

    async def remove(self, name: str) -> bool:
        return await self._db.transact(lambda: self._remove(name), "namespaces")

    def _remove(self, name: str) -> Work[bool]:
        if (yield from _find_namespace(clean(name))) is None:
            return False
        for table in ("runs", "documents", "schedules"):
            if (yield from fetch_one(f"SELECT 1 FROM {table} WHERE namespace = ? LIMIT 1", (name,))) is not None:
                raise ConflictError(
                    f"namespace {name!r} has runs, documents or schedules",
                    hint="remove these first, if they are not wanted any more",
                )
        yield "DELETE FROM namespaces WHERE name = ?", (name,)
        return True


def _find_namespace(name: str) -> Work[NamespaceEntry | None]:
    found = yield from fetch_one(f"SELECT {_NAMESPACE}, sum FROM namespaces WHERE name = ?", (name,))
    return None if found is None else _make_namespace(found)


def _make_namespace(found: Row) -> NamespaceEntry:
    *values, sum_ = found
    require("namespaces", values, sum_, f"namespace {values[0]!r}")
    name, created_at, weight, limit = values
    return NamespaceEntry(name=name, created_at=created_at, weight=weight, limit=limit)


_DROP_MORE: Final = (  # of each share its older ones
    "DELETE FROM audit WHERE id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY outcome = ?1, "
    "CASE WHEN outcome = ?1 THEN namespace ELSE token END ORDER BY id DESC) AS place FROM audit) AS placed WHERE place > ?2)"
)


class SqlAudit:
    """`ports.store.AuditStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def write(self, records: Sequence[AuditRecord]) -> None:
        if records:
            await self._db.transact(lambda: self._write(records))

    def _write(self, records: Sequence[AuditRecord]) -> Work[None]:
        text = f"INSERT INTO audit ({COVERED['audit']}, sum) VALUES ({', '.join('?' * 11)})"
        rows = Rows()
        for id_, one in zip((yield from self._db.next_ids("audit", len(records))), records, strict=True):
            texts = (one.actor, one.kind, one.token, one.action, one.namespace, one.target, one.outcome, one.detail)
            values = (id_, one.at, *map(clean, texts))
            rows.append((*values, sum_of("audit", values)))
        yield text, rows

    async def read(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> list[AuditRecord]:
        text = (
            f"SELECT {COVERED['audit']}, sum FROM audit WHERE (id < ?1 OR ?1 IS NULL) AND (namespace = ?2 OR ?2 IS NULL) "
            "ORDER BY id DESC LIMIT ?3"
        )
        found = await self._db.query(lambda: fetch(text, (before, namespace, limit)))
        return [_make_record(one) for one in found]

    async def drop(self, *, older_than: int, most: int) -> int:
        return await self._db.transact(lambda: _drop(older_than, most))


def _drop(older_than: int, most: int) -> Work[int]:
    dropped = yield from change("DELETE FROM audit WHERE at < ?", (older_than,))
    if (yield from fetch_one("SELECT 1 FROM audit LIMIT 1 OFFSET ?", (most,))) is not None:
        dropped += yield from change(_DROP_MORE, (OK, most))
    return dropped


def _make_record(found: Row) -> AuditRecord:
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
