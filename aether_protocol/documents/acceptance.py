"""Whether a document fits the published schema.

Law: the verdict is that of the schema. A library gives it in no time, once it is imported; small documents are walked as their
faults would be explained, which costs less than that import. A property test keeps all verdicts equal.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NoReturn

from aether_protocol.documents.explain import explain
from aether_protocol.documents.messages import Path
from aether_protocol.documents.schema import published, verdict
from aether_protocol.expressions.values import Json

SMALL: Final = 2_000  # values; the import of jsonschema-rs takes as long as walking about 3 000


class _FaultError(Exception):
    """The first fault was found."""


class Acceptance:
    """Looks at documents itself until they were `small` values in all, then asks the library."""

    __slots__ = ("_left", "_library")

    def __init__(self, small: int = SMALL, library: Callable[[], Callable[[Json], bool]] = verdict) -> None:
        self._left = small
        self._library = library

    def __call__(self, root: Json, nodes: int) -> bool:
        """Whether `root`, which has so many values, is a document by the schema."""
        if nodes > self._left:
            return self._library()(root)
        self._left -= nodes
        if type(root) is not dict:
            return False
        try:
            explain(published(), root, _stop)
        except _FaultError:
            return False
        return True


def _stop(code: str, path: Path, message: str, hint: str | None, key: bool) -> NoReturn:
    raise _FaultError


accepted: Final = Acceptance()
