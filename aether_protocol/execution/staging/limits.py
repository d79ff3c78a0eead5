"""How large an artifact may become, and the copying that keeps to it.

Law: sizes are counted on the bytes that really come, never taken from a header or a table of contents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from aether_protocol.errors import PortError

CHUNK: Final = 262_144  # bytes


class Reader(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Limits(Struct, frozen=True):
    """`size`: bytes of one artifact, unpacked or fetched; `count`: files, folders and links in one archive."""

    size: int = 8 * 1024**3
    count: int = 200_000


class Budget:
    """What is left of `limits` while one artifact is read."""

    __slots__ = ("_count", "_limits", "_size")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._size = limits.size
        self._count = limits.count

    def entry(self) -> None:
        """One more file, folder or link. Raises PortError."""
        self._count -= 1
        if self._count < 0:
            raise PortError(f"the artifact has more than {self._limits.count} entries")

    def take(self, size: int) -> None:
        """`size` more bytes. Raises PortError."""
        self._size -= size
        if self._size < 0:
            raise PortError(f"the artifact is larger than {self._limits.size} bytes")

    def copy(self, source: Reader, write: Callable[[bytes], object]) -> int:
        """Copy all of `source`; gives the number of bytes."""
        total = 0
        while chunk := source.read(CHUNK):
            self.take(len(chunk))
            write(chunk)
            total += len(chunk)
        return total
