"""What every request passes before any route: whether it may come from where it comes from, and who asks.

Law: nothing of a request is believed before this. Without authentication the server answers this machine alone, and not the web
pages that people look at on it: those could else run programs here. A browser sends `Origin` and `Sec-Fetch-Site` by itself, a
page of another site cannot leave them out, and it can send JSON only after a preflight, which is never granted. `Host` says
whether the name that was asked for is this machine's: a foreign name that was made to point here (DNS rebinding) is not.
"""

from __future__ import annotations

import asyncio
import hmac
import json
from collections.abc import Iterable, Sequence
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from litestar.enums import ScopeType
from msgspec import Struct, field

from aether_protocol.errors import PortError, UsageError
from aether_protocol.server.bounds import (
    MOST_HEADER_BYTES,
    RateLimiter,
    StreamCounter,
    bounded,
    network_of,
)
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
CSRF_HEADER: Final = b"x-aether-csrf"
_FOLLOWS: Final = "/follow"  # how the paths of streams end
_NOT_JSON: Final = (
    "json-only",
    "a request without a token that changes something has to be application/json, since a page of another site could send it",
    "send 'content-type: application/json', with {} where there is nothing to say",
)
_FOR_BROWSERS: Final = (  # in every answer: nothing that a run wrote is taken for a page, or shown inside of another one
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
)
WATCH_S: Final = 2.0  # between two looks whether the token of an open stream still counts
TOKEN_USED: Final = "aether.token"  # in the scope's state: the token of a cookie, for what has to go beside it
CALLER: Final = "aether.caller"  # in the scope's state: the Caller, or None where the credentials are of no caller
NO_CREDENTIALS: Final = "aether.no-credentials"  # in the scope's state: whether the request has none


class AccessRules(Struct, frozen=True, kw_only=True):
    """How a server knows its callers.

    Args:
        authenticator: says whose token a text is; None: authentication is off, and the server answers this machine alone.
        cors: origins whose pages may call the server, with a token.
        limiter: bounds how often callers may ask, by whatever edge; None: as often as they like.
        followers: bounds how many streams each caller may follow at once, by whatever edge.
    """

    authenticator: Authenticator | None = None
    limiter: RateLimiter | None = None
    cors: Sequence[str] = ()
    followers: StreamCounter = field(default_factory=StreamCounter)

    @property
    def is_off(self) -> bool:
        """Whether every caller of this machine may do everything."""
        return self.authenticator is None


