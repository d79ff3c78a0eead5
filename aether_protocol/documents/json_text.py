"""JSON text to a tree, with places (DOC-1). YAML's parsers refuse some JSON (long keys, surrogate pairs in escapes).

Law: RFC 8259 exactly, one text per file, iteratively; limits and keys are checked in tree.py as for YAML.
"""

from __future__ import annotations

import re
from json import decoder
from typing import Final

from aether_protocol.documents.scalars import NotJsonError, integer, number
from aether_protocol.documents.source import DocumentLimits, Source
from aether_protocol.documents.tree import DocumentTree, TreeBuilder
from aether_protocol.expressions.values import Json

_TOKEN: Final = (
    r"[ \t\n\r]*(?:(?P<mark>[{}\[\],:])|(?P<text>\")|(?P<number>-?(?:0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?)"
    r"|(?P<word>true|false|null)|(?P<end>\Z))"
)
_WORDS: Final[dict[str, Json]] = {"true": True, "false": False, "null": None}

# What may come next. A value also means an opening bracket; `]` and `}` close only where the innermost container agrees.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _NEXT = range(6)
_EXPECTED: Final = ("a value", "a value or ']'", "a key in double quotes", "a key or '}'", "':'", "',' or a closing bracket")


class JsonSyntaxError(Exception):
    """The text breaks the grammar of JSON at the character with index `at`."""

    def __init__(self, at: int, reason: str) -> None:
        super().__init__(reason)
        self.at = at


def read_json(source: Source, limits: DocumentLimits) -> DocumentTree:
    """The value that `source` holds. Raises JsonSyntaxError, and StopReadingError where a limit is exceeded."""
    text, builder = source.text, TreeBuilder(source, limits)
    surrogates = "\\u" in text
    token = re.compile(_TOKEN).match
    state, inside, at = _VALUE, "", 0
    while True:
        match = token(text, at)
        if match is None:
            raise JsonSyntaxError(_skip(text, at), f"expected {_EXPECTED[state]}")
        kind, at = match.lastgroup, match.end()
        if kind == "text":
            start = at - 1
            if state > _KEY_OR_END:
                raise JsonSyntaxError(start, f"expected {_EXPECTED[state]}")
            value, at = _string(text, at)
            if surrogates and not value.isascii() and _lone(value):
                source.fault("AE110", start, "half of a surrogate pair", "write both halves, or the character itself")
                builder.faulty(start)
            else:
                builder.scalar(value, start)
            state = _COLON if state >= _KEY else _NEXT
        elif kind == "mark":
            state, inside = _mark(match["mark"], state, inside, builder, at - 1)
        elif kind == "end":
            if state != _NEXT or inside:
                raise JsonSyntaxError(at, f"expected {_EXPECTED[state]}, found the end of the file")
            return builder.finish()
        else:
            if state > _VALUE_OR_END:
                raise JsonSyntaxError(match.start(kind or 0), f"expected {_EXPECTED[state]}")
            _literal(match, source, builder)
            state = _NEXT


def _mark(mark: str, state: int, inside: str, builder: TreeBuilder, at: int) -> tuple[int, str]:
    """The state after a bracket, comma or colon, and the open brackets."""
    if mark in "{[" and state <= _VALUE_OR_END:
        builder.open({} if mark == "{" else [], at)
        return (_KEY_OR_END if mark == "{" else _VALUE_OR_END), inside + mark
    if mark == ":" and state == _COLON:
        return _VALUE, inside
    innermost = inside[-1:]
    if mark == "," and state == _NEXT and innermost:
        return (_KEY if innermost == "{" else _VALUE), inside
    if (mark == "}" and innermost == "{" and state in (_NEXT, _KEY_OR_END)) or (
        mark == "]" and innermost == "[" and state in (_NEXT, _VALUE_OR_END)
    ):
        builder.close()
        return _NEXT, inside[:-1]
    raise JsonSyntaxError(at, f"expected {_EXPECTED[state]}")


def _literal(match: re.Match[str], source: Source, builder: TreeBuilder) -> None:
    """A number or one of the three words."""
    if word := match["word"]:
        builder.scalar(_WORDS[word], match.start("word"))
        return
    text, at = match["number"], match.start("number")
    try:
        builder.scalar(integer(text) if match[4] is match[5] is None else number(text), at)
    except NotJsonError as error:
        source.fault("AE110", at, str(error), "put it in quotes if it is meant as text")
        builder.faulty(at)


def _string(text: str, at: int) -> tuple[str, int]:
    try:
        value, end = decoder.scanstring(text, at, True)  # type: ignore[attr-defined]  # typeshed leaves it out
    except ValueError as error:
        raise JsonSyntaxError(getattr(error, "pos", at), str(getattr(error, "msg", error)).lower()) from None
    return value, end


def _lone(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return True
    return False


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\n\r":
        at += 1
    return at
