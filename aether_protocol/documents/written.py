"""The text of one document of a file, as its author wrote it: to be kept by itself.

Law: what is given reads back as the same document. Comments and layout stay; what stands in other documents of the file has no
influence.
"""

from __future__ import annotations

import json
import re
from typing import Final

from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import Limits

# Where a document begins or ends: these stand at the left margin and nowhere inside of a document (YAML 1.2, 9.1.2).
_MARK: Final = re.compile(r"(?:\A|(?<=[\r\n]))(---|\.\.\.)(?=[ \t\r\n]|\Z)")
_BARE_START: Final = re.compile(r"\A---[ \t]*(?:\r\n?|\n)")
_BLANK_LINES: Final = re.compile(r"\A(?:[ \t]*(?:\r\n?|\n))+")
_LINE_END: Final = re.compile(r"\r\n?|\n|\Z")
_UNLIMITED: Final = Limits(1 << 62, 1 << 62, 1 << 30)  # it was read once already


def document_text(document: LoadedDocument) -> str:
    """The text of `document`; JSON where it never was text."""
    raw = _cut(document.source.text, document.places.at) if document.source.positions else ""
    body = _BARE_START.sub("", _BLANK_LINES.sub("", raw))
    body = _BLANK_LINES.sub("", body)
    for text in (body.rstrip() + "\n", body, raw):
        if _reads_as(text, document):
            return text
    return json.dumps(document.tree, indent=2, ensure_ascii=False) + "\n"


def _cut(text: str, at: int) -> str:
    """The document of a stream that has the character with index `at`, with the comments above it."""
    start = 0
    for mark in _MARK.finditer(text):
        if mark.start() > at:
            return text[start : mark.start()]
        if mark[1] == "...":
            start = _next_line(text, mark.end())
        elif text[start : mark.start()].strip() and not _only_above(text[start : mark.start()]):
            start = mark.start()
    return text[start:]


def _only_above(text: str) -> bool:
    """Whether these lines are comments and directives, which belong to the document that begins after them."""
    return all(not line.strip() or line.lstrip(" \t").startswith("#") or line.startswith("%") for line in text.splitlines())


def _next_line(text: str, at: int) -> int:
    end = _LINE_END.search(text, at)
    return end.end() if end is not None else len(text)


def _reads_as(text: str, document: LoadedDocument) -> bool:
    source, trees = parse(text.encode("utf-8", "surrogatepass"), document.file, _UNLIMITED)
    return not source.faults and len(trees) == 1 and bool(trees[0].root == document.tree)
