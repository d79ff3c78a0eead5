"""What a process writes: to a pipe that is read as it comes, or to a file that becomes an artifact.

Law: no value is ever cut (DATA-9): `Pipe.value` is all of it or None. Text for people is kept in whole lines, so that secrets
in it are seen whole by what masks it; it is cut by `results.shorten` and nowhere else.
"""

from __future__ import annotations

import asyncio
import codecs
import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

CHUNK: Final = 65_536  # bytes read at once, and the longest line part held back before it is logged
DRAIN_READS: Final = 16  # of `CHUNK`, a full pipe at its largest
TAIL: Final = 65_536  # characters of the last whole lines that are kept

OnText = Callable[[str], None]


class ChildStream(Protocol):
    """One of the two streams of a child."""

    closed: asyncio.Future[None]

    @property
    def write_fd(self) -> int:
        """The end that the child gets."""
        ...

    def value(self) -> str | None:
        """All that was written, or None where it is too much or was not kept."""
        ...

    def tail(self) -> str | None:
        """The last whole lines; None where the last line is too long to be kept."""
        ...

    def close_writer(self) -> None: ...
    def drain(self) -> None: ...


class Tail:
    """The last whole lines of a text that comes in pieces, at most `most` characters. A line that is longer is left out: the
    end of a line without its beginning could be the end of a secret."""

    def __init__(self, most: int = TAIL) -> None:
        self._most = most
        self._text = ""
        self._inside = False  # of a line that is too long
        self._cut = False

    def add(self, text: str) -> None:
        if self._inside:
            _, newline, text = text.partition("\n")
            if not newline:
                return
            self._inside = False
        self._text += text
        if len(self._text) > self._most:
            cut = self._text.find("\n", len(self._text) - self._most - 1) + 1
            self._inside = cut == 0
            self._text = self._text[cut:] if cut else ""
            self._cut = True

    def text(self) -> str | None:
        return None if self._cut and not self._text.strip() else self._text


class Pipe:
    """The reading end of one pipe: keeps up to `keep` bytes as the value, and passes all text on, line by line.

    `on_excess` is called when more than `most` bytes have come.
    """

    def __init__(
        self, on_text: OnText, keep: int, most: int | None = None, on_excess: Callable[[], None] = lambda: None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._most = most
        self._on_excess = on_excess
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._pending = ""  # an unfinished line: logged whole, so that a secret in it is seen whole
        self._keep = keep
        self._kept: bytearray | None = bytearray()
        self._tail = Tail()
        self.total = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._fd, self.write_fd = os.pipe()
        os.set_blocking(self._fd, False)
        self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        if data:
            self._take(data)
        else:
            self.close()

    def _take(self, data: bytes) -> None:
        self.total += len(data)
        if self._kept is not None:
            if self.total > self._keep:
                self._kept = None
            else:
                self._kept += data
        if self._most is not None and self.total > self._most:
            self._on_excess()
        self._pass_on(self._decoder.decode(data))

    def _pass_on(self, text: str) -> None:
        text = self._pending + text
        end = text.rfind("\n") + 1
        if end == 0 and len(text) >= CHUNK:
            end = len(text)
        self._pending = text[end:]
        if end:
            self._say(text[:end])

    def _say(self, text: str) -> None:
        self._tail.add(text)
        self._on_text(text)

    def drain(self) -> None:
        """Take what is there now without waiting for more, then close.

        It is bounded because a process that left the group may still be writing.
        """
        for _ in range(DRAIN_READS):
            before = self.total
            if not self.closed.done():
                self._readable()
            if self.total == before:
                break
        self.close()

    def close(self) -> None:
        if self.closed.done():
            return
        self.closed.set_result(None)
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
        self.close_writer()
        self._pending += self._decoder.decode(b"", final=True)
        if self._pending:
            self._say(self._pending)
            self._pending = ""

    def close_writer(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def value(self) -> str | None:
        return None if self._kept is None else self._kept.decode("utf-8", errors="replace")

    def tail(self) -> str | None:
        return self._tail.text()


class File:
    """A file that the child writes itself, whatever its size: an artifact to be. Nothing of it is logged."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        self.write_fd = os.open(path, flags, 0o600)
        self._fd = os.dup(self.write_fd)
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closed.set_result(None)  # nothing is to be waited for
        self._tail: str | None = ""

    def value(self) -> str | None:
        return None

    def tail(self) -> str | None:
        return self._tail

    def close_writer(self) -> None:
        if self.write_fd >= 0:
            os.close(self.write_fd)
            self.write_fd = -1

    def drain(self) -> None:
        self.close_writer()
        if self._fd < 0:
            return
        with contextlib.suppress(OSError):
            self._tail = self._read_tail()
        os.close(self._fd)
        self._fd = -1

    def _read_tail(self) -> str | None:
        start = max(0, os.fstat(self._fd).st_size - TAIL)
        data = os.pread(self._fd, TAIL, start)
        if start:
            data = data.partition(b"\n")[2]
        text = data.decode("utf-8", errors="replace")
        return None if start and not text.strip() else text
