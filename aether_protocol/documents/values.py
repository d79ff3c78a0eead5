"""Values that are parsed already become trees, under the same limits as text (DOC-6).

Law: what comes out is a copy that is JSON through and through; what is not JSON is a fault. Plain dicts and lists are copied by
a function of its own, ten times as fast as a builder; what is unusual in any way goes through the builder, which reports it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aether_protocol.documents.scalars import INT_MAX, INT_MIN
from aether_protocol.documents.source import DocumentLimits, Source, TooManyFaultsError
from aether_protocol.documents.tree import MERGE, DocumentTree, StopReadingError, TreeBuilder
from aether_protocol.expressions.json_copy import is_whole
from aether_protocol.expressions.values import Json


def read_value(value: Json, file: str, limits: DocumentLimits) -> tuple[Source, list[DocumentTree]]:
    """The documents that `value` holds: itself, or each entry of a list."""
    source = Source(file, "", positions=False)
    trees: list[DocumentTree] = []
    entries = list(value) if isinstance(value, list | tuple) else [value]
    if (copied := _copied(entries, limits)) is not None:
        trees = copied
    else:
        builder = TreeBuilder(source, limits)
        try:
            for entry in entries:
                builder.start()
                _feed(builder, entry, source)
                trees.append(builder.finish())
        except (StopReadingError, TooManyFaultsError):
            pass
    trees = [tree for tree in trees if tree.root is not None]
    if not trees and not source.faults:
        source.fault("AE103", 0, "there is no document", "a document begins with apiVersion: aether/v1")
    return source, trees


class _UnusualError(Exception):
    """Something that is not plain JSON, or beyond a limit."""


def _copied(entries: list[Any], limits: DocumentLimits) -> list[DocumentTree] | None:
    """The trees of entries that are plain JSON within the limits; None where anything is not."""
    trees: list[DocumentTree] = []
    left = limits.nodes
    try:
        for entry in entries:
            size = [1]
            root = _plain(entry, limits.nesting, size)
            left -= size[0]
            if left < 0:
                return None
            trees.append(DocumentTree(root, 0, nodes=size[0]))
    except (_UnusualError, RecursionError):
        return None
    return trees


def _plain(value: Any, levels: int, size: list[int]) -> Json:
    """A copy of plain JSON that may be nested so deep. `size` counts its values and keys."""
    kind = type(value)
    if kind is dict:
        if not levels:
            raise _UnusualError
        size[0] += 2 * len(value)
        copy: dict[str, Json] = {}
        for key, entry in value.items():
            if type(key) is not str or key == MERGE or not (key.isascii() or is_whole(key)):
                raise _UnusualError
            kind = type(entry)
            # the scalars that most entries are, without a call
            if (kind is str and entry.isascii()) or kind is bool or entry is None:
                copy[key] = entry
            else:
                copy[key] = _plain(entry, levels - 1, size)
        return copy
    if kind is list:
        if not levels:
            raise _UnusualError
        size[0] += len(value)
        return [entry if type(entry) is str and entry.isascii() else _plain(entry, levels - 1, size) for entry in value]
    if kind is int:
        fits = INT_MIN <= value <= INT_MAX
    elif kind is str:
        fits = value.isascii() or is_whole(value)
    else:
        fits = value is None or kind is bool or (kind is float and value - value == 0)  # neither infinite nor NaN
    if not fits:
        raise _UnusualError
    return value


def _feed(builder: TreeBuilder, value: Any, source: Source) -> None:
    """Iteratively: what looks endless (a list within itself) meets the limit of nesting."""
    stack: list[Iterator[Any]] = [iter((value,))]
    while stack:
        for entry in stack[-1]:
            if isinstance(entry, Mapping):
                builder.open({}, 0)
                stack.append(part for pair in list(entry.items()) for part in pair)
                break
            if isinstance(entry, list | tuple):
                builder.open([], 0)
                stack.append(iter(entry))
                break
            _scalar(builder, entry, source)
        else:
            stack.pop()
            if stack:
                builder.close()


def _scalar(builder: TreeBuilder, value: Any, source: Source) -> None:
    if value is None or isinstance(value, bool):
        builder.scalar(value, 0)
    elif isinstance(value, int) and INT_MIN <= value <= INT_MAX:
        builder.scalar(int(value), 0)
    elif isinstance(value, float) and value - value == 0:  # neither infinite nor NaN
        builder.scalar(float(value), 0)
    elif isinstance(value, str) and is_whole(value):
        builder.scalar(str.__str__(value), 0)
    else:
        shown = "a whole number of more than 64 bits" if isinstance(value, int) else f"{value!r:.60}"
        source.fault("AE110", 0, f"{shown} is not a value of JSON ({type(value).__name__})")
        builder.faulty(0)
