"""A provider of OpenID Connect, as this server speaks with it: discovery, the code flow with PKCE, the check of ID tokens.

Law: nothing of an ID token counts before all of it was checked: the signature by a key that the provider publishes now, with an
algorithm that has a public key; issuer, audience, times, the nonce of this login. No text of a provider gets into an answer or
a log but the names of its errors.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final, Self
from urllib.parse import quote_plus, urlencode, urlsplit

import httpx2
import msgspec
from msgspec import Struct

from aether_protocol.errors import PortError, UsageError
from aether_protocol.server.oidc.roles import Grants, roles_of
from aether_protocol.server.problems import ApiError

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519")
ANSWER_S: Final = 10.0
KNOWN_S: Final = 3600.0  # what discovery and the keys said counts for so long; an unknown key is asked for at once
LEEWAY_S: Final = 60  # between the clocks
_ERROR: Final = re.compile(r"[a-z_]{1,60}")
_NAMES: Final = ("email", "preferred_username", "name", "sub")


class OidcSettings(Struct, frozen=True, kw_only=True):
    """How people log in.

    Args:
        issuer: the provider; below it lies `.well-known/openid-configuration`.
        client_id, client_secret: what it knows this server by; a public client has no secret.
        scopes: what is asked for.
        groups: the claim of the ID token that lists the groups of a person.
        session_s: how long a login counts.
        grants: what groups may do.
    """

    issuer: str
    client_id: str
    client_secret: str | None = None
    scopes: Sequence[str] = ("openid", "profile", "email")
    groups: str = "groups"
    session_s: float = 28_800
    grants: Grants

    def check(self) -> None:
        """Raise UsageError for what cannot be, or cannot be had."""
        try:
            import authlib.oidc.core  # noqa: F401
            import joserfc.jwt  # noqa: F401
        except ImportError as error:
            hint = "pip install 'aether-protocol[oidc]'"
            raise UsageError(f"login by OpenID Connect needs {error.name}, which is not installed", hint=hint) from None
        parts = urlsplit(self.issuer)
        is_near = parts.hostname in ("127.0.0.1", "localhost", "::1")
        if not parts.hostname or not (parts.scheme == "https" or (parts.scheme == "http" and is_near)):
            raise UsageError(f"the issuer {self.issuer!r} is not an address of https", hint="https://ID.EXAMPLE.COM/...")
        if not self.client_id:
            raise UsageError("[oidc] names an issuer and no client_id", hint="the provider gives one for this server")
        if not self.grants:
            raise UsageError("[oidc] names an issuer, and [auth.roles] gives no group a role: no person could do anything")


class OidcLogin(Struct, frozen=True, rename={"state": "s", "nonce": "n", "verifier": "v", "following": "f", "at": "t"}):
    """One login that was begun: what the provider has to return, what proves that this browser began it, where it leads
    to, and when it was begun (seconds since the epoch)."""

    state: str
    nonce: str
    verifier: str
    following: str
    at: int

    @classmethod
    def begin(cls, following: str) -> Self:
        """Begin one."""
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        return cls(state, nonce, verifier, following, int(time.time()))


class Person(Struct, frozen=True):
    """Who logged in, with the role in each namespace."""

    name: str
    roles: Mapping[str, str]


class _Discovered(Struct):
    """What a provider says of itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    token_endpoint_auth_methods_supported: list[str] = msgspec.field(default_factory=lambda: ["client_secret_basic"])


