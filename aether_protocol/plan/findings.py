"""Collects what is wrong, each fault once, with its position.

Law: this is the only way by which a check says anything. Faults in parts that the reader had to repair or drop are
follow-ups of what it has reported already, and are kept quiet.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from difflib import get_close_matches
from typing import Final, NamedTuple

from aether_protocol.diagnostics import Diagnostic, Severity
from aether_protocol.documents.load import LoadedDocument

Path = tuple[str | int, ...]
DID_YOU_MEAN: Final = "did you mean "


class Fault(NamedTuple):
    """What a check found, without its position. `severity` where it is not the code's usual one."""

    code: str
    message: str
    hint: str | None = None
    severity: Severity | None = None


class Origin:
    """A document that a part of a workflow comes from, and the path of the spec in it."""

    __slots__ = ("_doubtful", "base", "document", "tainted")

    def __init__(self, document: LoadedDocument, base: Path) -> None:
        self.document = document
        self.base = base
        self.tainted = document.tainted
        self._doubtful = {list_ for path in self.tainted for list_ in _lists_above(path)} | document.incomplete

    @property
    def whole(self) -> bool:
        """The document is as its author wrote it."""
        return not self.tainted and not self._doubtful and not self.document.places.faulty

    def touched(self, path: Path) -> bool:
        """Whether anything at or below `path` is not as the author wrote it."""
        return any(faulty[: len(path)] == path for faulty in self._doubtful)

    def quiet(self, path: Path) -> bool:
        """Whether what stands at `path` is not as the author wrote it."""
        return bool(self.tainted) and any(path[:end] in self.tainted for end in range(len(path) + 1))

    def doubtful(self, path: Path) -> bool:
        """Whether the list at `path` may lack an entry: a name that is not in it proves nothing."""
        if not self._doubtful:
            return False
        return path in self._doubtful or path[:-1] in self._doubtful or self.quiet(path)


def _lists_above(path: Path) -> Iterable[Path]:
    """The lists that have lost an entry or its name, where `path` is faulty."""
    if path and isinstance(path[-1], int):
        yield path[:-1]
    if len(path) > 1 and isinstance(path[-2], int):
        if path[-1] in ("name", "dag", "task", "loop"):
            yield path[:-2]
    elif len(path) > 2 and path[-1] == "name" and isinstance(path[-3], int):
        yield path[:-3]
    yield path


class Findings:
    """All findings of one compilation."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str, Path, str], Diagnostic] = {}
        self.failed = False

    def add(self, origin: Origin, path: Path, fault: Fault, offset: int | None = None) -> None:
        """Report `fault` at `path` of the document of `origin`; `offset` counts characters of the text there."""
        key = (id(origin.document), fault.code, path, fault.message)
        if key in self._found or origin.quiet(path):
            return
        found = origin.document.report(fault.code, path, fault.message, fault.hint, offset)
        if fault.severity is not None and fault.severity != found.severity:
            found = replace(found, severity=fault.severity)
        self._found[key] = found
        self.failed = self.failed or found.severity == "error"

    def all(self) -> tuple[Diagnostic, ...]:
        """Everything found, by file and position."""
        return tuple(sorted(self._found.values(), key=lambda d: (d.file, d.line, d.column, d.code, d.path, d.message)))


def near(name: str, known: Collection[str], instead: str | None = None) -> str | None:
    """A hint that suggests the known name nearest to `name`, else `instead`."""
    found = get_close_matches(name, _candidates(name, known), 1)
    if found:
        return f"{DID_YOU_MEAN}{found[0]!r}?"
    if instead is None and 0 < len(known) <= 8:
        return f"there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known))}"
    return instead


def closest(name: str, known: Collection[str]) -> list[str]:
    """The known names nearest to `name`, at most three, the nearest first."""
    return get_close_matches(name, _candidates(name, known), 3)


def _candidates(name: str, known: Collection[str]) -> Collection[str]:
    """Where many names are known, a few that agree with `name` in one half: each comparison is dear, and faults may be many."""
    if len(known) <= 30:
        return known
    if len(known) > 2000:
        return ()
    half = len(name) // 2
    start, end = name[:half], name[half:]
    return [one for one in known if one.startswith(start) or one.endswith(end)][:30]
