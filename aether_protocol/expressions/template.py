"""Templates: JSON values whose strings hold placeholders (DATA-5, DATA-6, DATA-13).

Law: a template is cut up once; resolving it builds new containers only where a placeholder stands, shares the rest, and
never looks at what it has put in. Values of dicts are walked, keys are not.
"""

from __future__ import annotations

from typing import Final

from aether_protocol.expressions.limits import MAX_TEXT, check_growth
from aether_protocol.expressions.names import ExpressionError, Name, ResolveName
from aether_protocol.expressions.placeholders import SplitText, split_text
from aether_protocol.expressions.values import ABSENT, Absent, Json, SecretValue, as_text

Path = tuple[str | int, ...]

_MAX_NESTING: Final = 400


class _Fixed:
    """A part of the value without placeholders."""

    __slots__ = ("value",)

    def __init__(self, value: Json) -> None:
        self.value = value


class _List:
    __slots__ = ("items",)

    def __init__(self, items: list[_Node]) -> None:
        self.items = items


class _Dict:
    __slots__ = ("items",)

    def __init__(self, items: dict[str, _Node]) -> None:
        self.items = items


_Node = _Fixed | SplitText | _List | _Dict


class Template:
    """A value with placeholders. `names`: each once; `places`: where each stands first, as (path, offset).

    `literal`: it has none, and `fixed` is its value.
    """

    __slots__ = ("_node", "fixed", "literal", "names", "places", "raw", "sole")

    def __init__(self, raw: Json, node: _Node, places: dict[Name, tuple[Path, int]]) -> None:
        self.raw = raw
        self.names: tuple[Name, ...] = tuple(places)
        self.places: tuple[tuple[Path, int], ...] = tuple(places.values())
        self.literal = type(node) is _Fixed
        self.fixed: Json = node.value if type(node) is _Fixed else None
        self.sole = _sole(node)  # the name, where the whole value is one placeholder
        self._node = node

    def __repr__(self) -> str:
        return f"Template({self.raw!r})"

    def resolve(self, resolve: ResolveName) -> Json | Absent | SecretValue:
        """The value with placeholders filled in.

        One that is the whole text keeps its type (and may be ABSENT); inside text or a container an absent one raises
        ExpressionError. Text with a secret in it is a `SecretValue`.
        """
        node = self._node
        if type(node) is _Fixed:
            return node.value
        if self.sole is not None:
            return _look_up(self.sole, resolve, 0)
        try:
            value = _resolve(node, resolve, ())
        except RecursionError:
            raise ExpressionError("a value is nested too deeply") from None
        check_growth(value)
        return value


def parse_template(value: Json, namespaces: frozenset[str]) -> Template:
    """Find the placeholders in `value`. Those under other roots than `namespaces` stay text. Raises ExpressionError."""
    places: dict[Name, tuple[Path, int]] = {}
    return Template(value, _parse(value, namespaces, (), places), places)


def _parse(value: Json, namespaces: frozenset[str], path: Path, places: dict[Name, tuple[Path, int]]) -> _Node:
    if len(path) > _MAX_NESTING:
        raise ExpressionError("the value is nested too deeply", 0, path)
    if isinstance(value, str):
        return _parse_text(value, namespaces, path, places)
    if isinstance(value, list):
        items = [_parse(item, namespaces, (*path, i), places) for i, item in enumerate(value)]
        if all(type(item) is _Fixed for item in items):
            same = all(item.value is old for item, old in zip(items, value, strict=True) if type(item) is _Fixed)
            return _Fixed(value if same else [item.value for item in items if type(item) is _Fixed])
        return _List(items)
    if isinstance(value, dict):
        fields = {key: _parse(item, namespaces, (*path, key), places) for key, item in value.items()}
        if all(type(item) is _Fixed for item in fields.values()):
            plain = {key: item.value for key, item in fields.items() if type(item) is _Fixed}
            return _Fixed(value if all(plain[key] is value[key] for key in plain) else plain)
        return _Dict(fields)
    return _Fixed(value)


