"""Texts on their way to a server and back: placeholders of statements, and the one character that PostgreSQL cannot hold."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

_PLACE: Final = re.compile(r"\?(\d*)")

# PostgreSQL holds no NUL in a text. It is written as two characters, and so is the one that stands for the escape.
_ESCAPE: Final = "\x1a"
_NUL: Final = "\x00"


@lru_cache(maxsize=1024)
def in_dollars(text: str) -> str:
    """Write `?` and `?N` as `$N`."""
    count = 0

    def dollar(found: re.Match[str]) -> str:
        nonlocal count
        count += 1
        return f"${found[1] or count}"

    return _PLACE.sub(dollar, text)


def to_server(text: str) -> str:
    """Write a text so that PostgreSQL can hold it; `to_text` reads it again."""
    if _NUL in text or _ESCAPE in text:
        return text.replace(_ESCAPE, _ESCAPE + "e").replace(_NUL, _ESCAPE + "0")
    return text


def to_text(held: str) -> str:
    """Read a text that `to_server` wrote."""
    if _ESCAPE in held:
        return held.replace(_ESCAPE + "0", _NUL).replace(_ESCAPE + "e", _ESCAPE)
    return held
