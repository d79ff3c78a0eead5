"""Bytes become text with positions, and the limits that hold from here on (DOC-1, DOC-6).

Law: a place is one number, the index of a character; line and column (both from 1) are worked out from it only when
a diagnostic needs them. Lines end as editors end them: LF, CR LF or CR.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from aether_protocol.diagnostics import CODES, Diagnostic
from aether_protocol.diagnostics.bounds import MOST as MOST_FAULTS


class DocumentLimits(Struct, frozen=True):
    """DOC-6: size of a file in bytes, number of values (aliases count in full) in it, depth of nesting."""

    bytes: int = 10 * 1024 * 1024
    nodes: int = 2_000_000
    nesting: int = 200


DEFAULT: Final = DocumentLimits()

_LINE_END: Final = r"\r\n?|\n"
# What may not stand in a document: all but tabs, line ends and printable text (a byte order mark is invisible). Two kinds of
# search, since one class of characters that reaches beyond Latin-1 takes 4 ms to compile.
_CONTROL: Final = "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]"
_INVISIBLE: Final = "\ufeff\ufffe\uffff"


class TooManyFaultsError(Exception):
    """The last fault was one too many; it was noted with the remark that there are more."""


class Source:
    """The text of a file, the places in it and the faults found so far. `where` tells the path that is being read (DOC-7)."""

    __slots__ = ("_lines", "faults", "file", "positions", "text", "where")

    def __init__(self, file: str, text: str, *, positions: bool = True) -> None:
        self.file = file
        self.text = text
        self.positions = positions
        self.faults: list[Diagnostic] = []
        self._lines: list[int] | None = None
        self.where: Callable[[], str] = str

    def position(self, at: int) -> tuple[int, int]:
        """Line and column, both from 1, of the character with index `at`; 0 and 0 where there is no text."""
        if not self.positions:
            return 0, 0
        if self._lines is None:
            self._lines = [0, *(match.end() for match in re.finditer(_LINE_END, self.text))]
        line = bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def fault(self, code: str, at: int, message: str, hint: str | None = None) -> None:
        """Note a fault of what is being read, at the character with index `at`. Raises TooManyFaultsError."""
        self.note(code, at, self.where(), message, hint)

    def note(self, code: str, at: int, path: str, message: str, hint: str | None) -> None:
        """Note a fault of what stands at `path`. Raises TooManyFaultsError."""
        line, column = self.position(at)
        last = len(self.faults) + 1 >= MOST_FAULTS
        if last:
            hint = f"there are more faults; only the first {MOST_FAULTS} are shown"
        self.faults.append(
            Diagnostic(
                file=self.file,
                line=line,
                column=column,
                code=code,
                severity=CODES[code].severity,
                message=message,
                path=path,
                hint=hint,
            )
        )
        if last:
            raise TooManyFaultsError


def open_source(data: bytes, file: str, limits: DocumentLimits) -> tuple[Source, bool]:
    """The text of `data`, and whether it can be read on: faults are noted in the source."""
    if len(data) > limits.bytes:
        source = Source(file, "")
        source.fault("AE104", 0, f"the file has more than {limits.bytes} bytes", "split it, or raise the limit")
        return source, False
    body = data.removeprefix(b"\xef\xbb\xbf")
    try:
        source = Source(file, body.decode("utf-8"))
    except UnicodeDecodeError as error:
        source = Source(file, body[: error.start].decode("utf-8"))
        message = f"byte {body[error.start]:#04x} is not UTF-8 ({error.reason})"
        source.fault("AE102", len(source.text), message, "save the file as UTF-8")
        return source, False
    if (at := _forbidden(source.text)) is not None:
        hint = "remove it, or write it as an escape in a quoted text"
        source.fault("AE102", at, f"character U+{ord(source.text[at]):04X} may not stand in a document", hint)
        return source, False
    return source, True


def _forbidden(text: str) -> int | None:
    """Where the first character stands that may not stand in a document."""
    match = re.search(_CONTROL, text)
    found = [match.start()] if match else []
    if not text.isascii():
        found += [at for mark in _INVISIBLE if (at := text.find(mark)) >= 0]
    return min(found, default=None)
