"""A person logs in with a token: a cookie takes its place in a browser.

The cookie holds the token, cannot be read by scripts (HttpOnly), is not sent by pages of other sites (SameSite=Strict), and
counts for as long as the token. Since a browser sends it by itself, a request that changes something needs a header beside it,
whose value only a page of this server can know: it is in the answer to the login, and made of the token (`gate.csrf_of`).
"""

from __future__ import annotations

from typing import Any, Final

from litestar import Request, Response, get, post
from litestar.datastructures import Cookie
from litestar.params import JSONBody
from msgspec import Struct

from aether_protocol.server.access import PUBLIC, caller_of
from aether_protocol.server.answers import answers
from aether_protocol.server.gate import TOKEN_USED, cookie_name, csrf_of
from aether_protocol.server.parts import parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.service.access.caller import Caller

_Any = Request[Any, Any, Any]
_TAGS: Final = ["login"]


class LoginRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Log in with a token."""

    token: str


@post(
    "/v1/login",
    status_code=200,
    tags=_TAGS,
    summary="Log in with a token, for browsers: sets a cookie",
    opt=PUBLIC,
    responses=answers(problems=(409,)),
)
async def login(data: JSONBody[LoginRequest], request: _Any) -> Response[dict[str, Any]]:
    """Set the cookie, and say what the header X-Aether-CSRF has to be in requests that change something."""
    authenticator = parts_of(request.app.state).access.authenticator
    if authenticator is None:
        raise ApiError(409, "authentication-off", "authentication is off: there is nothing to log in to")
    caller = await authenticator.caller(data.token)
    if caller is None:
        raise ApiError(401, "token-refused", "the token is unknown, has expired or was revoked", hint="ask for a new one")
    if caller.kind != "person":
        raise ApiError(403, "forbidden", f"the token of a {caller.kind} is not for people", hint="send it as a bearer token")
    answer = Response(_shown(caller, csrf_of(data.token)), headers={"cache-control": "no-store"})
    answer.set_cookie(session_cookie(request, data.token))
    return answer


@post("/v1/logout", status_code=204, tags=_TAGS, summary="Log out: removes the cookie", opt=PUBLIC, responses=answers())
async def logout(request: _Any) -> Response[None]:
    """Let the browser forget the token. The token itself counts on; an admin revokes it."""
    answer = Response(None, status_code=204)
    answer.set_cookie(session_cookie(request, "", max_age=0))
    return answer


@get("/v1/me", tags=_TAGS, summary="Who the caller is, and what it may do", opt=PUBLIC, responses=answers())
async def me(request: _Any) -> Response[dict[str, Any]]:
    """Say who asks; to a browser also what the header X-Aether-CSRF has to be."""
    token = request.scope["state"].get(TOKEN_USED)
    shown = _shown(caller_of(request), csrf_of(token) if token else None)
    return Response(shown, headers={"cache-control": "no-store"})


def _shown(caller: Caller, csrf: str | None) -> dict[str, Any]:
    return {"name": caller.name, "kind": caller.kind, "roles": dict(caller.roles), "csrf": csrf}


def is_secure(request: _Any) -> bool:
    """Whether browsers reach this server by TLS alone."""
    public = parts_of(request.app.state).public_url or ""
    return request.scope["scheme"] == "https" or public.startswith("https:")


def session_cookie(request: _Any, value: str, max_age: int | None = None) -> Cookie:
    """Make the cookie that stands for a token."""
    secure = is_secure(request)
    name = cookie_name(is_secure=secure)
    return Cookie(key=name, value=value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="strict")
