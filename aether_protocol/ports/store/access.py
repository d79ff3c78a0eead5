"""Who may use what a store keeps: tokens, namespaces, and the audit of what they were used for.

A token's text is in no store: its SHA-256 is. A token that was revoked stays, so that its name is not given to another one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from msgspec import Struct

OK: Final = "ok"  # the outcome of what was done; else the code of the refusal


class AccessToken(Struct, frozen=True, kw_only=True):
    """A token, without its text. `id` is the part of the text that may be shown; `digest` the SHA-256 of the text, in hex.

    `roles`: the role in each namespace, `*` for all. `pools`: of a worker, those that it may join. `used_at` is when it was
    used last, within the minute.
    """

    id: str
    name: str
    kind: str
    roles: Mapping[str, str]
    digest: str
    created_at: int
    pools: tuple[str, ...] = ()
    expires_at: int | None = None
    revoked_at: int | None = None
    used_at: int | None = None


class TokenStore(Protocol):
    """The tokens that a store knows."""

    async def add(self, token: AccessToken) -> None:
        """Keep a new token. Raises ConflictError for an id that there is."""
        ...

    async def get(self, id_: str) -> AccessToken | None:
        """Read one; None where there is none."""
        ...

    async def list(self) -> list[AccessToken]:
        """List all, also those that expired or were revoked, oldest first."""
        ...

    async def revoke(self, id_: str, at: int) -> bool:
        """Note that a token counts no longer; False where it was revoked before, or is unknown."""
        ...

    async def used(self, times: Mapping[str, int]) -> None:
        """Note when tokens were used last, by id. An earlier time than is known changes nothing."""
        ...


class NamespaceEntry(Struct, frozen=True, kw_only=True):
    """A namespace that was declared. `weight` is its share of the workers beside others, `limit` how many attempts it may have
    running at a time (None: any number)."""

    name: str
    created_at: int
    weight: int = 1
    limit: int | None = None


class NamespaceStore(Protocol):
    """The namespaces that were declared."""

    async def put(self, namespace: NamespaceEntry) -> bool:
        """Declare a namespace, or change its weight and limit; whether it is new. When it was made stays."""
        ...

    async def get(self, name: str) -> NamespaceEntry | None:
        """Read one; None where there is none."""
        ...

    async def list(self) -> list[NamespaceEntry]:
        """List all, by name."""
        ...

    async def remove(self, name: str) -> bool:
        """Take a declaration away; False where there was none. Raises ConflictError, and changes nothing, where runs, documents
        or schedules are in it."""
        ...


class AuditRecord(Struct, frozen=True, kw_only=True):
    """What a caller did, or was refused.

    Attributes:
        at: when.
        actor: the name of the caller.
        kind: of the caller.
        token: the id of its token; empty where it needed none.
        action: what was asked for, as `runs.cancel`.
        namespace: in which namespace; empty where it concerns none, or all.
        target: the run, document, schedule or token.
        outcome: OK, or the code of the refusal.
        detail: more, for people; it holds no secret.
        id: the store's, growing; 0 until it is stored.
    """

    at: int
    actor: str
    kind: str
    action: str
    token: str = ""
    namespace: str = ""
    target: str = ""
    outcome: str = OK
    detail: str = ""
    id: int = 0


class AuditStore(Protocol):
    """The audit: what was changed, by which caller."""

    async def write(self, records: Sequence[AuditRecord]) -> None:
        """Keep records, in this order."""
        ...

    async def read(self, *, before: int | None = None, limit: int = 100, namespace: str | None = None) -> list[AuditRecord]:
        """List records, newest first.

        Args:
            before: the id of the last record of the page before.
            limit: how many at most.
            namespace: only of this one.
        """
        ...

    async def drop(self, *, older_than: int, most: int) -> int:
        """Delete old records: no namespace pushes out what was recorded of another one.

        Args:
            older_than: those from before this instant.
            most: how many are kept of what was done in one namespace, and of what was refused to one token.

        Returns:
            How many were deleted.
        """
        ...
