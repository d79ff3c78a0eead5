"""Keeps logs whose run this engine does not drive: it has ended, it sleeps, it is not recovered yet, or it is another engine's.

Law: pieces of one run are stored in the order in which they came. What cannot be looked up now is left, and comes again
(RT-133), and so is what would be stored behind a lost piece of its delivery; of a run or a task run that the store does not
have, nothing is wanted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Container
from typing import Final

from msgspec import Struct

from aether_protocol.engine.logs import FLOOD, LogRecord, Logs, path_of
from aether_protocol.engine.recovery import rebuild
from aether_protocol.errors import BusyError, NotFoundError, PortError
from aether_protocol.ports.broker import LogPart
from aether_protocol.ports.store import STATE_ACTION_LOG, Store
from aether_protocol.ports.wire import AttemptRef

_KNOWN: Final = 1_000  # task runs whose place in their run is remembered
_SMALL: Final = 300  # task runs of which a state is rebuilt within a few milliseconds

_log = logging.getLogger("aether_protocol")


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
        logs.losses.append(self._lose)

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

    def _lose(self, deliveries: Container[int]) -> None:
        """What waits of these deliveries has to come again: something before it could not be stored."""
        for run_id, waiting in self._waiting.items():
            self._waiting[run_id] = [piece for piece in waiting if piece.part.delivery not in deliveries]
            for piece in waiting:
                if piece.part.delivery in deliveries:
                    self._size -= len(piece.text)
                    piece.part.lost()

    async def _look_up(self, run_id: str) -> None:
        unknown = False
        try:
            await self._find(run_id)
            unknown = self._store.tier == STATE_ACTION_LOG  # what is not known now: nothing was given out before it was stored
        except NotFoundError:
            unknown = True
        except (PortError, BusyError):
            pass
        except Exception:
            _log.exception("logs of run %s could not be looked up", run_id)
        finally:  # also where this server closes meanwhile
            for piece in self._waiting.pop(run_id):
                self._size -= len(piece.text)
                if piece.ref in self._known:
                    self._keep(piece)
                elif unknown:
                    piece.part.stored()
                else:
                    piece.part.lost()
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)

    async def _find(self, run_id: str) -> None:
        """Find the places of what waits of a run: beside the loop, where the run is large."""
        stored = await self._store.runs.load(run_id)
        is_small = stored.row.leaves_known <= _SMALL
        state = rebuild(stored) if is_small else await asyncio.to_thread(rebuild, stored)
        for piece in self._waiting[run_id]:
            node = state.find(piece.ref.path)
            if node is not None:
                self._known[piece.ref] = node.id, path_of(node)

    def _keep(self, piece: _LatePiece) -> None:
        ref = piece.ref
        node, path = self._known[ref]
        record = LogRecord(ref.run_id, node, path, ref.attempt, piece.stream, piece.text, at=self._now())
        self._logs.keep(record, piece.part, piece.offset)
