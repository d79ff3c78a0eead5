"""Look after tokens, namespaces and the audit, as a caller may.

Law: no caller gives away more than it has: an admin of some namespaces makes and revokes tokens of these alone, and reads
their audit. What concerns all namespaces needs an admin of all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

from aether_protocol.errors import AetherError, ForbiddenError, NotFoundError, UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store
from aether_protocol.ports.store.access import OK, AccessToken, AuditRecord, NamespaceEntry
from aether_protocol.service.access.audit import AuditTrail, outcome_of
from aether_protocol.service.access.caller import EVERYWHERE, LOCAL, NAMESPACE, Caller
from aether_protocol.service.access.tokens import make_token

MOST_READ: Final = 1_000  # records of the audit in one page


class NewToken(Struct, frozen=True):
    """A token that was made, and its text, which is shown now and never again."""

    token: AccessToken
    text: str


class AccessAdministration:
    """What can be asked of tokens, namespaces and the audit of a store.

    Args:
        store: which keeps them.
        clock: says when.
        caller: who asks; by default the operator of the store, who may do everything.
        trail: where changes are written down; by default that of the store.
    """

    def __init__(self, store: Store, clock: Clock, caller: Caller = LOCAL, trail: AuditTrail | None = None) -> None:
        self._store = store
        self._clock = clock
        self._caller = caller
        self._trail = trail or AuditTrail(store.audit, clock)

    async def create_token(
        self,
        kind: str,
        name: str,
        roles: Mapping[str, str],
        *,
        expires_at: int | None = None,
        pools: tuple[str, ...] = (),
    ) -> NewToken:
        """Make a token; see `tokens.make_token`. Raises ForbiddenError, UsageError."""
        target = ""
        try:
            self._require(roles)
            text, token = make_token(kind, name, roles, self._clock.wall(), expires_at=expires_at, pools=pools)
            target = token.id
            await self._store.tokens.add(token)
        except AetherError as error:
            await self._wrote("tokens.create", roles, target, outcome_of(error))
            raise
        await self._wrote("tokens.create", roles, target)
        return NewToken(token, text)

    async def tokens(self) -> Sequence[AccessToken]:
        """List the tokens of the caller's namespaces, oldest first, also those that count no longer."""
        return [one for one in await self._store.tokens.list() if self._may(one.roles)]

    async def revoke_token(self, id_: str) -> AccessToken:
        """Let a token count no longer. Raises NotFoundError, and UsageError for one that was revoked before."""
        token = await self._store.tokens.get(id_)
        if token is None or not self._may(token.roles):
            raise NotFoundError(f"token {id_!r} is unknown", hint="'aether token ls' lists them")
        if not await self._store.tokens.revoke(id_, self._clock.wall()):
            raise UsageError(f"token {id_!r} was revoked before")
        await self._wrote("tokens.revoke", token.roles, id_)
        return token

    async def declare_namespace(self, name: str, *, weight: int = 1, limit: int | None = None) -> bool:
        """Declare a namespace, or change its weight and limit; whether it is new. Raises ForbiddenError, UsageError."""
        self._require({EVERYWHERE: ""})
        if not NAMESPACE.fullmatch(name):
            raise UsageError(f"{name!r} is not a namespace", hint="1 to 63 letters, digits, dots, hyphens and underscores")
        if not 1 <= weight <= 1_000_000 or (limit is not None and not 0 <= limit <= 1_000_000):
            raise UsageError("a weight is from 1 to 1000000, and a limit from 0 on")
        entry = NamespaceEntry(name=name, created_at=self._clock.wall(), weight=weight, limit=limit)
        is_new = await self._store.namespaces.put(entry)
        await self._wrote("namespaces.create" if is_new else "namespaces.change", {name: ""}, name)
        return is_new

    async def namespaces(self) -> Sequence[NamespaceEntry]:
        """List the declared namespaces that the caller sees, by name."""
        seen = self._caller.namespaces("viewer")
        return [one for one in await self._store.namespaces.list() if seen is None or one.name in seen]

    async def remove_namespace(self, name: str) -> None:
        """Take a declaration away. Raises NotFoundError, and ConflictError where anything is in the namespace."""
        self._require({EVERYWHERE: ""})
        if not await self._store.namespaces.remove(name):
            raise NotFoundError(f"namespace {name!r} was not declared", hint="'aether namespace ls' lists them")
        await self._wrote("namespaces.remove", {name: ""}, name)

    async def audit(
        self, *, before: int | None = None, limit: int = 100, namespace: str | None = None
    ) -> Sequence[AuditRecord]:
        """List what was changed, newest first.

        Args:
            before: the id of the last record of the page before.
            limit: how many at most.
            namespace: of which one; an admin of some namespaces has to name one of these.
        """
        if not self._caller.may("admin", EVERYWHERE if namespace is None else namespace):
            raise self._forbidden(EVERYWHERE if namespace is None else namespace)
        return await self._store.audit.read(before=before, limit=min(limit, MOST_READ), namespace=namespace)

    def _may(self, roles: Mapping[str, str]) -> bool:
        return all(self._caller.may("admin", namespace) for namespace in roles)

    def _require(self, roles: Mapping[str, str]) -> None:
        for namespace in roles:
            if not self._caller.may("admin", namespace):
                raise self._forbidden(namespace)

    def _forbidden(self, namespace: str) -> ForbiddenError:
        where = "all namespaces" if namespace == EVERYWHERE else f"namespace {namespace!r}"
        own = sorted(self._caller.namespaces("admin") or ()) if namespace == EVERYWHERE else []
        hint = f"name a namespace: it is an admin of {', '.join(own)}" if own else None
        return ForbiddenError(f"{self._caller.name} may not do this: it is not an admin of {where}", hint=hint)

    async def _wrote(self, action: str, roles: Mapping[str, str], target: str, outcome: str = OK) -> None:
        targets = [("" if namespace == EVERYWHERE else namespace, target) for namespace in roles]
        await self._trail.write(self._caller, action, targets, outcome)
