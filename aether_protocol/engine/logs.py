"""Deliver the logs of tasks to observers, and into a durable store.

Law: what comes here is masked already, where the attempt runs (DATA-12). What waits to be stored is bounded: of a flood the
oldest part goes, and a note says so. An observer that raises, or a store that fails, is reported and harms no run.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.observers import Observers
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.broker import LogPart
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.store import LogLine, LogStore
from aether_protocol.ports.store.logs import LOSS, NOTE
from aether_protocol.ports.wire import bytes_of
from aether_protocol.scheduler.nodes import HookNode, Node, TaskNode
from aether_protocol.scheduler.outstanding import goes_on
from aether_protocol.scheduler.transitions import RUNNING
from aether_protocol.views.report import hook_name

LINE: Final = 8_192  # characters; pieces that follow each other are put together up to here
FULL: Final = 65_536  # characters that are not left waiting
FLOOD: Final = 4_194_304  # characters that may wait at all
WAIT_US: Final = 500_000  # how long a piece waits for others
WAITED_US: Final = 50_000  # the same, where a worker waits for the acknowledgement

_log = logging.getLogger("aether_protocol")


class LogRecord(Struct):
    """A piece of a task's log, masked. `path` of a hook's run is its name (`workflow:onExit`), `stream` is stdout, stderr or
    note, `at` is in microseconds since the epoch."""

    run_id: str
    node: int
    path: str
    attempt: int
    stream: str
    text: str
    at: int


def path_of(node: Node) -> str:
    """Under which name the logs of a node are kept."""
    return hook_name(node) if isinstance(node, HookNode) else node.path


LogObserver = Callable[[LogRecord], None]


class Logs:
    """Takes pieces of logs, hands them to `observers`, and gives them to `store` in batches.

    `due`: `save` is to be called before long; `wake` wakes the loop for that. `errors` receives what cannot be stored.
    """

    def __init__(self, clock: Clock, store: LogStore | None, wake: Callable[[], None], errors: Observers) -> None:
        self.observers: list[LogObserver] = []
        self.drops: list[Callable[[int], None]] = []  # called with how many bytes were not stored
        self.losses: list[Callable[[frozenset[int]], None]] = []  # called with the deliveries of which pieces were lost
        self.pending: list[LogLine] = []
        self.due = False
        self._clock = clock
        self._store = store
        self._wake = wake
        self.saving = 0  # calls of `save` that are not through
        self._lock = asyncio.Lock()
        self._errors = errors
        self._size = 0
        self._parts: list[LogPart] = []  # of the pieces that wait
        self._alarm: TimerHandle | None = None

    @property
    def wanted(self) -> bool:
        """Whether anybody looks at logs at all."""
        return self._store is not None or bool(self.observers)

    def take(
        self, run: ActiveRun, node: int, attempt: int, stream: str, text: str, *, part: LogPart | None = None, offset: int = 0
    ) -> None:
        """Take a piece of a log, masked already. `part`, `offset`: as in `ports.broker.ResultSink.logged`."""
        record = self._tell(run, node, attempt, stream, text)
        if part is not None and (record is None or self._store is None):
            part.stored()
        elif record is not None and self._store is not None:
            self.keep(record, part, offset)

    def mark_loss(self, run: ActiveRun, node: TaskNode) -> None:
        """Tell what an attempt wrote that is lost from what it writes when it begins again (RT-159)."""
        if node.phase is RUNNING and not goes_on(node):  # else it wrote nothing, or does what is left
            self.take(run, node.id, node.attempt, NOTE, LOSS)

    def keep_in(self, store: LogStore) -> None:
        """Keep what comes from now on in this store."""
        self._store = store

    async def save(self) -> None:
        """Store what waits. One call after the other: nothing is stored while it may be behind a piece that is lost."""
        self.saving += 1
        try:
            async with self._lock:
                await self._save()
        finally:
            self.saving -= 1

    async def _save(self) -> None:
        self.due = False
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if not self.pending or self._store is None:
            return
        lines, self.pending, self._size = self.pending, [], 0
        parts, self._parts = self._parts, []
        try:
            await self._store.write(lines)
        except asyncio.CancelledError:  # the engine closes: what is stored last begins with these, not behind them
            self.pending[:0], self._parts[:0] = lines, parts
            self._size = sum(len(line.text) for line in self.pending)
            raise
        except (PortError, BusyError) as error:
            _log.warning("%d pieces of logs could not be stored: %s", len(lines), error.message)
            # Of deliveries all comes again, and in order: what came meanwhile is not stored before what was lost.
            lines += [line for line in self.pending if line.delivery]
            parts += self._parts
            self.pending, self._parts = [line for line in self.pending if not line.delivery], []
            self._size = sum(len(line.text) for line in self.pending)
            self._dropped(line for line in lines if not line.delivery)
            for part in parts:
                part.lost()
            for lose in self.losses:
                lose(frozenset(part.delivery for part in parts))
            for run_id in dict.fromkeys(line.run_id for line in lines):
                self._errors.failed(error, "logs", run=run_id, severity="warning")
            return
        for part in parts:
            part.stored()

    def _tell(self, run: ActiveRun, node: int, attempt: int, stream: str, text: str) -> LogRecord | None:
        if not text or not 0 <= node < len(run.state.nodes):
            return None
        path = path_of(run.state.nodes[node])
        record = LogRecord(run_id=run.id, node=node, path=path, attempt=attempt, stream=stream, text=text, at=self._clock.now())
        for observer in self.observers:
            try:
                observer(record)
            except Exception:
                _log.exception("a log observer of run %s raised", run.id)
        return record

    def keep(self, record: LogRecord, part: LogPart | None, offset: int) -> None:
        """Store a piece before long; the store is there. `part`, `offset`: as in `ports.broker.ResultSink.logged`."""
        text = record.text
        last = self.pending[-1] if self.pending else None
        delivery, end = (0, 0) if part is None else (part.delivery, offset + part.size)
        if (
            last is not None
            and (last.node, last.attempt, last.stream, last.run_id, last.delivery)
            == (record.node, record.attempt, record.stream, record.run_id, delivery)
            and len(last.text) + len(text) <= LINE
            and (part is None or last.end_byte == offset)
        ):
            last.text += text
            last.end_byte = end
        else:
            self.pending.append(
                LogLine(
                    run_id=record.run_id,
                    node=record.node,
                    path=record.path,
                    attempt=record.attempt,
                    stream=record.stream,
                    text=text,
                    at=record.at,
                    delivery=delivery,
                    start_byte=0 if part is None else offset,
                    end_byte=end,
                )
            )
        if part is not None:
            self._parts.append(part)
        self._size += len(text)
        if self._size >= FULL:
            if self._size > FLOOD:
                self._shorten()
            if not self.due:
                self.due = True
                self._wake()
        elif self._alarm is None:
            wait = WAIT_US if part is None else WAITED_US
            self._alarm = self._clock.call_at(self._clock.now() + wait, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.due = True
        self._wake()

    def _shorten(self) -> None:
        """Drop the older half of what waits; each task run that lost some gets a note in its place."""
        gone: dict[tuple[str, int], tuple[LogLine, int]] = {}
        kept = 0
        while kept < len(self.pending) - 1 and self._size > FLOOD // 2:
            line = self.pending[kept]
            kept += 1
            self._size -= len(line.text)
            gone[line.run_id, line.node] = (line, gone.get((line.run_id, line.node), (line, 0))[1] + len(line.text))
        notes = [
            LogLine(
                run_id=line.run_id,
                node=line.node,
                path=line.path,
                attempt=line.attempt,
                stream=NOTE,
                text=f"{count} characters were dropped\n",
                at=line.at,
            )
            for line, count in gone.values()
        ]
        self._dropped(self.pending[:kept])
        self.pending = notes + self.pending[kept:]

    def _dropped(self, lines: Iterable[LogLine]) -> None:
        if not self.drops:
            return
        count = sum(bytes_of(line.text) for line in lines if line.stream != NOTE)
        for observer in self.drops:
            try:
                observer(count)
            except Exception:
                _log.exception("an observer of dropped logs raised")
