"""Text with placeholders, cut into its parts (DATA-5, DATA-6).

Law: this file alone finds `{{name}}` in text. A text is cut once; what is put in for a name is never read again.
"""

from __future__ import annotations

import re
from functools import cache

from msgspec import Struct

from aether_protocol.expressions.names import NAME_PATTERN, ExpressionError, Name, build_name, segment_re


@cache  # many documents have none: compiled with the first one
def placeholder_re() -> re.Pattern[str]:
    """Match a placeholder; its name is group 1."""
    return re.compile(rf"\{{\{{\s*({NAME_PATTERN})\s*\}}\}}")


@cache
def _blanks() -> re.Pattern[str]:
    return re.compile(r"\s*")



class SplitText(Struct, frozen=True):
    """The parts of a text in order: literal strings (escapes resolved) and names, and the offset of each."""

    parts: tuple[str | Name, ...]
    offsets: tuple[int, ...]


def split_text(text: str, namespaces: frozenset[str]) -> SplitText:
    """Cut `text`. Placeholders whose root is not in `namespaces` stay text; `{{{{` is a literal `{{`.

    Raises ExpressionError, with the offset, for a malformed placeholder under a known namespace.
    """
    parts: list[str | Name] = []
    offsets: list[int] = []
    literal: list[str] = []
    start = position = 0

    def flush() -> None:
        if any(literal):
            parts.append("".join(literal))
            offsets.append(start)
        literal.clear()

    while (found := text.find("{{", position)) >= 0:
        literal.append(text[position:found])
        if text.startswith("{{{{", found):
            literal.append("{{")
            position = found + 4
            continue
        match = _known(text, found, namespaces)
        if match is None:
            literal.append("{")
            position = found + 1
            continue
        flush()
        parts.append(build_name(match.group(1)))
        offsets.append(found)
        start = position = match.end()
    literal.append(text[position:])
    flush()
    return SplitText(tuple(parts), tuple(offsets))


def _known(text: str, found: int, namespaces: frozenset[str]) -> re.Match[str] | None:
    """The placeholder at `found`, or None where its namespace is not known."""
    blanks = _blanks().match(text, found + 2)
    root = segment_re().match(text, blanks.end() if blanks else found + 2)
    if root is None or root.group() not in namespaces:
        return None
    match = placeholder_re().match(text, found)
    if match is None:
        end = text.find("}}", found)
        shown = text[found : end + 2] if 0 <= end < found + 60 else text[found : found + 60]
        raise ExpressionError(f"malformed placeholder {shown!r}; a literal {{{{ is written {{{{{{{{", found)
    return match
