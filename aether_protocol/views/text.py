"""Small pieces of text output.

Law: what comes from a document or a task is untrusted: no control character of it reaches a terminal.
"""

from __future__ import annotations

import json

from aether_protocol.expressions.values import Json


def printable(text: str) -> str:
    """`text` with control characters written as escapes; tabs and line ends stay."""
    if text.isprintable():
        return text
    return "".join(c if c in "\n\t" or c.isprintable() else _escaped(c) for c in text)


def one_line(text: str, width: int = 200) -> str:
    """`text` on one line of at most `width` characters."""
    if len(text) > 4 * width:
        text = text[: 4 * width]
    line = " ".join(printable(text).split())
    return line if len(line) <= width else line[: width - 1] + "…"


def cells(text: str) -> int:
    """How many columns of a terminal `text` takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # rarely needed, and not free

    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def cut(text: str, columns: int) -> str:
    """`text` in at most so many columns of a terminal."""
    if cells(text) <= columns:
        return text
    while text and cells(text) >= columns:
        text = text[:-1]
    return f"{text}…"


def fold(text: str, columns: int, most: int) -> list[str]:
    """`text` in lines of at most so many columns of a terminal, broken at blanks where there are some.

    Args:
        text: on one line.
        columns: at least 2.
        most: lines; where it takes more, the last one ends with an ellipsis.
    """
    words = [piece for word in printable(text).split() for piece in _pieces(word, columns)]
    lines: list[str] = []
    for word in words:
        if lines and cells(lines[-1]) + 1 + cells(word) <= columns:
            lines[-1] = f"{lines[-1]} {word}"
        else:
            lines.append(word)
    if len(lines) <= most:
        return lines or [""]
    last = lines[most - 1]
    return [*lines[: most - 1], f"{last}…" if cells(last) < columns else cut(f"{last} ", columns)]


def _pieces(word: str, columns: int) -> list[str]:
    """A word, and one that is too long in pieces; each ends behind a `.`, `-`, `_` or `/` where that is not too early."""
    found = []
    while cells(word) > columns:
        length = columns if word.isascii() else next(n for n in range(len(word), 0, -1) if cells(word[:n]) <= columns)
        near = max(word.rfind(mark, length // 3, length) for mark in "._-/") + 1
        found.append(word[: near or length])
        word = word[near or length :]
    return [*found, word]


def as_value(value: Json, width: int = 200) -> str:
    """A value as people read it: JSON on one line, cut at `width`."""
    return one_line(json.dumps(value, ensure_ascii=False), width)


def item_text(item: Json, width: int = 40) -> str:
    """An element of a loop as people tell it from the others: `windows`, `id=3 name=shard-03`."""
    if isinstance(item, str):
        return one_line(item, width)
    if isinstance(item, dict):
        plain = [(key, value) for key, value in item.items() if isinstance(value, str | int | float)]
        if plain:
            return one_line(" ".join(f"{key}={value}" for key, value in plain[:8]), width)
    return as_value(item, width)


def duration(seconds: float) -> str:
    """`0.04s`, `12.3s`, `2m05s`, `3h20m`."""
    if seconds < 10:
        return f"{seconds:.2f}s"
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{rest:02d}s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m"


def counted(number: int, noun: str) -> str:
    """`1 error`, `2 errors`, `2 retries`."""
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


def _escaped(char: str) -> str:
    return char.encode("unicode_escape", "backslashreplace").decode("ascii")
