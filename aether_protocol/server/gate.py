"""What every request passes before any route: whether it may come from where it comes from, and who asks.

Law: nothing of a request is believed before this. Without authentication the server answers this machine alone, and not the web
pages that people look at on it: those could else run programs here. A browser sends `Origin` and `Sec-Fetch-Site` by itself, a
page of another site cannot leave them out, and it can send JSON only after a preflight, which is never granted. `Host` says
whether the name that was asked for is this machine's: a foreign name that was made to point here (DNS rebinding) is not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType
from msgspec import Struct

from aether_protocol.errors import UsageError
from aether_protocol.server.problems import problem_body
from aether_protocol.service.access.authenticator import Authenticator, GivenToken
from aether_protocol.service.access.caller import LOCAL, Caller
from aether_protocol.service.wire.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from litestar.types import ASGIApp, Receive, Scope, Send

LOOPBACK: Final = ("127.0.0.1", "localhost", "::1")
OFF_NOTE: Final = (
    "authentication is off: every program of this machine can use this server (--token TOKEN closes it to other users)"
)
_NAMES: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})
_OWN_SITES: Final = frozenset({"same-origin", "none"})  # of Sec-Fetch-Site: a page of this server, or the address bar
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
CALLER: Final = "aether.caller"  # in the scope's state: the Caller, or None where the credentials are of no caller
NO_CREDENTIALS: Final = "aether.no-credentials"  # in the scope's state: whether the request has none


class AccessRules(Struct, frozen=True, kw_only=True):
    """How a server knows its callers.

    Args:
        authenticator: says whose token a text is; None: authentication is off, and the server answers this machine alone.
        cors: origins whose pages may call the server, with a token.
    """

    authenticator: Authenticator | None = None
    cors: Sequence[str] = ()

    @property
    def is_off(self) -> bool:
        """Whether every caller of this machine may do everything."""
        return self.authenticator is None


def make_rules(
    host: str, *, token: str | None = None, tokens: Authenticator | None = None, cors: Sequence[str] = ()
) -> AccessRules:
    """Return the rules for a server that listens at `host`.

    Args:
        host: the name or address.
        token: the one that the server was given at its start.
        tokens: those of the store, where it has any.
        cors: origins whose pages may call the server.

    Raises:
        UsageError: it would be open to others without tokens, or to pages of other sites without any.
    """
    known: list[Authenticator] = [GivenToken(token)] if token is not None else []
    known += [tokens] if tokens is not None else []
    if not known and host not in LOOPBACK:
        raise UsageError(
            f"--host {host} would let others use this server, and it knows no tokens",
            hint="give --token TOKEN (AETHER_SERVER_TOKEN), or make tokens: aether token create --kind person --role admin",
        )
    if cors and not known:
        raise UsageError("--cors lets pages of other sites call this server, and it knows no tokens", hint="give --token TOKEN")
    for origin in cors:
        _check_origin(origin)
    if not known:
        return AccessRules()
    from aether_protocol.service.access.authenticator import FirstOf

    return AccessRules(authenticator=known[0] if len(known) == 1 else FirstOf(known), cors=cors)


def _check_origin(origin: str) -> None:
    scheme, _, rest = origin.partition("://")
    if scheme not in ("http", "https") or not rest or any(character in rest for character in "/*?#@ "):
        raise UsageError(f"--cors {origin} is not an origin", hint="for example https://dashboard.example.com")


class AccessGate:
    """The ASGI application around the whole of a server."""

    def __init__(self, app: ASGIApp, rules: AccessRules) -> None:
        self._app = app
        self._rules = rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == ScopeType.WEBSOCKET:  # there are none
            await send({"type": "websocket.close", "code": 1008, "reason": "not served"})
            return
        headers: list[tuple[bytes, bytes]] = list(scope["headers"])
        if self._rules.is_off:
            refusal = why_foreign(scope["method"], headers)
            if refusal is not None:
                await send_problem(send, 403, *refusal)
                return
        caller = await self._caller(headers)
        scope["state"][CALLER] = caller
        scope["state"][NO_CREDENTIALS] = caller is None and not _all_of(headers, b"authorization")
        await self._app(scope, receive, send)

    async def _caller(self, headers: Iterable[tuple[bytes, bytes]]) -> Caller | None:
        authenticator = self._rules.authenticator
        if authenticator is None:
            return LOCAL
        token = _bearer(headers)
        return None if token is None else await authenticator.caller(token)


def why_foreign(method: str, headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str, str] | None:
    """Say why a server without authentication does not answer a request: code, message and hint; None: it does."""
    hosts = _all_of(headers, b"host")
    host = hosts[0].lower() if len(hosts) == 1 else ""
    name, port = _split_port(host)
    if name not in _NAMES or port is None:
        return (
            "host-refused",
            "this server answers to 127.0.0.1, localhost and [::1] alone, since authentication is off",
            "call it by one of these names; another name needs --token",
        )
    for origin in _all_of(headers, b"origin"):
        if origin.lower() not in (f"http://{host}", f"https://{host}"):
            return (
                "origin-refused",
                "pages of other sites cannot use this server, since authentication is off",
                "start it with --token TOKEN and --cors ORIGIN",
            )
    if any(site.lower() not in _OWN_SITES for site in _all_of(headers, b"sec-fetch-site")):
        return (
            "site-refused",
            "pages of other sites cannot use this server, since authentication is off",
            "start it with --token TOKEN and --cors ORIGIN",
        )
    if method not in _SAFE and not _is_json(method, headers):
        return (
            "json-only",
            "a request that changes something has to be application/json, since authentication is off",
            "send 'content-type: application/json', with {} where there is nothing to say",
        )
    return None


def _is_json(method: str, headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether a page of another site could send this only after a preflight."""
    if method == "DELETE":  # never without one
        return True
    types = [one.partition(";")[0].strip().lower() for one in _all_of(headers, b"content-type")]
    return types == ["application/json"] or (method == "PUT" and types == ["application/octet-stream"])  # artifacts


def _split_port(host: str) -> tuple[str, str | None]:
    """The name and the port of a Host header, the port empty where there is none, None where it is not one."""
    name, colon, port = host.rpartition(":")
    if not colon or host.endswith("]"):
        return host, ""
    return name, port if port.isascii() and port.isdigit() and len(port) <= 5 else None


def _all_of(headers: Iterable[tuple[bytes, bytes]], name: bytes) -> list[str]:
    return [value.decode("latin-1").strip() for key, value in headers if key == name]


def _bearer(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The token of the Authorization header; None without one, and where there are several."""
    given = _all_of(headers, b"authorization")
    if len(given) != 1:
        return None
    scheme, _, token = given[0].partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


async def send_problem(
    send: Send, status: int, code: str, detail: str, hint: str | None = None, headers: Sequence[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a problem document."""
    body = json.dumps(problem_body(status, code, detail, hint=hint)).encode()
    head: list[tuple[bytes, bytes]] = [
        (b"content-type", MEDIA_TYPE.encode()),
        (b"content-length", str(len(body)).encode()),
        *headers,
    ]
    start: Any = {"type": "http.response.start", "status": status, "headers": head}
    end: Any = {"type": "http.response.body", "body": body, "more_body": False}
    await send(start)
    await send(end)
