"""Keeps logs whose run this engine does not drive: it has ended, it sleeps, or it is not recovered yet.

Law: pieces of one run are stored in the order in which they came. What cannot be looked up now is left, and comes again
(RT-133); of a run that the store does not have, nothing is wanted.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from msgspec import Struct

from aether_protocol.engine.logs import FLOOD, LogRecord, Logs, path_of
from aether_protocol.engine.recovery import load_state
from aether_protocol.errors import BusyError, NotFoundError, PortError
from aether_protocol.ports.broker import LogPart
from aether_protocol.ports.store import Store
from aether_protocol.ports.wire import AttemptRef

_KNOWN: Final = 1_000  # task runs whose place in their run is remembered


class _LatePiece(Struct, gc=False):
    ref: AttemptRef
    stream: str
    text: str
    offset: int
    part: LogPart


class LateLogs:
    """Looks up in the store, beside the loop, to which task run a log belongs.

    Args:
        store: where runs are.
        logs: takes what was looked up.
        now: the time that is written beside a line.
    """

    def __init__(self, store: Store, logs: Logs, now: Callable[[], int]) -> None:
        self._store = store
        self._logs = logs
        self._now = now
        self._waiting: dict[str, list[_LatePiece]] = {}  # by run, while it is looked up
        self._size = 0  # characters that wait
        self._known: OrderedDict[AttemptRef, tuple[int, str]] = OrderedDict()  # node and path
        self._asking: set[asyncio.Task[None]] = set()

    def holds(self, run_id: str) -> bool:
        """Whether pieces of this run wait: what comes now comes after them."""
        return run_id in self._waiting

    def take(self, ref: AttemptRef, stream: str, text: str, offset: int, part: LogPart) -> None:
        """Take a piece of a log of a worker."""
        if not self._store.durable:
            part.stored()
            return
        piece = _LatePiece(ref, stream, text, offset, part)
        waiting = self._waiting.get(ref.run_id)
        if waiting is None and ref in self._known:
            self._keep(piece)
        elif self._size > FLOOD:
            part.lost()
        else:
            self._size += len(text)
            if waiting is not None:
                waiting.append(piece)
                return
            self._waiting[ref.run_id] = [piece]
            task = asyncio.get_running_loop().create_task(self._look_up(ref.run_id), name="aether-late-logs")
            self._asking.add(task)
            task.add_done_callback(self._asking.discard)

    def close(self) -> None:
        """Leave what the store has not answered yet."""
        for task in self._asking:
            task.cancel()

    async def _look_up(self, run_id: str) -> None:
        unknown = False
        try:
            state = await load_state(self._store, run_id)
        except NotFoundError:
            unknown = True
        except (PortError, BusyError):
            pass
        else:
            for piece in self._waiting[run_id]:
                node = state.find(piece.ref.path)
                if node is not None:
                    self._known[piece.ref] = node.id, path_of(node)
        while len(self._known) > _KNOWN:
            self._known.popitem(last=False)
        for piece in self._waiting.pop(run_id):
            self._size -= len(piece.text)
            if unknown:
                piece.part.stored()
            elif piece.ref in self._known:
                self._keep(piece)
            else:
                piece.part.lost()

    def _keep(self, piece: _LatePiece) -> None:
        ref = piece.ref
        node, path = self._known[ref]
        record = LogRecord(ref.run_id, node, path, ref.attempt, piece.stream, piece.text, at=self._now())
        self._logs.keep(record, piece.part, piece.offset)