def _parse_text(text: str, namespaces: frozenset[str], path: Path, places: dict[Name, tuple[Path, int]]) -> _Node:
    if "{{" not in text:
        return _Fixed(text)
    try:
        parts = split_text(text, namespaces)
    except ExpressionError as fault:
        raise ExpressionError(fault.reason, fault.offset, path) from None
    found = False
    for part, offset in zip(parts.parts, parts.offsets, strict=True):
        if isinstance(part, Name):
            places.setdefault(part, (path, offset))
            found = True
    if found:
        return parts
    return _Fixed("".join(part for part in parts.parts if isinstance(part, str)))


def _sole(node: _Node) -> Name | None:
    if type(node) is SplitText and len(node.parts) == 1 and isinstance(node.parts[0], Name):
        return node.parts[0]
    return None


def _look_up(name: Name, resolve: ResolveName, offset: int, path: Path = ()) -> Json | Absent | SecretValue:
    try:
        return resolve(name)
    except ExpressionError as fault:
        if fault.offset is None:
            fault.offset, fault.path = offset, path
        raise


def _resolve(node: _Node, resolve: ResolveName, path: Path) -> Json | SecretValue:
    if isinstance(node, _Fixed):
        return node.value
    if isinstance(node, _List):
        return [_resolve(item, resolve, (*path, i)) for i, item in enumerate(node.items)]
    if isinstance(node, _Dict):
        return {key: _resolve(item, resolve, (*path, key)) for key, item in node.items.items()}
    if len(node.parts) == 1 and isinstance(node.parts[0], Name):
        return _present(node.parts[0], resolve, node.offsets[0], path)
    return _fill(node, resolve, path)


def _present(name: Name, resolve: ResolveName, offset: int, path: Path) -> Json | SecretValue:
    value = _look_up(name, resolve, offset, path)
    if value is ABSENT:
        raise ExpressionError(f"{name.text!r} has no value", offset, path)
    return value


def _fill(text: SplitText, resolve: ResolveName, path: Path) -> str | SecretValue:
    """The text with its values written in; a `SecretValue` once one of them is."""
    pieces: list[str | tuple[str, str]] = []
    length = 0
    for part, offset in zip(text.parts, text.offsets, strict=True):
        if isinstance(part, str):
            pieces.append(part)
            continue
        value = _present(part, resolve, offset, path)
        if type(value) is SecretValue:
            pieces.extend(value.parts)
            length += sum(map(len, value.parts))
        else:
            written = _write(part, value, offset, path)
            pieces.append(written)
            length += len(written)
        if length > MAX_TEXT:
            raise ExpressionError(f"the text is too long (more than {MAX_TEXT} characters)", offset, path)
    if all(isinstance(piece, str) for piece in pieces):
        return "".join(piece for piece in pieces if isinstance(piece, str))
    return SecretValue(_merge(pieces))


def _merge(pieces: list[str | tuple[str, str]]) -> tuple[str | tuple[str, str], ...]:
    """Adjacent literal parts as one, so that equal texts are equal values."""
    merged: list[str | tuple[str, str]] = []
    for piece in pieces:
        last = merged[-1] if merged else None
        if isinstance(piece, str) and isinstance(last, str):
            merged[-1] = last + piece
        elif piece:
            merged.append(piece)
    return tuple(merged)


def _write(name: Name, value: Json, offset: int, path: Path) -> str:
    try:
        return as_text(value)
    except (TypeError, ValueError):
        # json names no value here, and must not: a container may hold a secret
        raise ExpressionError(f"{name.text!r} cannot be written as text: it holds a secret or no JSON", offset, path) from None


UNKNOWN_TEMPLATE: Final = Template(None, _Dict({}), {})  # of a value that came resolved, from where it is known
