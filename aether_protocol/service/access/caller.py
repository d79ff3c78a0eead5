"""Callers and their roles.

Law: a role includes those before it in ROLES; a caller without a role in a namespace knows nothing of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

ROLES: Final = ("viewer", "operator", "author", "admin")  # of persons and services, in one namespace each
NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,63}")
EVERYWHERE: Final = "*"  # in place of a namespace: in all of them, also in those that are made later

Kind = Literal["person", "service", "worker", "peer"]
KINDS: Final[tuple[Kind, ...]] = ("person", "service", "worker")  # of tokens that are made: a peer is another server


class Caller(Struct, frozen=True, kw_only=True):
    """Who asks.

    Args:
        name: for people, in audits and reasons.
        kind: a worker has no role: it serves the namespaces in `roles`, and reads nothing else. A peer speaks for workers.
        roles: the role in each namespace, EVERYWHERE for all; of a worker the namespaces alone count.
        pools: of a worker, those that it may join; none: all.
        token: the id of its token; None: it needs none.
        late_s: of a worker whose token has expired: for how many seconds more it may finish what it has; None: it counts.
    """

    name: str
    kind: Kind
    roles: Mapping[str, str]
    pools: frozenset[str] = frozenset()
    token: str | None = None
    late_s: float | None = None

    def may(self, role: str, namespace: str) -> bool:
        """Whether it has at least `role` in `namespace`."""
        if self.kind in ("worker", "peer"):
            return False
        return any(_includes(self.roles.get(one), role) for one in (namespace, EVERYWHERE))

    def namespaces(self, role: str) -> frozenset[str] | None:
        """In which namespaces it has at least `role`; None: in all."""
        if self.may(role, EVERYWHERE):
            return None
        return frozenset(one for one in self.roles if self.may(role, one))

    def has_anywhere(self, role: str) -> bool:
        """Whether it has at least `role` in any namespace."""
        return self.namespaces(role) != frozenset()


def _includes(given: str | None, role: str) -> bool:
    return given in ROLES and ROLES.index(given) >= ROLES.index(role)


LOCAL: Final = Caller(name="local", kind="person", roles={EVERYWHERE: "admin"})  # where authentication is off
