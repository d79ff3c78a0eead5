"""Placeholders that stay text since their namespace is unknown, and look as if they should not (DATA-6).

Law: scripts may have braces of their own, so that nothing is reported of a root that is not nearly one of the protocol's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from msgspec import Struct

from aether_protocol.compiler.findings import Path
from aether_protocol.diagnostics.suggest import suggest
from aether_protocol.expressions import NAMESPACES
from aether_protocol.expressions.values import Json

FOREIGN_ITEM: Final = "item"
_ITEM: Final = r"(?<!\{)\{\{\s*item(\.[^{}]*|\s*)\}\}"  # as other systems call the item of a loop
_PLACEHOLDER: Final = r"(?<!\{)\{\{\s*([A-Za-z_-]+)(\.[^{}]*)"


class Stray(Struct, frozen=True):
    """A placeholder at `path` in a value, `offset` characters into its text: its root, the namespace that is near, and the name
    with that namespace."""

    path: Path
    offset: int
    root: str
    near: str
    name: str


def strays(value: Json, known: frozenset[str]) -> Iterator[Stray]:
    """The placeholders in `value` whose root is not among the `known` namespaces and nearly one of the protocol's."""
    todo: list[tuple[Json, Path]] = [(value, ())]
    while todo:
        item, path = todo.pop()
        if isinstance(item, str):
            if "{{" in item:
                yield from _of_text(item, path, known)
        elif isinstance(item, dict):
            todo.extend((inner, (*path, key)) for key, inner in item.items() if isinstance(inner, str | list | dict))
        elif isinstance(item, list):
            todo.extend((inner, (*path, index)) for index, inner in enumerate(item) if isinstance(inner, str | list | dict))


def _of_text(text: str, path: Path, known: frozenset[str]) -> Iterator[Stray]:
    if FOREIGN_ITEM not in known:
        for match in re.finditer(_ITEM, text):
            yield Stray(path, match.start(), FOREIGN_ITEM, "iterator.item", f"iterator.item{match[1]}".rstrip())
    for match in re.finditer(_PLACEHOLDER, text):
        root, rest = match.groups()
        found = _namespace(root) if root not in known else None
        if found is not None:
            yield Stray(path, match.start(), root, found, f"{found}{rest}".rstrip())


@lru_cache(maxsize=1024)
def _namespace(root: str) -> str | None:
    return suggest(root, NAMESPACES, 0.8)
