"""How far a schema unfolds: what is checked in place of one reference may itself refer to two, and so on.

Law: the extent is counted once for each target, so that counting takes no longer than reading; a circle counts once, since a
validator leaves it where it comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

MOST_PARTS: Final = 100_000  # schemas beneath a schema, each reference counted with what it stands for
_REFERENCES: Final = ("$ref", "$dynamicRef")
_ANCHORS: Final = ("$anchor", "$dynamicAnchor")


def check_extent(schema: Mapping[str, Any]) -> None:
    """Refuse a schema that unfolds to too many parts, or that is nested too deeply to be counted.

    Raises:
        ValueError: it does; the text says so.
        RecursionError: it is nested too deeply.
    """
    if _Extent(schema).of(schema) > MOST_PARTS:
        raise ValueError(f"it unfolds to more than {MOST_PARTS} parts")


class _Extent:
    """The extent of the parts of one schema, by identity. `_anchored`: what names without a slash refer to."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._known: dict[int, int] = {}
        self._anchored: dict[str, Any] = {}
        self._find_anchors(root)

    def of(self, part: Any) -> int:
        """How many parts are beneath this one, and itself."""
        if not isinstance(part, (dict, list)):
            return 1
        if id(part) not in self._known:
            self._known[id(part)] = 1  # for a circle
            below = part.values() if isinstance(part, dict) else part
            total = 1 + sum(self.of(one) for one in below if isinstance(one, (dict, list)))
            if isinstance(part, dict):
                total += sum(self.of(self._target(part[word])) for word in _REFERENCES if word in part)
            self._known[id(part)] = min(total, MOST_PARTS + 1)
        return self._known[id(part)]

    def _find_anchors(self, part: Any) -> None:
        if isinstance(part, dict):
            for word in _ANCHORS:
                if isinstance(part.get(word), str):
                    self._anchored[part[word]] = part
        for one in part.values() if isinstance(part, dict) else part:
            if isinstance(one, (dict, list)):
                self._find_anchors(one)

    def _target(self, reference: Any) -> Any:
        """What a reference within the schema means; None: nothing that is here."""
        name = reference.partition("#")[2] if isinstance(reference, str) else ""
        if not name.startswith("/"):
            return self._anchored.get(name, self._root if not name else None)
        part: Any = self._root
        for step in name[1:].split("/"):
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(part, dict):
                part = part.get(step)
            else:
                part = part[int(step)] if isinstance(part, list) and step.isdecimal() and int(step) < len(part) else None
        return part
