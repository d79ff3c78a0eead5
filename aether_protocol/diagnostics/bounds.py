"""How many findings are reported (DOC-6): more are not read, and a document could have one a byte.

Law: at most `MOST` of one file; errors come before warnings, and the last one says that there are more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from aether_protocol.diagnostics.model import Diagnostic

MOST: Final = 1000


def first_of(found: Iterable[Diagnostic]) -> list[Diagnostic]:
    """Of each file the first findings by position, errors before warnings."""
    files: dict[str, list[Diagnostic]] = {}
    for one in sorted(set(found)):
        files.setdefault(one.file, []).append(one)
    told: list[Diagnostic] = []
    for several in files.values():
        several.sort(key=lambda one: one.severity != "error")
        chosen = sorted(several[:MOST])
        more = len(several) - len(chosen)
        if more and len(chosen) == MOST:
            chosen[-1] = replace(chosen[-1], hint=more_of(more))
        told += chosen
    return told


def more_of(count: int) -> str:
    """What the last finding says where `count` more were made."""
    return f"there {'is 1 more finding' if count == 1 else f'are {count} more findings'}; only the first {MOST} are shown"
