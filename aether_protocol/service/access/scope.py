"""The namespaces that are seen and changed through a scoped store.

Law: what is in a namespace that is not seen is unknown, in the same words as what is not there at all; what is seen and not
changed is refused with the role that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, TypeVar

from msgspec import Struct

from aether_protocol.errors import ForbiddenError, UsageError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store.access import NamespaceStore

REMEMBERED_US: Final = 2_000_000  # how old what is known of declared namespaces may be

_Item = TypeVar("_Item")


class NamespaceScope(Struct, frozen=True, kw_only=True):
    """Which namespaces are read, and which are written; None: all.

    Args:
        caller: the name, for messages.
        role: what is needed to write, for messages.
        reads: seen.
        writes: changed; all of them are seen too.
        declared: nothing is made in others; None: none were declared.
    """

    caller: str
    role: str
    reads: frozenset[str] | None
    writes: frozenset[str] | None
    declared: frozenset[str] | None = None

    def sees(self, namespace: str) -> bool:
        """Whether what is there is seen."""
        return self.reads is None or namespace in self.reads

    def require(self, namespace: str) -> None:
        """Raise ForbiddenError where nothing in `namespace` may be changed, UsageError where it was not declared."""
        if self.writes is not None and namespace not in self.writes:
            raise ForbiddenError(
                f"{self.caller} may not do this in namespace {namespace!r}", hint=f"it needs the role {self.role} there"
            )

        if self.declared is not None and namespace not in self.declared:
            raise UsageError(
                f"namespace {namespace!r} is not declared", hint="an admin declares it: 'aether namespace create NAME'"
            )

    def require_everything(self) -> None:
        """Raise ForbiddenError unless all namespaces may be changed: what is asked for concerns the whole store."""
        if self.writes is not None:
            raise ForbiddenError(
                f"{self.caller} may not do this: it concerns all namespaces",
                hint=f"it needs the role {self.role} in all of them",
            )

    def seen(self, items: Iterable[_Item]) -> list[_Item]:
        """Those of `items` (anything with a `namespace`) that are seen."""
        return [one for one in items if self.sees(one.namespace)]  # type: ignore[attr-defined]


class NamespaceDirectory:
    """Looks namespaces up, now and then.

    Args:
        store: where they are declared.
        clock: says when to look again.
    """

    def __init__(self, store: NamespaceStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._looked_at: int | None = None
        self._names: frozenset[str] | None = None

    async def names(self) -> frozenset[str] | None:
        """Give the declared namespaces; None where none was declared: any may be used. Raises PortError."""
        now = self._clock.wall()
        if self._looked_at is None or not 0 <= now - self._looked_at < REMEMBERED_US:
            self._names = frozenset(one.name for one in await self._store.list()) or None
            self._looked_at = now
        return self._names
