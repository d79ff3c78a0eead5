"""What is reported to an engine of its attempts at a Celery fleet: starts, results, losses, and what has to be offered again.

Law: a result is reported once for each time that it is asked for, and lies in the table until it is recorded.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

import msgspec

from aether_protocol.adapters.brokers.celery.entries import Entries, Entry
from aether_protocol.adapters.brokers.celery.log_reader import LogReader
from aether_protocol.adapters.brokers.celery.publisher import Publisher
from aether_protocol.adapters.brokers.celery.table import AttemptTable, Event, RedisAwayError, cancel_all
from aether_protocol.expressions.json_copy import clean
from aether_protocol.ports.broker import ResultSink
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.wire import ERROR, AttemptRef, TaskResult
from aether_protocol.ports.wire_json import WireError, decode_result

RETRY_S: Final = 0.5
REFUSED_US: Final = 300_000_000  # then what no worker can begin is an Error
LONGEST_REFUSED_US: Final = 30_000_000
_BATCH: Final = 200
_decode: Final = msgspec.json.Decoder().decode


class EngineReports:
    """Reports to one engine.

    Args:
        table: the table of attempts.
        entries: those of the engine.
        publisher: sends messages of those that are offered again.
        clock: that of the engine.
    """

    def __init__(self, table: AttemptTable, entries: Entries, publisher: Publisher, clock: Clock) -> None:
        self._table = table
        self._entries = entries
        self._publisher = publisher
        self._clock = clock
        self.logs = LogReader(table)
        self._acknowledged: dict[str, str] = {}  # token by task run: results that are recorded, and lie in the table still
        self._acknowledging = asyncio.Event()
        self._dropping: set[asyncio.Task[None]] = set()
        self._sink: ResultSink

    def start(self, sink: ResultSink) -> None:
        """Report to `sink` from now on."""
        self._sink = self.logs.sink = sink

    async def close(self) -> None:
        """Report nothing any more."""
        await cancel_all(self._dropping)
        await self.logs.close()

    async def hear(self, events: Sequence[Event]) -> None:
        """Take in what came by the inbox. Raises RedisAwayError."""
        ended: list[str] = []
        for event in events:
            kind, task_run, *more = event
            name = str(task_run)
            if kind == "log":
                self.logs.read(name)
                continue
            entry = self._entries.get(name, str(more[0]))
            if entry is None:
                continue
            match kind:
                case "ended":
                    ended.append(name)
                case "started":
                    self._entries.turn(entry, "running")
                    entry.refusals = 0
                    self._sink.started(entry.ref)
                case "progress":
                    self._sink.heartbeat(entry.ref, _decode(str(more[1])))
                case "lost":
                    self.lose(entry, str(more[1]), bool(more[2]))
                case "returned":
                    self._return(entry, str(more[1]), refused=bool(more[2]))
                case "next":
                    self._entries.turn(entry, "waiting")
                    self._publisher.add(entry.message)
        await self.take_results(ended)

    async def take_results(self, task_runs: Sequence[str]) -> None:
        """Fetch the results of task runs, and report them. Raises RedisAwayError."""
        for start in range(0, len(task_runs), _BATCH):
            several = task_runs[start : start + _BATCH]
            rows = await self._table.fields(several, "token", "state", "result")
            for task_run, (token, state, body) in zip(several, rows, strict=True):
                entry = self._entries.get(task_run, (token or b"").decode())
                if entry is not None and state == b"ended" and body is not None and entry.state != "ended":
                    self._finish(entry, body)

    def _finish(self, entry: Entry, body: bytes) -> None:
        self._entries.turn(entry, "ended")
        try:
            result = decode_result(_decode(body))
        except (WireError, msgspec.DecodeError) as error:
            result = TaskResult(entry.ref, ERROR, clean(f"its worker gave what is not a result: {error}"))
        if result.ref != entry.ref:
            result = TaskResult(entry.ref, ERROR, "its worker gave the result of another attempt")
        self._sink.finished(result, partial(self._stored, entry.ref.task_run_id, entry.token))

    def _stored(self, task_run: str, token: str) -> None:
        """The result of a delivery is recorded."""
        self._acknowledged[task_run] = token
        if self._entries.get(task_run, token) is not None:
            self._entries.drop(task_run)
        self._acknowledging.set()

    async def acknowledge(self) -> None:
        """Say in the table what is recorded, until this is cancelled."""
        while True:
            await self._acknowledging.wait()
            self._acknowledging.clear()
            several = list(self._acknowledged.items())
            try:
                await self._table.run_all([("acknowledge", one) for one in several])
            except RedisAwayError:
                await asyncio.sleep(RETRY_S)
                self._acknowledging.set()
                continue
            for task_run, token in several:
                if self._acknowledged.get(task_run) == token:
                    del self._acknowledged[task_run]

    def lose(self, entry: Entry, reason: str, blamed: bool) -> None:
        """Report an attempt that gives no result."""
        self._entries.drop(entry.ref.task_run_id)
        self._sink.lost(entry.ref, clean(reason), blamed)

    def _return(self, entry: Entry, reason: str, *, refused: bool) -> None:
        """A worker gave an attempt back: another one may have it, at once or after a while."""
        self._entries.turn(entry, "waiting")
        if not refused:
            self._publisher.add(self._entries.again(entry))
            return
        now = self._clock.now()
        entry.refusals += 1
        entry.refused_since = entry.refused_since or now
        if now - entry.refused_since > REFUSED_US:
            self.give_up(entry, f"no worker can begin it: {reason}")
        else:
            entry.due = now + min(2**entry.refusals * 500_000, LONGEST_REFUSED_US)
            asyncio.get_running_loop().call_later((entry.due - now) / 1e6, self._publish_due, entry)

    def _publish_due(self, entry: Entry) -> None:
        if entry.due and self._entries.get(entry.ref.task_run_id, entry.token) is entry:
            self._publisher.add(self._entries.again(entry))

    def give_up(self, entry: Entry, reason: str) -> None:
        """Make an Error of an attempt that waits; a worker that begins it meanwhile is stopped."""
        ref = entry.ref
        self._entries.drop(ref.task_run_id)
        task = asyncio.get_running_loop().create_task(self._drop(ref), name="aether-celery-drop")
        self._dropping.add(task)
        task.add_done_callback(self._dropping.discard)
        self._sink.finished(TaskResult(ref, ERROR, clean(reason)))

    async def _drop(self, ref: AttemptRef) -> None:
        while True:
            try:
                await self._table.run_all([("stop", (ref.task_run_id, ref.epoch, ref.attempt))])
                return
            except RedisAwayError:
                await asyncio.sleep(RETRY_S)
