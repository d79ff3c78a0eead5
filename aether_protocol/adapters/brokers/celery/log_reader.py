"""Takes what attempts wrote out of the table, in order; it is forgotten there when the store has it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from functools import partial
from typing import Final

from aether_protocol.adapters.brokers.celery.table import AttemptTable, LogPiece, PieceName, RedisAwayError, cancel_all, ref_of
from aether_protocol.ports.broker import LogPart, ResultSink

_log = logging.getLogger("aether_protocol")

MOST_TAKEN: Final = 256  # pieces of a task run that are on their way into the store
RETRY_S: Final = 1.0
TRIES: Final = 60  # then what is never stored is dropped: its run may be deleted


class _Reader:
    """One log. `taken`: the pieces that lie in the table and are on their way into the store; `stored`: of how many of them the
    store has said that it has them, from the first one on; `round` counts how often all has come anew, `refused` how often
    in a row without anything stored."""

    def __init__(self) -> None:
        self.taken: deque[PieceName] = deque()
        self.stored = 0
        self.round = 0
        self.refused = 0
        self.again = asyncio.Event()

    def rewind(self, to: int = 0) -> None:
        """Take again what lies in the table behind the first pieces."""
        self.round += 1
        while len(self.taken) > to:
            self.taken.pop()


class LogReader:
    """Reads logs for one engine.

    Args:
        table: where they are.
    """

    def __init__(self, table: AttemptTable) -> None:
        self.sink: ResultSink
        self._table = table
        self._readers: dict[str, _Reader] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def read(self, task_run: str) -> None:
        """There may be something new of a task run."""
        reader = self._readers.get(task_run)
        if reader is None:
            reader = self._readers[task_run] = _Reader()
            task = asyncio.get_running_loop().create_task(self._read(task_run, reader), name="aether-celery-log")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        reader.again.set()

    async def close(self) -> None:
        """Read no more."""
        await cancel_all(self._tasks)

    async def _read(self, task_run: str, reader: _Reader) -> None:
        while True:
            reader.again.clear()
            try:
                if await self._step(task_run, reader):
                    continue
            except RedisAwayError:
                await asyncio.sleep(RETRY_S)
                reader.again.set()
            if not reader.taken and not reader.again.is_set():
                del self._readers[task_run]
                return
            await reader.again.wait()

    async def _step(self, task_run: str, reader: _Reader) -> bool:
        """Forget what is stored, and take what is new; False where there is nothing to be done."""
        if stored := reader.stored:
            if await self._table.trim(task_run, stored, reader.taken[0]):
                reader.stored -= stored
                for _ in range(stored):
                    reader.taken.popleft()
            else:
                reader.stored = 0
                reader.rewind()  # Redis was emptied: what lies there now is new
        room = MOST_TAKEN - len(reader.taken)
        pieces = await self._table.pieces(task_run, len(reader.taken), room) if room > 0 else []
        for piece in pieces:
            reader.taken.append(piece.name)
            self._give(task_run, reader, piece)
        return bool(pieces)

    def _give(self, task_run: str, reader: _Reader, piece: LogPiece) -> None:
        turn = reader.round
        part = LogPart(int(piece.token, 16), piece.size, partial(self._stored, reader, turn), partial(self._lost, reader, turn))
        ref = ref_of(task_run, piece.epoch, piece.attempt)
        self.sink.logged(ref, piece.stream, piece.text, piece.offset, part=part)

    @staticmethod
    def _stored(reader: _Reader, turn: int) -> None:
        if turn == reader.round:
            reader.stored += 1
            reader.refused = 0
            reader.again.set()

    @staticmethod
    def _lost(reader: _Reader, turn: int) -> None:
        """A piece was not stored: it comes again, with all that follows it."""
        if turn == reader.round:
            reader.refused += 1
            if reader.refused > TRIES:
                _log.warning("a log that was not stored %d times is dropped", TRIES)
                reader.round, reader.refused, reader.stored = reader.round + 1, 0, len(reader.taken)
            else:
                reader.rewind(reader.stored)
            asyncio.get_running_loop().call_later(RETRY_S, reader.again.set)
