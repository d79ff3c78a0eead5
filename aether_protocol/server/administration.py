"""Tokens, namespaces and the audit over HTTP."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar

from litestar import Controller, Request, delete, get, post, put
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct, field, to_builtins

from aether_protocol.errors import UsageError
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.server.access import ADMIN, VIEWER, caller_of
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.service.access.administration import MOST_READ, AccessAdministration
from aether_protocol.service.access.tokens import token_record

_Any = Request[Any, Any, Any]


class TokenRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Make a token. `roles`: the role in each namespace, `*` for all; `expiresAt` an instant (RFC 3339)."""

    kind: str
    name: str
    roles: dict[str, str]
    pools: list[str] = field(default_factory=list)
    expires_at: str | None = None


class NamespaceRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Declare a namespace: its share of the workers beside others, and how many attempts it may have running at a time."""

    weight: int = 1
    limit: int | None = None


class AdministrationController(Controller):
    """What admins look after."""

    path = "/v1"
    tags: ClassVar[list[str]] = ["administration"]  # type: ignore[misc]

    @post("/tokens", summary="Make a token; its text is in this answer and nowhere else", opt=ADMIN, responses=answers())
    async def create_token(self, data: JSONBody[TokenRequest], request: _Any) -> dict[str, Any]:
        expires_at = None if data.expires_at is None else _instant(data.expires_at)
        made = await _administration(request).create_token(
            data.kind, data.name, data.roles, expires_at=expires_at, pools=tuple(data.pools)
        )
        return {**token_record(made.token), "token": made.text}

    @get("/tokens", summary="List tokens, without their texts", opt=ADMIN, responses=answers())
    async def tokens(self, request: _Any) -> dict[str, Any]:
        return {"tokens": [token_record(one) for one in await _administration(request).tokens()]}

    @delete("/tokens/{token:str}", status_code=200, summary="Revoke a token", opt=ADMIN, responses=answers(problems=(404,)))
    async def revoke(self, token: FromPath[str], request: _Any) -> dict[str, Any]:
        return token_record(await _administration(request).revoke_token(token))

    @get("/namespaces", summary="List the namespaces that were declared", opt=VIEWER, responses=answers())
    async def namespaces(self, request: _Any) -> dict[str, Any]:
        found = await _administration(request).namespaces()
        return {
            "namespaces": [
                {"name": one.name, "createdAt": rfc3339(one.created_at), "weight": one.weight, "limit": one.limit}
                for one in found
            ]
        }

    @put("/namespaces/{namespace:str}", summary="Declare a namespace, or change it", opt=ADMIN, responses=answers())
    async def declare(
        self, namespace: FromPath[str], data: JSONBody[NamespaceRequest], request: _Any
    ) -> dict[str, Any]:
        is_new = await _administration(request).declare_namespace(namespace, weight=data.weight, limit=data.limit)
        return {"name": namespace, "isNew": is_new}

    @delete(
        "/namespaces/{namespace:str}",
        status_code=200,
        summary="Take the declaration of a namespace away",
        opt=ADMIN,
        responses=answers(problems=(404, 409)),
    )
    async def remove(self, namespace: FromPath[str], request: _Any) -> dict[str, Any]:
        await _administration(request).remove_namespace(namespace)
        return {"removed": namespace}

    @get("/audit", summary="What was changed, and by which caller, newest first", opt=ADMIN, responses=answers())
    async def audit(
        self,
        request: _Any,
        namespace: Annotated[str | None, QueryParameter()] = None,
        before: Annotated[int | None, QueryParameter()] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_READ)] = 100,
    ) -> dict[str, Any]:
        found = await _administration(request).audit(before=before, limit=limit, namespace=namespace)
        records = [{**to_builtins(one), "at": rfc3339(one.at)} for one in found]
        return {"records": records, "next": records[-1]["id"] if len(records) == limit else None}


def _instant(text: str) -> int:
    """Read an instant, in microseconds since the epoch. Raises UsageError."""
    try:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return round(found.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        raise UsageError(f"expiresAt is {text[:60]!r}, not an instant", hint="for example 2027-01-31T00:00:00Z") from None


def _administration(request: _Any) -> AccessAdministration:
    administer = parts_of(request.app.state).administer
    assert administer is not None  # these routes are there only where there is one
    return administer(caller_of(request))
