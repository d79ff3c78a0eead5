"""Files that are not documents, but that are given to commands for documents: each is named, with its own command.

Law: what may be a document (it has apiVersion or spec, or is nothing that is known here) is never taken for something else. Of
a file that is, one finding is reported, and nothing of its content.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct

from aether_protocol.expressions.values import Json

_DOCUMENT: Final = frozenset({"apiVersion", "spec"})


class OtherFile(Struct, frozen=True):
    """What a file is, and what to do with it; `{file}` in the hint stands for its name."""

    what: str
    hint: str


_BY_ENDING: Final = {
    ".toml": OtherFile("these are settings", "'aether config validate {file}' checks them"),
}
_BY_BEGINNING: Final = {
    b"SQLite format 3\x00": OtherFile("this is a store", "'aether ls --store sqlite:{file}' lists its runs"),
    b"PK\x03\x04": OtherFile("this is a ZIP archive", "unpack it: documents are YAML or JSON text"),
    b"\x1f\x8b": OtherFile("this is a gzip archive", "unpack it: documents are YAML or JSON text"),
}
_CASES: Final = OtherFile("this is a case file", "'aether test {file}' runs its cases")
_REPORT: Final = OtherFile("this is the report of a run", "name the document that the run was made from")


def _has(*keys: str) -> Callable[[Mapping[str, Json]], bool]:
    return lambda found: all(key in found for key in keys)


_BY_CONTENT: Final[tuple[tuple[Callable[[Mapping[str, Json]], bool], OtherFile], ...]] = (
    (_has("case"), _CASES),
    (
        lambda found: found.get("format") == "aether-run",
        OtherFile("this is an exported run", "'aether import {file}' puts it into a store"),
    ),
    (_has("runId", "phase", "tasks"), _REPORT),
    (
        _has("runId", "seq", "cause"),
        OtherFile("these are the events of a run", "name the document that the run was made from"),
    ),
    (_has("runs", "next"), OtherFile("this is a list of runs", "'aether show RUN' shows one of them")),
    (
        _has("valid", "diagnostics"),
        OtherFile("these are the findings of 'aether validate'", "name the document that was checked"),
    ),
)


def by_bytes(data: bytes, file: str) -> OtherFile | None:
    """Recognize a file that need not be read for that, by its name or its first bytes."""
    for ending, other in _BY_ENDING.items():
        if file.endswith(ending):
            return other
    return next((other for beginning, other in _BY_BEGINNING.items() if data.startswith(beginning)), None)


def by_content(root: Json) -> OtherFile | None:
    """Recognize a file by the keys of the first mapping in it."""
    if type(root) is not dict or _DOCUMENT & root.keys():
        return None
    return next((other for fits, other in _BY_CONTENT if fits(root)), None)
