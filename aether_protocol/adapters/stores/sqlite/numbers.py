"""Numbers of changes: they grow in the order of commits, whichever process commits, at the cost of no page of their own.

A connection reserves a block of numbers in a transaction that writes, by raising `feed.reserved` to the end of its block. It
takes numbers from the block only where `reserved` is still that end, compared under the write lock: then no other connection
has reserved one since, so none has written a change since, and the next number of the block is above all that were written. A
connection that finds another's end reserves a block above it. What was reserved in a transaction that failed is forgotten.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from aether_protocol.errors import PortError

BLOCK: Final = 1024  # a page more in one commit of so many; numbers stay below 2**53 for ages
_RESERVED: Final = "SELECT reserved FROM feed"
_RESERVE: Final = "UPDATE feed SET reserved = ?"
_RECORD: Final = "INSERT INTO changes (id, run, gone, namespace) VALUES (?, ?, ?, ?)"


class ChangeNumbers:
    """The numbers of one connection: `next` is free where it is at most `end`, and `end` is what the file has reserved."""

    __slots__ = ("end", "next")

    def __init__(self) -> None:
        self.next, self.end = 1, 0

    def take(self, execute: Callable[..., sqlite3.Cursor]) -> int:
        """Take the next number, inside of a transaction that writes."""
        reserved = self._reserved(execute)
        if reserved != self.end or self.next > self.end:
            self.next, self.end = reserved + 1, reserved + BLOCK
            execute(_RESERVE, (self.end,))
        number = self.next
        self.next = number + 1
        return number

    @staticmethod
    def _reserved(execute: Callable[..., sqlite3.Cursor]) -> int:
        row = execute(_RESERVED).fetchone()
        if row is None or type(row[0]) is not int:
            hint = "`aether db check` reports more; restore it from a backup"
            raise PortError("the numbers of changes are damaged in the store", hint=hint)
        number: int = row[0]
        return number

    def record(
        self, execute: Callable[..., sqlite3.Cursor], run: int, gone: str | None = None, namespace: str | None = None
    ) -> None:
        """Record a change of run number `run`, inside of the transaction that changes it; of one that is deleted, `gone` is the
        id and `namespace` that which it was of."""
        execute(_RECORD, (self.take(execute), run, gone, namespace))

    def forget(self) -> None:
        """Forget the block: the transaction that may have reserved it was not committed."""
        self.next, self.end = 1, 0
