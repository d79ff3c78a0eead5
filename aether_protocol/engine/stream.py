"""A run's events, as somebody watches them.

Law: each fact comes once and in order, from the first step that the store still has to the run's end; who watches from the
submission on sees all, whatever the store keeps. Records are made when they are fetched: a slow watcher costs memory for
steps, nothing else, and never holds the run up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aether_protocol.engine.records import EventRecord, step_records
from aether_protocol.engine.runs import ActiveRun
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunStore
from aether_protocol.scheduler.codec import decode_step
from aether_protocol.scheduler.commands import Step

_PAGE: Final = 1_000  # steps of the past that are fetched at a time


class EventStream:
    """An async iterator of records; ends when the run is closed. Raises the run's error where it broke."""

    def __init__(self, run: ActiveRun, store: RunStore) -> None:
        self._run = run
        self._store = store
        self._steps: deque[Step] = deque()  # as they come, from now on
        self._seen = 0
        self._past = True  # the store may have steps that were not shown yet
        self._begin = run.stored
        self._records: deque[EventRecord] = deque()
        self._waiting: asyncio.Future[None] | None = None
        run.streams.append(self._take)

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> EventRecord:
        while not self._records:
            if self._past and self._seen < self._begin:
                await self._fetch()
            elif self._steps:
                step = self._steps.popleft()
                if step.seq > self._seen:  # else it came with the past
                    self._show(step)
            elif self._run.over:
                self._leave()
                if self._run.error is not None:
                    raise self._run.error
                raise StopAsyncIteration
            else:
                self._waiting = asyncio.get_running_loop().create_future()
                self._run.waiters.append(self._waiting)
                try:
                    await self._waiting
                finally:
                    if self._waiting in self._run.waiters:
                        self._run.waiters.remove(self._waiting)
        return self._records.popleft()

    async def _fetch(self) -> None:
        """Show the next steps that the store has of the time before the watching began."""
        lines = await self._store.lines(self._run.id, self._seen, _PAGE)
        for _, line in lines:
            self._show(decode_step(line, self._output))
        self._past = bool(lines)

    def _show(self, step: Step) -> None:
        self._seen = step.seq
        self._records.extend(step_records(self._run.state, step))

    def _output(self, node: int, name: str) -> Json:
        return self._run.state.nodes[node].outputs[name]

    async def aclose(self) -> None:
        """Stop watching."""
        self._leave()

    def _leave(self) -> None:
        if self._take in self._run.streams:
            self._run.streams.remove(self._take)

    def _take(self, step: Step) -> None:
        self._steps.append(step)
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)
