"""The routes of a login at a provider: there, and back."""

from __future__ import annotations

import base64
import hmac
import time
from html import escape
from typing import Annotated, Any, Final

import msgspec
from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.params import QueryParameter

from aether_protocol.server.access import PUBLIC
from aether_protocol.server.answers import answers
from aether_protocol.server.login import is_secure, session_cookie
from aether_protocol.server.oidc.provider import OidcLogin, OidcProvider, Person
from aether_protocol.server.parts import ServerParts, parts_of
from aether_protocol.server.problems import ApiError
from aether_protocol.service.access.caller import Caller

LOGIN_S: Final = 600  # that a person may take at the provider
CALLBACK: Final = "/v1/login/oidc/callback"
_TAGS: Final = ["login"]
_Any = Request[Any, Any, Any]
_NO_STORE: Final = {"cache-control": "no-store", "referrer-policy": "no-referrer"}

_PAGE: Final = (
    '<!doctype html><title>Logged in</title><meta http-equiv="refresh" content="0;url={link}"><a href="{link}">Continue</a>'
)


@get(
    "/v1/login/oidc",
    tags=_TAGS,
    status_code=302,
    summary="Log in at the provider of OpenID Connect: sends a browser there",
    opt=PUBLIC,
    responses=answers((302, None, "To the provider."), problems=(404, 503)),
)
async def begin_oidc(
    request: _Any,
    following: Annotated[str, QueryParameter(name="next", description="The path of this server to end at.")] = "/docs",
) -> Response[None]:
    """Send the browser to the provider."""
    provider = _provider(request)
    login = OidcLogin.begin(following if _is_path(following) else "/")
    headers = {**_NO_STORE, "location": await provider.address(login, _callback(request))}
    answer = Response(None, status_code=302, headers=headers)
    answer.set_cookie(_login_cookie(request, base64.urlsafe_b64encode(msgspec.json.encode(login)).decode(), LOGIN_S))
    return answer


@get(
    CALLBACK,
    tags=_TAGS,
    summary="Come back from the provider of OpenID Connect: sets a cookie",
    opt=PUBLIC,
    responses=answers(problems=(403, 404, 503)),
)
async def end_oidc(
    request: _Any,
    given: Annotated[str, QueryParameter(name="state", description="As it was given.")] = "",
    code: Annotated[str, QueryParameter(description="What the provider gave.")] = "",
    error: Annotated[str, QueryParameter(description="Why it gave none.")] = "",
) -> Response[str]:
    """Exchange the code, and log the person in."""
    provider, parts = _provider(request), parts_of(request.app.state)
    login = _begun(request)
    if login is None or not hmac.compare_digest(login.state.encode(), given.encode()):
        raise ApiError(403, "login-refused", "this browser did not begin that login, or too long ago", hint="log in again")
    if error or not code:
        known = error if error.isascii() and error.replace("_", "").isalpha() and len(error) < 60 else "no code"
        raise ApiError(403, "login-refused", f"the provider did not let this person in: {known}", hint="log in again")
    person = await provider.person(login, code, _callback(request))
    token, caller = await _token(parts, person, provider.settings.session_s)
    if parts.trail is not None:
        await parts.trail.write(caller, "login.oidc", [("", caller.token or "")], "ok")
    # A page leads on: a redirect would count as coming from the provider still, and a cookie with SameSite=Strict stay behind.
    link = escape(login.following, quote=True)
    answer = Response(_PAGE.format(link=link), media_type="text/html", headers=_NO_STORE)
    answer.set_cookie(session_cookie(request, token, round(provider.settings.session_s)))
    answer.set_cookie(_login_cookie(request, "", 0))
    return answer


async def _token(parts: ServerParts, person: Person, session_s: float) -> tuple[str, Caller]:
    assert parts.make_session is not None  # where there is a provider there is a store
    return await parts.make_session(person.name, person.roles, session_s)


def _provider(request: _Any) -> OidcProvider:
    provider = parts_of(request.app.state).oidc
    if provider is None:
        hint = "POST /v1/login with a token; [oidc] of aether.toml names a provider"
        raise ApiError(404, "oidc-off", "this server has no provider of OpenID Connect", hint=hint)
    return provider


def _begun(request: _Any) -> OidcLogin | None:
    """The login that this browser began, if it did, and lately."""
    text = request.cookies.get(_cookie_name(request), "")
    try:
        login = msgspec.json.decode(base64.urlsafe_b64decode(text.encode()), type=OidcLogin)
    except (ValueError, msgspec.MsgspecError):
        return None
    if not _is_path(login.following):  # a cookie may be of another port of this host
        return None
    return login if 0 <= time.time() - login.at <= LOGIN_S else None


def _callback(request: _Any) -> str:
    public = parts_of(request.app.state).public_url
    return f"{(public or str(request.base_url)).rstrip('/')}{CALLBACK}"


def _cookie_name(request: _Any) -> str:
    return "__Host-aether-oidc" if is_secure(request) else "aether-oidc"


def _login_cookie(request: _Any, value: str, max_age: int) -> Cookie:
    """The cookie of a login: the provider's redirect has to bring it along, so it is SameSite=Lax."""
    secure = is_secure(request)
    name = _cookie_name(request)
    return Cookie(key=name, value=value, max_age=max_age, path="/", secure=secure, httponly=True, samesite="lax")


def _is_path(text: str) -> bool:
    """Whether it is a path of this server, and of no other one."""
    return text.startswith("/") and not text.startswith("//") and all(" " < one < "\x7f" and one != "\\" for one in text)
