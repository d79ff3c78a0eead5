"""The texts of the documents of a file, as their author wrote them: each to be kept by itself.

Law: what is given reads back as the same document. Comments and layout stay; what stands in other documents of the file has no
influence.
"""

from __future__ import annotations

import json
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Final

from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import DocumentLimits
from aether_protocol.documents.spelling import restore_texts

# Where a document begins or ends: these stand at the left margin and nowhere inside of a document (YAML 1.2, 9.1.2).
_MARK: Final = re.compile(r"(?:\A|(?<=[\r\n]))(---|\.\.\.)(?=[ \t\r\n]|\Z)")
_BARE_START: Final = re.compile(r"\A---[ \t]*(?:\r\n?|\n)")
_BLANK_LINES: Final = re.compile(r"\A(?:[ \t]*(?:\r\n?|\n))+")
_LINE_END: Final = re.compile(r"\r\n?|\n|\Z")
_END: Final = re.compile(r"(?:\A|(?<=[\r\n]))\.\.\.[ \t]*(?:#[^\r\n]*)?[\r\n]*\Z")
_UNLIMITED: Final = DocumentLimits(1 << 62, 1 << 62, 1 << 30)  # it was read once already


def document_texts(documents: Iterable[LoadedDocument]) -> list[str]:
    """The text of each of `documents`; JSON where one never was text. The cost is linear in the size of their files."""
    starts: dict[int, list[int]] = {}
    texts = []
    for document in documents:
        source = document.source
        if id(source) not in starts:
            starts[id(source)] = list(_starts(source.text))
        texts.append(_text(document, starts[id(source)]))
    return texts


def _text(document: LoadedDocument, starts: list[int]) -> str:
    raw = ""
    if document.source.positions:
        index = bisect_right(starts, document.places.at)
        raw = document.source.text[starts[index - 1] : starts[index] if index < len(starts) else None]
    body = _END.sub("", _BLANK_LINES.sub("", _BARE_START.sub("", _BLANK_LINES.sub("", raw))))
    for text in (body.rstrip() + "\n", body, raw):
        if _reads_as(text, document):
            return text
    return json.dumps(document.tree, indent=2, ensure_ascii=False) + "\n"


def _starts(text: str) -> Iterator[int]:
    """Where the documents of a stream begin, with the comments above them."""
    start = 0
    yield start
    for mark in _MARK.finditer(text):
        if mark[1] == "...":
            end = _LINE_END.search(text, mark.end())
            start = end.end() if end is not None else len(text)
            yield start
        elif not _only_above(text[start : mark.start()]):
            start = mark.start()
            yield start


def _only_above(text: str) -> bool:
    """Whether these lines are comments and directives, which belong to the document that begins after them."""
    return all(not line.strip() or line.lstrip(" \t").startswith("#") or line.startswith("%") for line in text.splitlines())


def _reads_as(text: str, document: LoadedDocument) -> bool:
    source, trees = parse(text.encode("utf-8", "surrogatepass"), document.file, _UNLIMITED)
    if source.faults or len(trees) != 1:
        return False
    if trees[0].root != document.tree:
        restore_texts(trees[0])
    return bool(trees[0].root == document.tree)
