"""Collects what is wrong, each fault once, with its position.

Law: this is the only way by which a check says anything. Faults in parts that the reader had to repair or drop are
follow-ups of what it has reported already, and are kept quiet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.diagnostics import CODES, Diagnostic, Severity
from aether_protocol.diagnostics.bounds import MOST, more_of
from aether_protocol.diagnostics.suggest import Suggestions
from aether_protocol.documents.load import LoadedDocument

Path = tuple[str | int, ...]
DID_YOU_MEAN: Final = "did you mean "


class Near(Struct, frozen=True):
    """A hint that is worked out only for a fault that is reported: the name in `known` that is nearest, else `instead`."""

    name: str
    known: Collection[str] | Callable[[], Collection[str]]
    instead: str | None = None

    def text(self, suggestions: Suggestions) -> str | None:
        """The hint in words."""
        if suggestions.left <= 0 and self.instead is not None:
            return self.instead
        known = self.known() if callable(self.known) else self.known
        found = suggestions.nearest(self.name, known)
        if found is not None:
            return f"{DID_YOU_MEAN}{found!r}?"
        if self.instead is None and 0 < len(known) <= 8:
            return f"there {'is' if len(known) == 1 else 'are'} {', '.join(map(repr, known))}"
        return self.instead


class Finding(Struct, frozen=True):
    """What a check found, without its position. `severity` where it is not the code's usual one."""

    code: str
    message: str
    hint: str | Near | None = None
    severity: Severity | None = None


class Origin:
    """A document that a part of a workflow comes from, and the path of the spec in it."""

    __slots__ = ("_above", "_uncertain", "base", "document", "repaired")

    def __init__(self, document: LoadedDocument, base: Path) -> None:
        self.document = document
        self.base = base
        self.repaired = document.repaired
        self._uncertain = {list_ for path in self.repaired for list_ in _lists_above(path)} | document.incomplete
        self._above = {path[:end] for path in self._uncertain for end in range(len(path) + 1)}

    @property
    def whole(self) -> bool:
        """The document is as its author wrote it."""
        return not self.repaired and not self._uncertain and not self.document.places.faulty

    def touched(self, path: Path) -> bool:
        """Whether anything at or below `path` is not as the author wrote it."""
        return path in self._above

    def suppressed(self, path: Path) -> bool:
        """Whether what stands at `path` is not as the author wrote it."""
        return bool(self.repaired) and any(path[:end] in self.repaired for end in range(len(path) + 1))

    def uncertain(self, path: Path) -> bool:
        """Whether the list at `path` may lack an entry: a name that is not in it proves nothing."""
        if not self._uncertain:
            return False
        return path in self._uncertain or path[:-1] in self._uncertain or self.suppressed(path)


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
    """All findings of one compilation; beyond `MOST` of a severity they are counted and not worked out."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, str, Path, str], Diagnostic] = {}
        self._count: dict[Severity, int] = {"error": 0, "warning": 0}
        self._untold = 0
        self.suggestions = Suggestions()
        self.failed = False

    def add(self, origin: Origin, path: Path, fault: Finding, offset: int | None = None) -> None:
        """Report `fault` at `path` of the document of `origin`; `offset` counts characters of the text there."""
        key = (id(origin.document), fault.code, path, fault.message)
        if key in self._found or origin.suppressed(path):
            return
        severity = fault.severity or CODES[fault.code].severity
        self.failed = self.failed or severity == "error"
        self._count[severity] += 1
        if self._count[severity] > MOST:
            self._untold += 1
            return
        hint = fault.hint.text(self.suggestions) if isinstance(fault.hint, Near) else fault.hint
        found = origin.document.report(fault.code, path, fault.message, hint, offset)
        self._found[key] = found if found.severity == severity else replace(found, severity=severity)

    def all(self) -> tuple[Diagnostic, ...]:
        """Everything found, by file and position; the last one says how many more there are."""
        found = sorted(self._found.values(), key=lambda d: (d.file, d.line, d.column, d.code, d.path, d.message))
        if self._untold:
            found[-1] = replace(found[-1], hint=more_of(self._untold))
        return tuple(found)
