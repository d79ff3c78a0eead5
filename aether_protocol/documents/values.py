"""Values that are parsed already become trees, under the same limits as text (DOC-6).

Law: what comes out is a copy that is JSON through and through; what is not JSON is a fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from aether_protocol.documents.scalars import INT_MAX, INT_MIN
from aether_protocol.documents.source import Limits, Source, TooManyFaultsError
from aether_protocol.documents.tree import Builder, StopReadingError, Tree
from aether_protocol.expressions.values import Json


def read_value(value: Json, file: str, limits: Limits) -> tuple[Source, list[Tree]]:
    """The documents that `value` holds: itself, or each entry of a list."""
    source = Source(file, "", positions=False)
    trees: list[Tree] = []
    entries = list(value) if isinstance(value, list | tuple) else [value]
    builder = Builder(source, limits)
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


def _feed(builder: Builder, value: Any, source: Source) -> None:
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


def _scalar(builder: Builder, value: Any, source: Source) -> None:
    if value is None or isinstance(value, bool):
        builder.scalar(value, 0)
    elif isinstance(value, int) and INT_MIN <= value <= INT_MAX:
        builder.scalar(int(value), 0)
    elif isinstance(value, float) and value - value == 0:  # neither infinite nor NaN
        builder.scalar(float(value), 0)
    elif isinstance(value, str) and not _broken(value):
        builder.scalar(str.__str__(value), 0)
    else:
        shown = "a whole number of more than 64 bits" if isinstance(value, int) else f"{value!r:.60}"
        source.fault("AE110", 0, f"{shown} is not a value of JSON ({type(value).__name__})")
        builder.faulty(0)


def _broken(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False
