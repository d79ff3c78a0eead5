"""What a caller has to be to use a route (each declares it in its `opt`), and the client that answers this caller.

Law: declared here and nowhere else; a route that declares nothing is refused to all. `require` is the guard of every route.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from litestar.connection import ASGIConnection
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.server.gate import CALLER, NO_CREDENTIALS
from aether_protocol.server.parts import ServerParts, parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.service.access.caller import EVERYWHERE, LOCAL, Caller
from aether_protocol.service.access.guarded import GuardedClient
from aether_protocol.service.client import Client

Connection = ASGIConnection[Any, Any, Any, Any]
_Opt = Mapping[str, Any]

PUBLIC: Final[_Opt] = {"needs": "nothing"}  # health: says nothing of what the server keeps
WORKER: Final[_Opt] = {"needs": "worker"}  # the token of a worker; it cannot read runs
PEER: Final[_Opt] = {"needs": "peer"}  # another server of the same store
VIEWER: Final[_Opt] = {"needs": "viewer"}  # reads
OPERATOR: Final[_Opt] = {"needs": "operator"}  # begins, cancels, resumes and retries runs
AUTHOR: Final[_Opt] = {"needs": "author"}  # applies documents and schedules
ADMIN: Final[_Opt] = {"needs": "admin"}  # tokens, namespaces, workers

_SCHEMA_PATHS: Final = ("/docs", "/openapi.json")  # the description of the API is the same everywhere

_MISSING: Final = (
    "token-missing",
    "this server needs a token",
    "send it as 'authorization: Bearer TOKEN'; commands take it from AETHER_TOKEN",
)
_REFUSED: Final = ("token-refused", "the token is unknown, has expired or was revoked", "ask for a new one")

_WORKERS: Final = "it needs the token of a worker: 'aether token create --kind worker' makes one"

DECLARED: Final = frozenset(one["needs"] for one in (PUBLIC, WORKER, PEER, VIEWER, OPERATOR, AUTHOR, ADMIN))


async def require(request: Connection, handler: BaseRouteHandler) -> None:
    """Refuse a request whose caller is not known, or does not have what the route needs in any namespace.

    In which namespace it has it, the client of the caller asks. A coroutine, for other guards are called in a thread.

    Raises:
        ApiError: 401 or 403.
    """
    needs = handler.opt.get("needs")
    if needs == "nothing" or (needs is None and request.url.path.startswith(_SCHEMA_PATHS)):
        return
    require_of(caller_of(request), needs)


async def require_known_parameters(request: Connection, handler: BaseRouteHandler) -> None:
    """Refuse a request with a parameter in its address that the route does not have: a misspelt filter would be none.

    What needs no role is left alone: providers and monitors add what they like.

    Raises:
        ApiError: 400, with the nearest name.
    """
    if not request.scope["query_string"] or handler.opt.get("needs") in (None, "nothing"):
        return
    declared = ((name, field.kwarg_definition) for name, field in handler.parsed_fn_signature.parameters.items())
    taken = [definition.name or name for name, definition in declared if isinstance(definition, QueryParameter)]
    for name in request.query_params:
        if name not in taken:
            hint = did_you_mean(name, taken, f"it takes {', '.join(taken)}" if taken else "it takes none")
            raise ApiError(400, "request-invalid", f"this route has no parameter {name!r}", hint=hint)


def require_of(caller: Caller, needs: object) -> None:
    """Refuse a caller that does not have what is needed in any namespace. Raises ApiError (403)."""
    if needs == "worker":
        allowed = caller.kind in ("worker", "peer") or caller.may("admin", EVERYWHERE)
    elif needs == "peer":
        allowed = caller.kind == "peer" or caller is LOCAL
    else:
        allowed = isinstance(needs, str) and caller.has_anywhere(needs)  # of what is not a role no caller has any
    if not allowed:
        hint = _WORKERS if needs == "worker" else f"it needs the role {needs}"
        raise ApiError(403, "forbidden", f"{caller.name} may not do this", hint=hint)


def require_everywhere(request: Connection, what: str) -> None:
    """Raise ApiError (403) for a caller that may not read all namespaces."""
    if not caller_of(request).may("viewer", EVERYWHERE):
        hint = "aether token create --name NAME --kind service --role viewer --all-namespaces"
        raise ApiError(403, "forbidden", f"{what} speak of all namespaces", hint=hint)


def caller_of(request: Connection) -> Caller:
    """Return who asks. Raises ApiError (401) where that is not known."""
    state = request.scope["state"]
    caller = state.get(CALLER)
    if isinstance(caller, Caller):
        return caller
    raise unknown_caller(has_credentials=not state.get(NO_CREDENTIALS, True))


def unknown_caller(*, has_credentials: bool) -> ApiError:
    """Return the error for a caller that is not known."""
    code, detail, hint = _REFUSED if has_credentials else _MISSING
    return ApiError(401, code, detail, hint=hint, headers={"www-authenticate": "Bearer"})


def client_for(request: Connection) -> Client:
    """Return the client for this request: what it asks is what its caller may ask.

    Handlers of routes take it as their dependency `client`, and never reach for the parts' own.
    """
    return client_of_caller(parts_of(request.app.state), caller_of(request))


def client_of_caller(parts: ServerParts, caller: Caller) -> Client:
    """Return the client for a caller, which answers what this caller may ask."""
    assert parts.client is not None  # what needs one is offered only where there is one
    return GuardedClient(parts.client, caller, parts.trail, parts.directory)
