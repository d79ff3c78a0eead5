"""The namespaces that are seen and changed through a scoped store.

Law: what is in a namespace that is not seen is unknown, in the same words as what is not there at all; what is seen and not
changed is refused with the role that it needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from aether_protocol.errors import ForbiddenError

_Item = TypeVar("_Item")


class NamespaceScope(Struct, frozen=True, kw_only=True):
    """Which namespaces are read, and which are written; None: all.

    Args:
        caller: the name, for messages.
        role: what is needed to write, for messages.
        reads: seen.
        writes: changed; all of them are seen too.
    """

    caller: str
    role: str
    reads: frozenset[str] | None
    writes: frozenset[str] | None

    def sees(self, namespace: str) -> bool:
        """Whether what is there is seen."""
        return self.reads is None or namespace in self.reads

    def require(self, namespace: str) -> None:
        """Raise ForbiddenError where nothing in `namespace` may be changed."""
        if self.writes is not None and namespace not in self.writes:
            raise ForbiddenError(
                f"{self.caller} may not do this in namespace {namespace!r}", hint=f"it needs the role {self.role} there"
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