class OidcProvider:
    """Speaks with the provider of these settings. Raises UsageError as `OidcSettings.check` does."""

    def __init__(self, settings: OidcSettings) -> None:
        settings.check()
        self.settings = settings
        self._discovered: tuple[float, _Discovered] | None = None
        self._keys: tuple[float, Any] | None = None

    async def address(self, login: OidcLogin, callback: str) -> str:
        """Give where the browser has to go. Raises PortError where the provider is away."""
        from authlib.oauth2.rfc7636 import create_s256_code_challenge

        there = await self._discover()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client_id,
            "redirect_uri": callback,
            "scope": " ".join(dict.fromkeys(("openid", *self.settings.scopes))),
            "state": login.state,
            "nonce": login.nonce,
            "code_challenge": create_s256_code_challenge(login.verifier),
            "code_challenge_method": "S256",
        }
        sign = "&" if urlsplit(there.authorization_endpoint).query else "?"
        return f"{there.authorization_endpoint}{sign}{urlencode(asked)}"

    async def person(self, login: OidcLogin, code: str, callback: str) -> Person:
        """Exchange a code, and give who logged in.

        Raises:
            ApiError: the provider refuses it, its answer cannot be believed, or no group of the person has a role.
            PortError: the provider is away.
        """
        claims = await self._claims(login, await self._exchange(login, code, callback))
        named = [one for one in _NAMES if one != "email" or claims.get("email_verified") is not False]  # else anybody's
        name = next((text for one in named if isinstance(text := claims.get(one), str) and text.strip()), "")
        groups = claims.get(self.settings.groups) or ()
        listed = [groups] if isinstance(groups, str) else [one for one in groups if isinstance(one, str)]
        roles = roles_of(listed, self.settings.grants)
        if not roles:
            told = f"{name or 'this person'} has no role here: no group of theirs is in [auth.roles]"
            raise ApiError(403, "forbidden", told, hint=f"groups are read from the claim {self.settings.groups!r}")
        return Person(re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]", " ", name)[:100] or "person", roles)

    # --- inside ---

    async def _exchange(self, login: OidcLogin, code: str, callback: str) -> dict[str, Any]:
        settings, there = self.settings, await self._discover()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": callback, "code_verifier": login.verifier
        }
        auth = None
        if settings.client_secret is not None and "client_secret_basic" in there.token_endpoint_auth_methods_supported:
            auth = httpx2.BasicAuth(quote_plus(settings.client_id), quote_plus(settings.client_secret))  # RFC 6749, 2.3.1
        else:
            form["client_id"] = settings.client_id
            if settings.client_secret is not None:
                form["client_secret"] = settings.client_secret
        answer = await self._ask("POST", there.token_endpoint, data=form, auth=auth)
        found = _object(answer)
        if answer.status_code != 200:
            said = found.get("error")
            named = said if isinstance(said, str) and _ERROR.fullmatch(said) else str(answer.status_code)
            raise ApiError(403, "login-refused", f"the provider refuses the code: {named}", hint="log in again")
        return found

    async def _claims(self, login: OidcLogin, answer: Mapping[str, Any]) -> Mapping[str, Any]:
        from authlib.oidc.core import CodeIDToken
        from joserfc import jwt
        from joserfc.errors import JoseError

        settings, text = self.settings, answer.get("id_token")
        options = {
            "iss": {"essential": True, "value": settings.issuer},
            "aud": {"essential": True, "value": settings.client_id},
            "nonce": {"essential": True, "value": login.nonce},
        }
        given = {"nonce": login.nonce, "client_id": settings.client_id, "access_token": answer.get("access_token")}
        try:
            if not isinstance(text, str):
                raise ValueError("it has no ID token")
            try:
                token = jwt.decode(text, await self._key_set(), algorithms=ALGORITHMS)
            except (JoseError, ValueError):  # a key that is newer than what is known
                token = jwt.decode(text, await self._key_set(again=True), algorithms=ALGORITHMS)
            claims = CodeIDToken(token.claims, token.header, options, given)
            claims.validate(leeway=LEEWAY_S)
        except (JoseError, ValueError, TypeError, KeyError) as error:
            reason = getattr(error, "error", "") or type(error).__name__
            raise ApiError(403, "login-refused", f"the ID token of the provider cannot be believed: {reason}") from None
        return dict(claims)

    async def _discover(self) -> _Discovered:
        now = time.monotonic()
        if self._discovered is None or now - self._discovered[0] > KNOWN_S:
            url = f"{self.settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            answer = await self._ask("GET", url)
            try:
                found = msgspec.json.decode(answer.content, type=_Discovered)
            except msgspec.MsgspecError:
                raise PortError(f"{url} does not describe a provider of OpenID Connect") from None
            if found.issuer != self.settings.issuer:
                raise PortError(f"the provider calls itself {found.issuer!r}, not {self.settings.issuer!r}",
                                hint="issuer of [oidc] has to be written as the provider writes it")
            self._discovered = now, found
        return self._discovered[1]

    async def _key_set(self, *, again: bool = False) -> Any:
        from joserfc.jwk import KeySet

        now = time.monotonic()
        if again or self._keys is None or now - self._keys[0] > KNOWN_S:
            answer = await self._ask("GET", (await self._discover()).jwks_uri)
            self._keys = now, KeySet.import_key_set(_object(answer))  # type: ignore[arg-type]
        return self._keys[1]

    async def _ask(self, method: str, url: str, **more: Any) -> Any:
        try:
            async with httpx2.AsyncClient(timeout=ANSWER_S, headers={"accept": "application/json"}) as client:
                return await client.request(method, url, **more)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            told = f"the provider {self.settings.issuer} cannot be reached: {type(error).__name__}"
            raise PortError(told, hint="log in again, or with a token") from None


def _object(answer: Any) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(answer.content)
    except msgspec.MsgspecError:
        return {}
    return found if isinstance(found, dict) else {}
