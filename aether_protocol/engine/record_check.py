"""Whether what was decoded holds what its annotations promise: records that come from outside are asked this once.

Law: a decoder trusts its record, for it is on the way to every run; whoever takes in a record that somebody else may have
written asks here first, so that what is wrong with it is told then and there and not by the code that stumbles over it.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from functools import cache
from math import isfinite
from typing import Any, Final

from msgspec import Struct

from aether_protocol.scheduler.nodes import Node

_PLAIN: Final[frozenset[type]] = frozenset({str, bool, type(None)})
_ATOMS: Final = frozenset({str, int, float, bool, type(None)})
_PLACE: Final = {"index": int, "created_at": int, "context": Mapping[str, Any]}  # of nodes, given to their constructors
_LINKS: Final = frozenset({"call", "parent", "culprit"})  # of a node, to what is looked at by itself

_Where = tuple[Any, str]  # of what holds it, and the rest of the path: put together only where something does not fit
_Spot = tuple[_Where, object, Any]  # where, what is there, and the annotation that it should fit


def misfit(name: str, value: object, expected: Any) -> str | None:
    """The first thing in `value` that does not fit the annotation `expected`, in words that begin with `name`; None if all
    does. Values of type Any are JSON. Costs the size of `value`; what is shared in it is looked at once."""
    seen: set[tuple[int, Any]] = set()
    todo: list[_Spot] = [((None, name), value, expected)]
    while todo:
        where, found, kind = todo.pop()
        if type(found) in _plain(kind):  # most of what there is
            continue
        fitting = _fitting(found, kind)
        if fitting is None:
            return f"{_path(where)} is {_shown(found)}, not {_named(kind)}"
        if type(found) not in _ATOMS and (id(found), fitting) not in seen:
            seen.add((id(found), fitting))
            todo.extend(_parts(where, found, fitting))
    return None


def misfit_of_node(node: Node) -> str | None:
    """The same for a node of a run's state."""
    hints = _hints(node.__class__)
    for name, value in vars(node).items():
        kind = hints.get(name)
        if kind is not None and name not in _LINKS:
            fault = misfit(f"node {node.id}: {name}", value, kind)
            if fault is not None:
                return fault
    return None


def _fitting(value: object, kind: Any) -> Any:
    """`kind`, or the member of that union, that `value` itself fits, whatever is in it; None if there is none."""
    if kind is Any:
        return None if isinstance(value, float) and not isfinite(value) else Any
    origin, members = _parsed(kind)
    if origin is types.UnionType:
        return next((one for one in members if _fitting(value, one) is not None), None)
    if origin is typing.Literal:
        return kind if value in members else None
    if not _TESTS.get(origin, isinstance)(value, origin):
        return None
    if origin is tuple and ... not in members and len(value) != len(members):  # type: ignore[arg-type]
        return None
    return kind


def _is_integer(value: object, _: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object, _: Any) -> bool:
    return _is_integer(value, _) or (isinstance(value, float) and isfinite(value))


def _is_sequence(value: object, _: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)


_TESTS: Final[dict[Any, Callable[[object, Any], bool]]] = {int: _is_integer, float: _is_number, Sequence: _is_sequence}


def _parts(where: _Where, value: object, kind: Any) -> Iterator[_Spot]:
    """What is in `value`, each with the annotation that it should fit."""
    if isinstance(value, Struct):
        hints = _hints(value.__class__)
        for name in value.__struct_fields__:
            yield (where, f".{name}"), getattr(value, name), hints[name]
        return
    origin, given = _parsed(kind)
    if isinstance(value, Mapping):
        of_keys, of_values = given or (str, Any)
        for key, item in value.items():
            yield (where, " (a key)"), key, of_keys
            yield (where, f".{key}"), item, of_values
    elif isinstance(value, tuple) and origin is tuple and ... not in given:
        for at, (item, one) in enumerate(zip(value, given, strict=True)):
            yield (where, f"[{at}]"), item, one
    elif isinstance(value, Sequence | Set):
        for at, item in enumerate(value):
            yield (where, f"[{at}]"), item, given[0] if given else Any


def _parse(kind: Any) -> tuple[Any, tuple[Any, ...]]:
    """An annotation's origin and what stands in its brackets."""
    origin = typing.get_origin(kind)
    return types.UnionType if origin is typing.Union else origin or kind, typing.get_args(kind)


def _find_plain(kind: Any) -> frozenset[type]:
    """The types of which every value fits an annotation, and holds nothing more."""
    origin, members = _parsed(kind)
    if origin is types.UnionType:
        return frozenset().union(*(_find_plain(one) for one in members))
    return _PLAIN if kind is Any else _PLAIN & {origin}


def _read_hints(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind) | (_PLACE if issubclass(kind, Node) else {})


_parsed: Final[Callable[[Any], tuple[Any, tuple[Any, ...]]]] = cache(_parse)
_plain: Final[Callable[[Any], frozenset[type]]] = cache(_find_plain)
_hints: Final[Callable[[Any], dict[str, Any]]] = cache(_read_hints)


def _path(where: _Where) -> str:
    parts = []
    at: Any = where
    while at is not None:
        at, part = at
        parts.append(part)
    return "".join(reversed(parts))


def _shown(value: object) -> str:
    text = repr(value) if type(value) in _ATOMS else type(value).__name__
    return text if len(text) <= 40 else f"{text[:40]}…"


def _named(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind).removeprefix("typing.")
