"""TOML with positions: what tomllib reads, and where each key and each value stands.

tomllib tells no positions, and the parsers that do are slower or not kept. So the text is read twice: tomllib decides what it
means and whether it is TOML at all; then a scanner, which may rely on that, notes where keys and values begin.

Law: the scanner never decides what a text means. Its paths are those of the value: a text for a key, a number for an entry of
a list. It takes time in proportion to the text, which is at most `MAX_BYTES` long.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

from msgspec import Struct

from aether_protocol.expressions.values import Json

MAX_BYTES: Final = 262_144
MAX_PARTS: Final = 100  # of a dotted key; tomllib takes the square of their number

Path = tuple[str | int, ...]

_SPACE: Final = re.compile(r"(?:[ \t\n]|#[^\n]*)*")
_BLANK: Final = re.compile(r"[ \t]*")
_PART: Final = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*'""")
_TEXT: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"{1,2}(?!"))*+"{3,5}'
    r"|'''(?:[^']|'{1,2}(?!'))*+'{3,5}"
    r'|"(?:[^"\\\n]|\\.)*+"'
    r"|'[^'\n]*+'",
    re.DOTALL,
)
_BARE: Final = re.compile(r"[^,\]}#\n]*")
_WHERE: Final = re.compile(r" \(at (?:line (\d+), column (\d+)|end of document)\)$")
_QUOTE: Final = re.compile(r"""["'#]""")
_END_OF_KEY: Final = re.compile(r"[=,\[\]{}\n]")


class NotTomlError(Exception):
    """The text cannot be read. `line` and `column` from 1, 0 where that is not known."""

    def __init__(self, message: str, line: int = 0, column: int = 0, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.hint = hint


class TomlText(Struct, frozen=True):
    """What a text says. `keys` and `values` are the places (line, column) of keys and of their values, by path."""

    value: dict[str, Json]
    keys: dict[Path, tuple[int, int]]
    values: dict[Path, tuple[int, int]]


def read_toml(data: bytes) -> TomlText:
    """Read TOML with the places of its keys.

    Args:
        data: the whole file; a byte order mark is left out, lines may end in CR LF.

    Raises:
        NotTomlError: it is too long, not UTF-8, or not TOML.
    """
    if len(data) > MAX_BYTES:
        raise NotTomlError(f"the file has more than {MAX_BYTES} bytes")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        text = data.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8")
        place = before.count("\n") + 1, len(before) - before.rfind("\n")
        message = f"byte {data[error.start]:#04x} is not UTF-8"
        raise NotTomlError(message, *place, "save the file as UTF-8") from None
    scanner = _Scanner(text)
    value = _parsed(text, scanner)
    try:
        scanner.scan()
    except RecursionError:
        raise NotTomlError("the file is nested too deeply") from None
    return TomlText(value, scanner.keys, scanner.values)


def _parsed(text: str, scanner: _Scanner) -> dict[str, Json]:
    import tomllib  # only where there is a file

    if any(piece.count(".") >= MAX_PARTS for piece in _END_OF_KEY.split(_without_texts(text))):
        raise NotTomlError(f"a key has more than {MAX_PARTS} parts")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        at = _WHERE.search(message)
        line, column = scanner.place(len(text)) if at is None or at[1] is None else (int(at[1]), int(at[2]))
        fault = _WHERE.sub("", message)
        hint = "a key or a table stands twice" if "overwrite" in fault or "twice" in fault else None
        raise NotTomlError(f"not TOML: {fault[:1].lower()}{fault[1:]}", line, column, hint) from None
    except RecursionError:
        raise NotTomlError("the file is nested too deeply") from None


def _without_texts(text: str) -> str:
    """What is neither in quotes nor in a comment, as far as the quotes close."""
    left: list[str] = []
    at = 0
    while (quote := _QUOTE.search(text, at)) is not None:
        left.append(text[at : quote.start()])
        if quote[0] == "#":
            at = text.find("\n", quote.start())
            if at < 0:
                return "".join(left)
            continue
        match = _TEXT.match(text, quote.start())
        if match is None or (len(match[0]) == 2 and text.startswith(quote[0], match.end())):
            return "".join(left)  # it is never closed; tomllib reads no further either
        left.append("0")
        at = match.end()
    return "".join([*left, text[at:]])


class _Scanner:
    """Walks over a text that is TOML."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.keys: dict[Path, tuple[int, int]] = {}
        self.values: dict[Path, tuple[int, int]] = {}
        self._lines: list[int] | None = None
        self._entries: dict[Path, int] = {}  # of arrays of tables: the number of the last one

    def place(self, at: int) -> tuple[int, int]:
        """Line and column, from 1, of a character."""
        if self._lines is None:
            self._lines = [0, *(match.end() for match in re.finditer("\n", self.text))]
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def scan(self) -> None:
        table: Path = ()
        at = self._past(_SPACE, 0)
        while at < len(self.text):
            if self.text[at] == "[":
                table, at = self._header(at)
            else:
                at = self._pair(table, at)
            at = self._past(_SPACE, at)

    def _past(self, pattern: re.Pattern[str], at: int) -> int:
        match = pattern.match(self.text, at)
        return match.end() if match is not None else at

    def _header(self, at: int) -> tuple[Path, int]:
        several = self.text.startswith("[[", at)
        path: Path = ()
        parts, at = self._key(at + 1 + several)
        for number, (part, place) in enumerate(parts, 1):
            path = (*path, part)
            if number == len(parts) and several:
                self._entries[path] = self._entries.get(path, -1) + 1
            self._note(path, place)
            if path in self._entries:
                path = (*path, self._entries[path])
                self._note(path, place)
        return path, self._past(_BLANK, at) + 1 + several

    def _note(self, path: Path, place: int) -> None:
        if path not in self.keys:
            self.keys[path] = self.values[path] = self.place(place)

    def _key(self, at: int) -> tuple[list[tuple[str, int]], int]:
        """The parts of a dotted key with their places, and where it ends."""
        parts: list[tuple[str, int]] = []
        while True:
            at = self._past(_BLANK, at)
            match = _PART.match(self.text, at)
            assert match is not None  # it is TOML
            parts.append((_unquoted(match[0]), at))
            at = self._past(_BLANK, match.end())
            if not self.text.startswith(".", at):
                return parts, at
            at += 1

    def _pair(self, table: Path, at: int) -> int:
        path = table
        parts, at = self._key(at)
        for part, place in parts:
            path = (*path, part)
            self._note(path, place)
        at = self._past(_BLANK, at + 1)  # past the sign
        self.values[path] = self.place(at)
        return self._value(path, at)

    def _value(self, path: Path, at: int) -> int:
        """Where a value ends; what is in it is noted."""
        first = self.text[at]
        if first not in "[{":
            match = _TEXT.match(self.text, at) or _BARE.match(self.text, at)
            assert match is not None
            return match.end()
        number = 0
        at = self._past(_SPACE, at + 1)
        while self.text[at] not in "]}":
            if first == "{":
                at = self._pair(path, at)
            else:
                self.keys[(*path, number)] = self.values[(*path, number)] = self.place(at)
                at = self._value((*path, number), at)
                number += 1
            at = self._past(_SPACE, at)
            if self.text[at] == ",":
                at = self._past(_SPACE, at + 1)
        return at + 1


def _unquoted(part: str) -> str:
    if part[0] == "'":
        return part[1:-1]
    if part[0] == '"':
        if "\\" not in part:
            return part[1:-1]
        import tomllib

        text: str = tomllib.loads(f"key = {part}")["key"]
        return text
    return part