def make_rules(
    host: str,
    *,
    token: str | None = None,
    tokens: Authenticator | None = None,
    peers: Authenticator | None = None,
    cors: Sequence[str] = (),
) -> AccessRules:
    """Return the rules for a server that listens at `host`.

    Args:
        host: the name or address.
        token: the one that the server was given at its start.
        tokens: those of the store, where it has any.
        peers: those of other servers of the store; they alone open nothing.
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
    known += [peers] if peers is not None else []
    from aether_protocol.service.access.authenticator import FirstOf

    return AccessRules(authenticator=known[0] if len(known) == 1 else FirstOf(known), cors=cors, limiter=RateLimiter())


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
        method, send = scope["method"], _guarded(send)
        if sum(len(name) + len(value) for name, value in headers) > MOST_HEADER_BYTES:
            await send_problem(send, 431, "headers-too-large", f"the headers have more than {MOST_HEADER_BYTES} bytes")
            return
        token, from_cookie = _credentials(headers)
        refusal = why_foreign(method, headers) if self._rules.is_off else None
        if from_cookie and not self._rules.is_off and refusal is None:
            refusal = _why_forged(method, headers, token or "")
        if token is None and not self._rules.is_off and method not in _SAFE and not _is_json(method, headers):
            refusal = _NOT_JSON
        if refusal is not None:
            await send_problem(send, 403, *refusal)
            return
        caller = await self._caller(token)
        wait = self._limited(caller, scope)
        if wait is not None:
            hint, after = f"try again in {wait} s", [(b"retry-after", str(wait).encode())]
            await send_problem(send, 429, "too-many-requests", "too many requests", hint, after)
            return
        scope["state"][CALLER] = caller
        scope["state"][NO_CREDENTIALS] = token is None
        scope["state"][TOKEN_USED] = token if from_cookie else None
        types = _all_of(headers, b"content-type")
        bounded_receive = receive if method in _SAFE else bounded(receive, is_bytes=types == ["application/octet-stream"])
        reader = "" if caller is None else f"token {caller.token}"
        with self._rules.followers.counted(reader, counts=scope["path"].endswith(_FOLLOWS)) as may_follow:
            if not may_follow:
                detail = f"a caller may follow {self._rules.followers.most} streams at once"
                await send_problem(send, 429, "too-many-streams", detail, "GET /v1/changes/follow follows all runs in one")
            elif token is None or caller is None or self._rules.is_off:
                await self._app(scope, bounded_receive, send)
            else:
                await self._watched(token, scope, bounded_receive, send)

    async def _caller(self, token: str | None) -> Caller | None:
        authenticator = self._rules.authenticator
        if authenticator is None:
            return LOCAL
        return None if token is None else await authenticator.caller(token)

    def _limited(self, caller: Caller | None, scope: Scope) -> int | None:
        """After how many seconds a caller that asks too often may ask again; None: it may ask now."""
        limiter = self._rules.limiter
        if limiter is None or (caller is not None and caller.kind in ("worker", "peer")):
            return None
        if caller is not None:
            return limiter.take(f"token {caller.token}", is_known=True)
        address = scope.get("client")
        return limiter.take(f"address {network_of(address[0]) if address else ''}", is_known=False)

    async def _watched(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, and end a stream soon after its token counts no longer."""
        request = asyncio.current_task()
        watcher: asyncio.Task[None] | None = None
        has_ended = False

        async def watch() -> None:
            nonlocal has_ended
            while True:
                await asyncio.sleep(WATCH_S)
                try:
                    if await self._caller(token) is not None:
                        continue
                except PortError:  # the store is away: what was allowed stays so
                    continue
                has_ended = True
                assert request is not None
                request.cancel()
                return

        async def send_on(message: Any) -> None:
            nonlocal watcher
            if message["type"] == "http.response.start" and _is_stream(message["headers"]):
                watcher = asyncio.create_task(watch())
            await send(message)

        try:
            await self._app(scope, receive, send_on)
        except asyncio.CancelledError:
            if not has_ended:
                raise
            end: Any = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(end)
        finally:
            if watcher is not None:
                watcher.cancel()


def _guarded(send: Send) -> Send:
    """Send what browsers have to know with every answer."""

    async def send_on(message: Any) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *_FOR_BROWSERS]
        await send(message)

    return send_on


def _is_stream(headers: Iterable[tuple[bytes, bytes]]) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers)


def cookie_name(*, is_secure: bool) -> str:
    """Return the name of the cookie; over TLS one that only this very host can have set."""
    return "__Host-aether" if is_secure else "aether"


def csrf_of(token: str) -> str:
    """Return what the header X-Aether-CSRF has to be beside a cookie with this token."""
    return sha256(f"csrf:{token}".encode("utf-8", "backslashreplace")).hexdigest()


def _credentials(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str | None, bool]:
    """The token of a request, and whether it is from its cookie."""
    if _all_of(headers, b"authorization"):
        return _bearer(headers), False
    for cookies in _all_of(headers, b"cookie"):
        pairs = dict(part.strip().partition("=")[::2] for part in cookies.split(";"))
        for name in (cookie_name(is_secure=True), cookie_name(is_secure=False)):
            if pairs.get(name):
                return pairs[name].strip('"'), True
    return None, False


def _why_forged(method: str, headers: Sequence[tuple[bytes, bytes]], token: str) -> tuple[str, str, str] | None:
    """Say why a request with a cookie may be another site's; None: it is not, or it changes nothing."""
    if method in _SAFE:
        return None
    given = _all_of(headers, CSRF_HEADER)
    if len(given) == 1 and hmac.compare_digest(given[0].encode("latin-1", "replace"), csrf_of(token).encode()):
        return None
    hint = "GET /v1/me says what it has to be; a program sends its token as a bearer token"
    return "csrf", "a request with a cookie that changes something needs the header X-Aether-CSRF", hint


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
