"""What groups of a provider may do here: `[auth.roles]`.

An entry is `GROUP = "ROLE"` for all namespaces, `"ROLE@NAMESPACE"` for one, or a list of these. Where several groups of a
person speak of one namespace the highest role counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import UsageError
from aether_protocol.service.access.caller import EVERYWHERE, NAMESPACE, ROLES

Grants = Mapping[str, Sequence[tuple[str, str]]]  # by group: roles, each with its namespace

ANY_PERSON: Final = "*"  # in place of a group: each person that the provider lets in


def read_roles(given: Mapping[str, str | Sequence[str]]) -> Grants:
    """Read `[auth.roles]`. Raises UsageError for what is not a role, or not a namespace."""
    return {group: [_grant(group, one) for one in ([said] if isinstance(said, str) else said)] for group, said in given.items()}


def roles_of(groups: Iterable[str], grants: Grants) -> dict[str, str]:
    """Give the role in each namespace that a person of these groups has; none where no group has one."""
    found: dict[str, str] = {}
    for group in (*groups, ANY_PERSON):
        for role, namespace in grants.get(group, ()):
            if namespace not in found or ROLES.index(role) > ROLES.index(found[namespace]):
                found[namespace] = role
    return found


def _grant(group: str, said: str) -> tuple[str, str]:
    role, at, namespace = said.partition("@")
    if role not in ROLES:
        hint = did_you_mean(role, ROLES, f"it is one of {', '.join(ROLES)}")
        raise UsageError(f"[auth.roles] gives the group {group!r} {role!r}, which is not a role", hint=hint)
    if not at or namespace == EVERYWHERE:
        return role, EVERYWHERE
    if not NAMESPACE.fullmatch(namespace):
        raise UsageError(f"[auth.roles] gives the group {group!r} a role in {namespace!r}, which is not a namespace")
    return role, namespace
