"""How a secret's (name, key) is spelled where only one flat name is to be had.

Law: environment variables and dotenv files use the same spelling. It is not one to one (`a-b`/`c` and `a`/`b-c` are both
`A_B_C`): where such secrets must be distinguished, use files, a mapping, or the dotted spelling of a dotenv file.
"""

from __future__ import annotations

import re
from typing import Final

from aether_protocol.ports.secrets import ENVIRONMENT_PREFIX

PREFIX: Final = ENVIRONMENT_PREFIX

_OTHER = r"[^A-Za-z0-9]"


def flat_name(name: str, key: str) -> str:
    """`db-main`, `api.key` -> `DB_MAIN_API_KEY`."""
    return re.sub(_OTHER, "_", f"{name}_{key}").upper()
