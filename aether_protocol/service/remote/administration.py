"""Tokens, namespaces and the audit of a server (`access.administration.AccessAdministration`, over HTTP).

Law: what the server says is what comes back; who may do what is its decision. The digest of a token does not leave the server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import UNSET, Struct, UnsetType, convert

from aether_protocol.ports.store.access import AccessToken, AuditRecord, NamespaceEntry
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.access.administration import NewToken
from aether_protocol.service.remote.calls import ServerCalls, path_of
from aether_protocol.service.wire.values import read_instant, read_optional


class _TokenBody(Struct, rename="camel"):
    id: str
    name: str
    kind: str
    roles: dict[str, str]
    pools: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    used_at: str | None
    token: str | UnsetType = UNSET


class _NamespaceBody(Struct, rename="camel"):
    name: str
    created_at: str
    weight: int
    limit: int | None


class _TokensBody(Struct):
    tokens: list[_TokenBody]


class _NamespacesBody(Struct):
    namespaces: list[_NamespaceBody]


class _DeclaredBody(Struct, rename="camel"):
    is_new: bool


class _AuditBody(Struct):
    records: list[dict[str, Any]]


class RemoteAdministration:
    """See `access.administration.AccessAdministration`."""

    def __init__(self, calls: ServerCalls) -> None:
        self._calls = calls

    async def create_token(
        self,
        kind: str,
        name: str,
        roles: Mapping[str, str],
        *,
        expires_at: int | None = None,
        pools: tuple[str, ...] = (),
    ) -> NewToken:
        body = {"kind": kind, "name": name, "roles": dict(roles), "pools": list(pools)}
        until = None if expires_at is None else rfc3339(expires_at)
        _, made = await self._calls.send("POST", path_of("tokens"), {**body, "expiresAt": until}, _TokenBody)
        return NewToken(_token(made), made.token or "")

    async def tokens(self) -> Sequence[AccessToken]:
        found = await self._calls.get(path_of("tokens"), _TokensBody)
        return [_token(one) for one in found.tokens]

    async def revoke_token(self, id_: str) -> AccessToken:
        return _token((await self._calls.send("DELETE", path_of("tokens", id_), None, _TokenBody))[1])

    async def declare_namespace(self, name: str, *, weight: int = 1, limit: int | None = None) -> bool:
        body = {"weight": weight, "limit": limit}
        return bool((await self._calls.send("PUT", path_of("namespaces", name), body, _DeclaredBody))[1].is_new)

    async def namespaces(self) -> Sequence[NamespaceEntry]:
        found = await self._calls.get(path_of("namespaces"), _NamespacesBody)
        return [
            NamespaceEntry(name=one.name, created_at=read_instant(one.created_at), weight=one.weight, limit=one.limit)
            for one in found.namespaces
        ]

    async def remove_namespace(self, name: str) -> None:
        await self._calls.send("DELETE", path_of("namespaces", name), None, dict[str, Any])

    async def audit(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> Sequence[AuditRecord]:
        parameters = [("before", before), ("limit", limit), ("namespace", namespace)]
        found = await self._calls.get(path_of("audit"), _AuditBody, parameters)
        return [convert({**one, "at": read_instant(one["at"])}, AuditRecord) for one in found.records]


def _token(body: _TokenBody) -> AccessToken:
    return AccessToken(
        id=body.id,
        name=body.name,
        kind=body.kind,
        roles=body.roles,
        digest="",
        created_at=read_instant(body.created_at),
        pools=tuple(body.pools),
        expires_at=read_optional(body.expires_at),
        revoked_at=read_optional(body.revoked_at),
        used_at=read_optional(body.used_at),
    )
