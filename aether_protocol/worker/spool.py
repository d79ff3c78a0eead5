"""The logs of a worker on their way to its server: bounded in memory, bounded on disk behind that, bounded on the way.

Three parts, oldest first: the **head** in memory, from which pieces are sent; the **disk**, where there is more than the head
holds; the **tail**, what came since and is not on the disk yet. At most FLIGHT_BYTES of a delivery, and HEAD_BYTES of all, are
sent and not acknowledged; they are kept, and come again where they are not acknowledged.

Law: nothing here waits for the disk or the server. Where there is more than the bound, or the disk is full, the oldest goes
first, and a note stands in its place: no text goes in silence. The files have no name, so that they end with the process.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Iterable
from pathlib import Path
from typing import IO, Final, Literal

import msgspec
from msgspec import Struct

from aether_protocol.execution.private import make_private
from aether_protocol.ports.worker import LogReceipt, LogReport

_log = logging.getLogger("aether_protocol")

MOST_BYTES: Final = 64 * 2**20  # on disk
HEAD_BYTES: Final = 2**20  # of all deliveries, sent and not acknowledged or next to be sent
FLIGHT_BYTES: Final = 64 * 2**10  # of one delivery, sent and not acknowledged
TAIL_BYTES: Final = 4 * 2**20  # that wait for the disk
PIECE: Final = 8192  # characters
_SEGMENTS: Final = 16  # files on disk; the oldest goes as a whole
_BLOCK: Final = 2**18
_FAR: Final = (2**63, 0)

Name = tuple[str, Literal["stdout", "stderr"]]  # delivery, stream


class _Piece(Struct, array_like=True, gc=False):
    token: str
    stream: Literal["stdout", "stderr"]
    offset: int
    size: int
    text: str
    dropped: int = 0  # a note: how many bytes it stands for


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Piece)


class _Segment:
    """A file of pieces, written at its end and read from its start."""

    def __init__(self) -> None:
        self.file: IO[bytes] | None = None
        self.size = 0
        self.read_to = 0
        self.unread: dict[Name, tuple[int, int]] = {}  # what is in it and not read: first offset, bytes


class LogSpool:
    """Collects pieces of logs; `take` gives those to be sent.

    Args:
        filled: set when there is something to send.
        folder: where the files are; None: that of temporary files.
        most_bytes: how much is kept on disk.
    """

    def __init__(self, filled: asyncio.Event, folder: Path | None = None, most_bytes: int = MOST_BYTES) -> None:
        self._filled = filled
        self.flying = asyncio.Event()  # set while something was sent and is not acknowledged
        self._folder = folder
        self._most_bytes = most_bytes
        self._head: deque[_Piece] = deque()
        self._head_bytes = 0
        self._flight: dict[str, deque[_Piece]] = {}  # by delivery
        self._flight_bytes: dict[str, int] = {}
        self._segments: deque[_Segment] = deque()
        self._tail: deque[_Piece] = deque()
        self._tail_bytes = 0
        self._gaps: dict[Name, tuple[int, int]] = {}  # what was dropped: first offset, bytes
        self.dropped_bytes = 0  # that were not reported yet
        self._mover: asyncio.Task[None] | None = None
        self._warned = False

    # --- in ---------------------------------------------------------------------------------------------------------

    def add(self, log: LogReport) -> None:
        """Take in a piece."""
        offset = log.offset
        for start in range(0, len(log.text), PIECE):
            text = log.text[start : start + PIECE]
            piece = _Piece(log.token, log.stream, offset, len(text.encode("utf-8", "replace")), text)
            offset += piece.size
            if not self._tail and not self._segments and self._head_bytes < HEAD_BYTES:
                self._push(piece)
                continue
            self._tail.append(piece)
            self._tail_bytes += piece.size
            while self._tail_bytes > TAIL_BYTES:
                oldest = self._tail.popleft()
                self._tail_bytes -= oldest.size
                self._drop(oldest)
            self._move()

    def _push(self, piece: _Piece) -> None:
        self._head.append(piece)
        self._head_bytes += piece.size
        self._filled.set()

    # --- out --------------------------------------------------------------------------------------------------------

    def take(self) -> list[LogReport]:
        """Return what is to be sent now; it is kept until it is acknowledged."""
        out: list[LogReport] = []
        blocked: deque[_Piece] = deque()
        closed: set[str] = set()  # pieces of a delivery are sent in order
        for piece in self._head:
            flying = self._flight_bytes.get(piece.token, 0)
            if piece.token in closed or (flying and flying + piece.size > FLIGHT_BYTES):
                closed.add(piece.token)
                blocked.append(piece)
                continue
            if self._gaps and self._gaps.get((piece.token, piece.stream), _FAR)[0] <= piece.offset:
                out.append(self._note((piece.token, piece.stream)))
            out.append(self._send(piece))
        self._head = blocked
        out += [self._note(name) for name in list(self._gaps) if name[0] not in closed and not self._has_older(name)]
        return out

    def _has_older(self, name: Name) -> bool:
        """Whether text from before what was dropped is on disk: it goes first, or the server would take it for known."""
        first = self._gaps[name][0]
        unread = (segment.unread.get(name, (0, 0)) for segment in self._segments)
        return any(size and begin < first for begin, size in unread)

    def _send(self, piece: _Piece) -> LogReport:
        self._flight.setdefault(piece.token, deque()).append(piece)
        self._flight_bytes[piece.token] = self._flight_bytes.get(piece.token, 0) + piece.size
        self.flying.set()
        return LogReport(token=piece.token, stream=piece.stream, offset=piece.offset, text=piece.text)

    def oldest(self) -> dict[str, tuple[str, int]]:
        """Return the oldest piece that was sent and is not acknowledged, by delivery: its stream and offset."""
        return {token: (pieces[0].stream, pieces[0].offset) for token, pieces in self._flight.items()}

    def rewind(self) -> None:
        """Let all that was sent and is not acknowledged be sent again, before what came since."""
        if self._flight:
            self._head.extendleft(piece for pieces in reversed(self._flight.values()) for piece in reversed(pieces))
            self._flight, self._flight_bytes = {}, {}
            self.flying.clear()
            self._filled.set()

    def acknowledged(self, receipts: Iterable[LogReceipt]) -> None:
        """Forget what is stored."""
        for one in receipts:
            pieces = self._flight.get(one.token)
            if pieces is None:
                continue
            kept = deque(piece for piece in pieces if piece.stream != one.stream or piece.offset + piece.size > one.stored)
            gone = self._flight_bytes[one.token] - sum(piece.size for piece in kept)
            self._forget(one.token, kept, gone)
        self._go_on()

    def give_up(self, token: str) -> bool:
        """Drop what was sent of a delivery and is not acknowledged: the server does not take it, and nothing behind it before
        that comes again; so notes go in its place, as often as it takes. Returns whether text was dropped, not notes alone."""
        before = self.dropped_bytes
        for piece in self._flight[token]:
            self._drop(piece)
        self._forget(token, deque(), self._flight_bytes[token])
        self._go_on()
        return self.dropped_bytes > before

    def _go_on(self) -> None:
        if not self._flight:
            self.flying.clear()
        self._move()
        if self._head:
            self._filled.set()

    def _forget(self, token: str, kept: deque[_Piece], gone: int) -> None:
        self._head_bytes -= gone
        self._flight_bytes[token] -= gone
        if kept:
            self._flight[token] = kept
        else:
            del self._flight[token], self._flight_bytes[token]

    def unsent(self) -> set[str]:
        """Return the deliveries of which something was not sent yet."""
        found = {piece.token for pieces in (self._head, self._tail) for piece in pieces}
        found.update(token for segment in self._segments for (token, _), (_, size) in segment.unread.items() if size)
        return found

    def is_empty(self) -> bool:
        """Whether all that came is acknowledged, or dropped and noted."""
        return not (self._head or self._flight or self._segments or self._tail or self._gaps)

    def close(self) -> None:
        """Drop everything."""
        if self._mover is not None:
            self._mover.cancel()
        for segment in self._segments:
            if segment.file is not None:
                segment.file.close()
        self._segments.clear()

    # --- disk -------------------------------------------------------------------------------------------------------

    def _move(self) -> None:
        """Let pieces go on: from the tail to the disk, from the disk to the head."""
        if (self._tail or self._segments) and (self._mover is None or self._mover.done()):
            self._mover = asyncio.get_running_loop().create_task(self._move_all(), name="aether-log-spool")

    async def _move_all(self) -> None:
        while True:
            if self._segments and self._head_bytes < HEAD_BYTES:
                await self._read()
            elif self._tail and not self._segments and self._head_bytes < HEAD_BYTES:
                piece = self._tail.popleft()
                self._tail_bytes -= piece.size
                self._push(piece)
            elif self._tail:
                await self._write()
            else:
                return

    async def _write(self) -> None:
        batch, self._tail = list(self._tail), deque()
        self._tail_bytes = 0
        if not self._segments or self._segments[-1].size >= self._most_bytes // _SEGMENTS:
            self._segments.append(_Segment())
        segment = self._segments[-1]
        try:
            segment.size = await asyncio.to_thread(_append, segment, self._folder, batch)
        except OSError as fault:
            if not self._warned:
                self._warned = True
                _log.warning("logs cannot be kept on disk, and are dropped: %s", fault.strerror)
            for piece in batch:
                self._drop(piece)
            if not segment.size:
                self._segments.pop()
                if segment.file is not None:
                    segment.file.close()
            return
        for piece in batch:
            first, size = segment.unread.get((piece.token, piece.stream), (piece.offset, 0))
            segment.unread[piece.token, piece.stream] = first, size + piece.size
        while len(self._segments) > 1 and sum(one.size for one in self._segments) > self._most_bytes:
            self._drop_segment(self._segments.popleft())

    async def _read(self) -> None:
        segment = self._segments[0]
        pieces = await asyncio.to_thread(_next_of, segment)
        for piece in pieces:
            name = piece.token, piece.stream
            first, size = segment.unread[name]
            segment.unread[name] = first + piece.size, size - piece.size
            self._push(piece)
        if segment.read_to >= segment.size:
            self._segments.popleft()
            if segment.file is not None:
                segment.file.close()

    def _drop_segment(self, segment: _Segment) -> None:
        if segment.file is not None:
            segment.file.close()
        for name, (first, size) in segment.unread.items():
            if size:
                self.dropped_bytes += size
                self._gap(name, first, size)

    def _drop(self, piece: _Piece) -> None:
        self.dropped_bytes += 0 if piece.dropped else piece.size
        self._gap((piece.token, piece.stream), piece.offset, piece.dropped or piece.size)

    def _gap(self, name: Name, first: int, size: int) -> None:
        before = self._gaps.get(name)
        self._gaps[name] = (first, size) if before is None else (min(first, before[0]), before[1] + size)
        self._filled.set()

    def _note(self, name: Name) -> LogReport:
        """Say in place of text that was dropped how much it was: at its place in the stream, and never longer than it."""
        first, size = self._gaps.pop(name)
        text = f"[{size} bytes of the log were dropped]\n"[-size:]
        self._head_bytes += len(text)
        return self._send(_Piece(*name, first, len(text), text, size))


class _Wait(Struct, gc=False):
    """For the acknowledgement of the oldest piece of a delivery; `sent`: how often it was."""

    piece: tuple[str, int]
    since: int
    sent: int = 1


class LogPatience:
    """How long to wait for the acknowledgement of logs, by delivery: what is acknowledged of one says nothing of another.

    Args:
        resend_s: without progress for so long, what is not acknowledged is sent again.
        tries: how often in all; then it is dropped.
    """

    def __init__(self, resend_s: float, tries: int) -> None:
        self._resend_us = round(resend_s * 1_000_000)
        self._tries = tries
        self._waits: dict[str, _Wait] = {}  # by delivery

    def look(self, logs: LogSpool, now: int) -> None:
        """Send again, or drop, what was waited for long enough."""
        again = False
        for token, piece in logs.oldest().items():
            wait = self._waits.get(token)
            if wait is None or wait.piece != piece:
                wait = self._waits[token] = _Wait(piece, now)
            if now - wait.since >= self._resend_us:
                wait.since, wait.sent = now, wait.sent + 1
                again = again or wait.sent <= self._tries
                if wait.sent > self._tries and logs.give_up(token):
                    _log.warning("the server does not take a log that was sent %d times: it is dropped", self._tries)
        if again:
            logs.rewind()
        over = now - 2 * self._resend_us  # what was sent again is on its way by now, or was acknowledged
        self._waits = {token: one for token, one in self._waits.items() if one.since > over}


def _append(segment: _Segment, folder: Path | None, batch: list[_Piece]) -> int:
    """Write pieces behind the segment; gives its size. Raises OSError, and nothing of them is in it."""
    import tempfile  # here: most workers have no more logs than memory holds

    if segment.file is None:
        if folder is not None:
            make_private(folder)
        segment.file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115 - closed with its segment
    bodies = [_encoder.encode(piece) for piece in batch]
    data = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    segment.file.seek(segment.size)
    view = memoryview(data)
    while view:  # what is written of a batch that does not fit is written over by the next one
        view = view[segment.file.write(view) :]
    return segment.size + len(data)


def _next_of(segment: _Segment) -> list[_Piece]:
    """Read about a block of pieces."""
    assert segment.file is not None  # what has a size was written
    segment.file.seek(segment.read_to)
    pieces: list[_Piece] = []
    begun = segment.read_to
    while segment.read_to < segment.size and segment.read_to - begun < _BLOCK:
        size = int.from_bytes(segment.file.read(4), "big")
        pieces.append(_decoder.decode(segment.file.read(size)))
        segment.read_to += 4 + size
    return pieces
