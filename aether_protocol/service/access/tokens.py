"""Tokens: how they are made, and whose they are.

The text of a token is `aeth_<id>_<256 random bits>`. It is shown once, when it is made; kept is its SHA-256: the text has
too many bits to be tried out, so no slow hash is needed. The id may be shown: it names the token in lists, audits and logs.
"""

from __future__ import annotations

import hmac
import logging
import re
import secrets
from collections.abc import Mapping
from hashlib import sha256
from typing import Final

from msgspec.structs import replace

from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store.access import AccessToken, TokenStore
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.access.caller import EVERYWHERE, KINDS, NAMESPACE, ROLES, Caller, Kind

_log = logging.getLogger("aether_protocol")

TOKEN: Final = re.compile(r"aeth_([0-9a-z]{12})_[A-Za-z0-9_-]{43}")
NAME: Final = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,100}")
SERVES: Final = "worker"  # in place of a role: a worker serves the namespace, and reads nothing
MOST_NAMESPACES: Final = 100
LONGEST_US: Final = 100 * 366 * 86_400 * 1_000_000
REMEMBERED_US: Final = 2_000_000  # how long a token is believed without a look: a revoked one ends within this
LATE_US: Final = 3_600_000_000  # how long a worker may finish what it has once its token has expired
USES_WRITTEN_US: Final = 60_000_000  # between two writes of last uses
_MOST_REMEMBERED: Final = 10_000
_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def digest_of(text: str) -> str:
    """The SHA-256 of a token's text, in hex."""
    return sha256(text.encode("utf-8", "backslashreplace")).hexdigest()


def make_token(
    kind: str,
    name: str,
    roles: Mapping[str, str],
    now: int,
    *,
    expires_at: int | None = None,
    pools: tuple[str, ...] = (),
) -> tuple[str, AccessToken]:
    """Make a token: its text, and what is kept of it.

    Args:
        kind: person, service or worker.
        name: for people, in lists and audits.
        roles: the role in each namespace, EVERYWHERE for all.
        now: microseconds since the epoch.
        expires_at: when it ends to count.
        pools: of a worker, those that it may join; none: all.

    Raises:
        UsageError: any of it is not what it can be.
    """
    _check(kind, name, roles, pools)
    if expires_at is not None and expires_at <= now:
        raise UsageError("the token would have expired already")
    if expires_at is not None and expires_at - now > LONGEST_US:
        hint = "leave the expiry out: it counts until it is revoked"
        raise UsageError("the token would count for more than 100 years", hint=hint)
    id_ = "".join(secrets.choice(_ALPHABET) for _ in range(12))
    text = f"aeth_{id_}_{secrets.token_urlsafe(32)}"
    kept = AccessToken(
        id=id_,
        name=name,
        kind=kind,
        roles=dict(roles),
        digest=digest_of(text),
        created_at=now,
        pools=pools,
        expires_at=expires_at,
    )
    return text, kept


def _check(kind: str, name: str, roles: Mapping[str, str], pools: tuple[str, ...]) -> None:
    if kind not in KINDS:
        raise UsageError(f"{kind!r} is not a kind of token", hint=f"it is one of {', '.join(KINDS)}")
    if not NAME.fullmatch(name) or not name.strip():
        raise UsageError("the name of a token has 1 to 100 characters, on one line")
    if not roles:
        raise UsageError("a token needs a namespace", hint="name one, or all of them")
    if len(roles) > MOST_NAMESPACES:
        raise UsageError(f"a token is for {MOST_NAMESPACES} namespaces at most", hint="make several, or one for all of them")
    known = (SERVES,) if kind == "worker" else ROLES
    for namespace, role in roles.items():
        if namespace != EVERYWHERE and not NAMESPACE.fullmatch(namespace):
            raise UsageError(f"{namespace!r} is not a namespace", hint="1 to 63 letters, digits, dots, hyphens and underscores")
        if role not in known:
            raise UsageError(f"{role!r} is not a role of a {kind}", hint=f"it is one of {', '.join(known)}")
    if pools and kind != "worker":
        raise UsageError("pools are for the tokens of workers alone")


def _left(token: AccessToken, now: int) -> int | None:
    """How long a token is answered yet, in microseconds; None: until it is revoked."""
    if token.revoked_at is not None:
        return 0
    if token.expires_at is None:
        return None
    return token.expires_at - now + (LATE_US if token.kind == "worker" else 0)


def caller_of_token(token: AccessToken) -> Caller:
    """Give the caller whose token this is."""
    kind: Kind = next(one for one in KINDS if one == token.kind)
    return Caller(name=token.name, kind=kind, roles=token.roles, pools=frozenset(token.pools), token=token.id)


def token_record(token: AccessToken) -> dict[str, object]:
    """What is shown of a token, in JSON."""
    times = {
        "createdAt": token.created_at,
        "expiresAt": token.expires_at,
        "revokedAt": token.revoked_at,
        "usedAt": token.used_at,
    }
    return {
        "id": token.id,
        "name": token.name,
        "kind": token.kind,
        "roles": dict(token.roles),
        "pools": list(token.pools),
        **{name: None if at is None else rfc3339(at) for name, at in times.items()},
    }


class StoredTokens:
    """The tokens of a store, as an `Authenticator`.

    Args:
        store: where they are kept.
        clock: says when one has expired.
    """

    def __init__(self, store: TokenStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._known: dict[str, tuple[int, AccessToken]] = {}  # by id: when it was looked up
        self._used: dict[str, int] = {}
        self._written_at = clock.wall()

    async def caller(self, token: str) -> Caller | None:
        """Whose token this is; None where it is unknown, has expired or was revoked. Of a worker it counts LATE_US longer,
        for what it has (`Caller.late_s`). Raises PortError."""
        read = TOKEN.fullmatch(token)
        if read is None:
            return None
        now = self._clock.wall()
        kept = await self._find(read[1], now)
        given = digest_of(token)
        if kept is None or not hmac.compare_digest(given, kept.digest):
            return None
        left = _left(kept, now)
        if left is not None and left <= 0:
            return None
        self._used[kept.id] = now
        if abs(now - self._written_at) >= USES_WRITTEN_US:
            await self.write_uses()
        caller = caller_of_token(kept)
        is_late = kept.expires_at is not None and now >= kept.expires_at
        return replace(caller, late_s=left / 1_000_000) if is_late and left is not None else caller

    async def _find(self, id_: str, now: int) -> AccessToken | None:
        found = self._known.get(id_)
        if found is not None and 0 <= now - found[0] < REMEMBERED_US:
            return found[1]
        kept = await self._store.get(id_)
        if kept is not None:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[id_] = now, kept
        return kept

    async def add_session(self, name: str, roles: Mapping[str, str], seconds: float) -> tuple[str, Caller]:
        """Make the token of a person who logged in elsewhere: its text, and whose it is. Raises UsageError, PortError."""
        now = self._clock.wall()
        text, kept = make_token("person", name, roles, now, expires_at=now + round(seconds * 1_000_000))
        await self._store.add(kept)
        return text, caller_of_token(kept)

    async def write_uses(self) -> None:
        """Write when tokens were used last. Where the store is away, the next one tries again."""
        self._written_at = self._clock.wall()
        uses, self._used = self._used, {}
        try:
            await self._store.used(uses)
        except PortError as error:
            self._used = {**uses, **self._used}
            _log.warning("last uses of tokens were not written: %s", error.message)
