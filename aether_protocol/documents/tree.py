"""The tree that readers build: plain JSON values, the places of all of them, and the limits of DOC-6.

Law: readers (YAML, JSON) feed one builder, so both obey the same rules. Places are kept beside the tree, one flat list
per container: a mapping has two numbers per key (key, value), a list one per entry. Nothing here recurses.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

from msgspec import Struct, field

from aether_protocol.documents.messages import Path, format_path
from aether_protocol.documents.scalars import usual
from aether_protocol.documents.source import DocumentLimits, Source
from aether_protocol.expressions.values import Json


class _Faulty:
    """Stands for a value that could not be read; its fault is noted, so nothing more is said about it."""

    def __repr__(self) -> str:
        return "FAULTY"


FAULTY: Final = _Faulty()
MERGE: Final = "<<"
_DROP: Final = "\0drop"  # a pending key whose value goes nowhere; no text of a document is this very object


class StopReadingError(Exception):
    """The file cannot be read on; the reason is noted."""


def readable(value: Json) -> Json:
    """A copy of `value` that is JSON: what could not be read is null."""
    if value is FAULTY:
        return None
    if type(value) is dict:
        return {key: readable(entry) for key, entry in value.items() if key != MERGE or entry is not FAULTY}
    return [readable(entry) for entry in value] if type(value) is list else value


class DocumentTree(Struct):
    """One document: `root`, where it begins, and the places in each container by the container's id.

    `nodes`: how many values it has, with aliases counted in full. `plain`: it was read from YAML, whose plain scalars have a
    spelling (DOC-10). `spelt`: by the container's id and the key or index the spelling of those numbers and booleans that JSON
    writes differently, such as 3.10 and 0644.
    """

    root: Json
    at: int
    marks: dict[int, list[int]] = field(default_factory=dict)
    faulty: bool = False
    plain: bool = False
    spelt: dict[int, dict[str | int, str]] = field(default_factory=dict)
    nodes: int = 0
    _indices: dict[int, dict[str, int]] = field(default_factory=dict)  # of wide mappings: the place of each key

    def spelling(self, path: Path) -> str | None:
        """How the number or boolean at `path` is written; None where there is none, or it was not read from YAML."""
        holder = self._holder(path) if self.plain else None
        if holder is None or type(value := holder[path[-1]]) not in (int, float, bool):
            return None
        return self.spelt.get(id(holder), {}).get(path[-1]) or usual(value)

    def _holder(self, path: Path) -> Json:
        """The container that the value at `path` stands in; None where there is no such value."""
        holder: Json = None
        node: Json = [self.root]
        for segment in (0, *path):
            holder, kind = node, type(node)
            inside = segment in node if kind is dict else kind is list and type(segment) is int and segment < len(node)
            if not inside:
                return None
            node = node[segment]
        return holder

    def respelt(self, path: Path) -> Iterator[tuple[Path, str, Json]]:
        """The numbers at or below `path` that JSON writes differently: path, spelling, value."""
        holder = self._holder(path)
        todo: list[tuple[Path, Json, str | int]] = [] if holder is None else [(path, holder, path[-1])]
        while todo:
            where, holder, key = todo.pop()
            value = holder[key]
            if type(value) is dict:
                todo.extend(((*where, inner), value, inner) for inner in value)
            elif type(value) is list:
                todo.extend(((*where, index), value, index) for index in range(len(value)))
            elif type(value) in (int, float) and (text := self.spelt.get(id(holder), {}).get(key)) is not None:
                yield where, text, value

    def restore(self, holder: Json, key: str | int) -> str:
        """Put the spelling of the number or boolean at `key` of `holder` in its place."""
        text = holder[key] = self.spelt.get(id(holder), {}).get(key) or usual(holder[key])
        return text

    def _index(self, node: dict[str, Json], key: str) -> int:
        """How many keys stand before `key`."""
        if len(node) <= 16:
            return list(node).index(key)
        known = self._indices.get(id(node))
        if known is None:
            known = self._indices[id(node)] = {one: place for place, one in enumerate(node)}
        return known[key]

    def find(self, path: Path) -> int:
        """The index of the character where the nearest existing node on `path` begins: its key where that says more."""
        node, at = self.root, self.at
        for segment in path if self.marks else ():  # what never was text has no places
            marks = self.marks.get(id(node), ())
            if isinstance(node, dict) and segment in node:
                place = 2 * self._index(node, str(segment))
                node = node[segment]
                at = marks[place] if isinstance(node, dict | list) else marks[place + 1]
            elif isinstance(node, list) and isinstance(segment, int) and segment < len(node):
                node, at = node[segment], marks[segment]
            else:
                break
        return at

    def find_key(self, path: Path) -> int:
        """Where the key that `path` ends with is written."""
        parent: Json = self.root
        for segment in path[:-1]:
            parent = parent[segment]
        if not path or not isinstance(parent, dict) or not self.marks:
            return self.find(path)
        return self.marks[id(parent)][2 * self._index(parent, str(path[-1]))]


class _Frame(Struct, frozen=True):
    """What was being read when a container opened."""

    node: Json
    marks: list[int]
    key: str | None
    key_at: int
    height: int
    anchor: str | None
    nodes: int


class _Anchor(Struct, frozen=True):
    value: Json
    weight: int
    height: int
    spelling: str | None = None


class TreeBuilder:
    """Builds one document after the other. Feed it with `open`, `scalar`, `alias` and `close`."""

    __slots__ = (
        "_anchors",
        "_before",
        "_height",
        "_key",
        "_key_at",
        "_limits",
        "_marks",
        "_node",
        "_nodes",
        "_plain",
        "_source",
        "_stack",
        "_tree",
    )

    def __init__(self, source: Source, limits: DocumentLimits, *, plain: bool = False) -> None:
        self._source = source
        self._limits = limits
        self._plain = plain
        self._nodes = 0
        self.start()
        source.where = self.path

    def start(self) -> None:
        """Begin a document."""
        self._tree = DocumentTree(None, 0, plain=self._plain)
        self._before = self._nodes
        self._node: Json = []
        self._marks: list[int] = []
        self._key: str | None = None
        self._key_at = 0
        self._height = 0
        self._stack: list[_Frame] = []
        self._anchors: dict[str, _Anchor | None] = {}

    def finish(self) -> DocumentTree:
        """The document that was begun."""
        self._tree.nodes = self._nodes - self._before
        self._tree.root = self._node[0] if self._node else None
        self._tree.at = self._marks[0] if self._marks else 0
        return self._tree

    def path(self, key: str | None = None) -> str:
        """Where the value stands that is read next, or the key `key` of the mapping that is being read."""
        nodes = [*(frame.node for frame in self._stack), self._node]
        steps: list[str | int] = []
        for node, child in pairwise(nodes):
            last = next(reversed(node), None) if type(node) is dict else len(node) - 1
            if last is None or node[last] is not child:  # what stands under a key that was refused
                return format_path(tuple(steps[1:]))
            steps.append(last)
        if type(self._node) is list:
            steps.append(len(self._node))
        elif key is not None or (self._key is not None and self._key is not _DROP):
            steps.append(self._key or "" if key is None else key)
        return format_path(tuple(steps[1:]))  # the first step leads to the document

    def scalar(self, value: Json, at: int, anchor: str | None = None, spelling: str | None = None) -> None:
        """A value, or a key where one is due. `spelling` where JSON would write it differently."""
        self._nodes += 1
        if self._nodes > self._limits.nodes:
            self._too_many(at)
        if anchor is not None:
            self._anchors[anchor] = _Anchor(value, 1, 0, spelling)
        node = self._node
        if spelling is not None:
            self._spell(spelling)
        if type(node) is list:
            node.append(value)
            self._marks.append(at)
        elif self._key is None:
            self._begin(value, at)
        else:
            if self._key is not _DROP:
                node[self._key] = value
                self._marks += (self._key_at, at)
            self._key = None

    def _spell(self, spelling: str) -> None:
        """Keep the spelling of the value that comes next."""
        node = self._node
        key = len(node) if type(node) is list else self._key
        if key is not None and key is not _DROP:
            self._tree.spelt.setdefault(id(node), {})[key] = spelling

    def empty(self, at: int, anchor: str | None = None) -> None:
        """An empty value: it is placed where its key is, since it has no place of its own."""
        self.scalar(None, at if self._key is None else self._key_at, anchor)

    def faulty(self, at: int) -> None:
        """A value that could not be read."""
        self._tree.faulty = True
        self.scalar(FAULTY, at)

    def open(self, node: Json, at: int, anchor: str | None = None) -> None:
        """A mapping or list begins."""
        if len(self._stack) >= self._limits.nesting:
            self._too_deep(at)
        if type(self._node) is dict and self._key is None:
            braces = self._source.text[max(at - 1, 0) : at + 1] == "{{"
            hint = 'put a placeholder in quotes: "{{NAME}}"' if braces else "keys are text"
            self._source.fault("AE106", at, "a mapping or list stands where a key is due", hint)
            self._key = _DROP
            frame = _Frame(
                node=self._node, marks=self._marks, key=_DROP, key_at=at, height=self._height, anchor=anchor, nodes=self._nodes
            )
        else:
            frame = _Frame(
                node=self._node, marks=self._marks, key=None, key_at=0, height=self._height, anchor=anchor, nodes=self._nodes
            )
            self.scalar(node, at)
        if anchor is not None:
            self._anchors[anchor] = None
        self._stack.append(frame)
        self._node, self._key, self._height = node, None, 0
        self._marks = self._tree.marks[id(node)] = []

    def close(self) -> None:
        """The innermost mapping or list ends."""
        frame = self._stack.pop()
        height = self._height + 1
        if frame.anchor is not None:
            self._anchors[frame.anchor] = _Anchor(self._node, self._nodes - frame.nodes, height)
        self._height = max(height, frame.height)
        self._node, self._marks, self._key, self._key_at = frame.node, frame.marks, frame.key, frame.key_at

    def alias(self, name: str, at: int) -> None:
        """The value of an anchor stands here once more, and counts in full."""
        if name not in self._anchors:
            self._source.fault("AE109", at, f"alias {name!r} has no anchor before it", f"write &{name} at the value")
            return self.faulty(at)
        target = self._anchors[name]
        if target is None:
            self._source.fault("AE109", at, f"alias {name!r} stands inside of its own anchor")
            return self.faulty(at)
        self._nodes += target.weight - 1
        if len(self._stack) + target.height > self._limits.nesting:
            self._too_deep(at)
        self._height = max(self._height, target.height)
        return self.scalar(target.value, at, None, target.spelling)

    def _begin(self, key: Json, at: int) -> None:
        """`key` is the next key of the mapping that is being read."""
        self._key_at = at
        if type(key) is not str:
            self._key = _DROP
            if key is not FAULTY:
                shown = "null" if key is None else str(key).lower() if isinstance(key, bool) else f"{key!r:.40}"
                self._source.fault("AE106", at, f"key {shown} is not text", f"put it in quotes: '{shown}'")
        elif key in self._node:
            self._key = _DROP
            first, _ = self._source.position(self._marks[2 * list(self._node).index(key)])
            message = f"key {key!r:.80} stands twice, first on line {first}"
            self._source.note("AE105", at, self.path(key), message, "keep one of them")
        elif key == MERGE:
            message = "merge key '<<' is not part of YAML 1.2"
            self._source.note("AE111", at, self.path(key), message, "write the fields out")
            self._tree.faulty = True
            self._node[MERGE] = FAULTY
            self._marks += (at, at)
            self._key = _DROP
        else:
            self._key = key

    def _too_many(self, at: int) -> None:
        message = f"more than {self._limits.nodes} values, with aliases counted in full"
        self._source.fault("AE104", at, message, "split the file, or raise the limit")
        raise StopReadingError

    def _too_deep(self, at: int) -> None:
        message = f"nested deeper than {self._limits.nesting}"
        self._source.fault("AE104", at, message, "flatten the document, or raise the limit")
        raise StopReadingError
