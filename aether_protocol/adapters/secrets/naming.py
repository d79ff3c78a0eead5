"""How a secret's (namespace, name, key) is spelled where only one flat name is to be had.

Law: environment variables and dotenv files use the same spelling. It is not one to one within a namespace (`a-b`/`c` and
`a`/`b-c` are both `A_B_C`): where such secrets must be distinguished, use files, a mapping, or the dotted spelling of a dotenv
file. Between namespaces it is: that of another namespace than `default` begins with an underscore and the namespace, which two
underscores end, and what looks so has no flat name in `default`. A namespace whose name this cannot say has no flat names.
"""

from __future__ import annotations

import re
from typing import Final

from aether_protocol.ports.secrets import DEFAULT_NAMESPACE, ENVIRONMENT_PREFIX

PREFIX: Final = ENVIRONMENT_PREFIX

_OTHER = r"[^A-Za-z0-9]"
_PLAIN: Final = r"[a-z0-9]+(?:-[a-z0-9]+)*"  # of these no two have one spelling


def flat_name(name: str, key: str, namespace: str = DEFAULT_NAMESPACE) -> str | None:
    """`db-main`, `api.key` -> `DB_MAIN_API_KEY`; in namespace `team-a` -> `_TEAM_A__DB_MAIN_API_KEY`; None: it has none."""
    flat = re.sub(_OTHER, "_", f"{name}_{key}").upper()
    if namespace == DEFAULT_NAMESPACE:
        return None if flat.startswith("_") and "__" in flat[1:] else flat
    if not re.fullmatch(_PLAIN, namespace):
        return None
    return f"_{namespace.replace('-', '_').upper()}__{flat}"


def split_name(text: str) -> tuple[str, str]:
    """Read `NAME`, of the namespace `default`, or `NAMESPACE/NAME`: the namespace and the name."""
    namespace, slash, name = text.partition("/")
    return (namespace, name) if slash else (DEFAULT_NAMESPACE, text)
