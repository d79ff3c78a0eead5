"""A run's events, as a caller follows them: a run of this engine live, any other one from the store.

Law: each fact comes once and in order, from the first step that the store still has to the run's end; who watches from the
submission on sees all, whatever the store keeps. Records are made when they are fetched: a slow watcher costs memory for
steps, nothing else, and never holds the run up.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.recovery import Replay
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store, StoredRun
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.event_feed import EntryTexts, EventEntry, EventRecord

PAGE: Final = 200  # steps of the past that are fetched, and replayed, at a time: the loop is held up for a few milliseconds
LOOK_S: Final = 0.5  # between two looks at a run that another engine drives


class EventStream:
    """An async iterator of records; ends when the run is closed. Raises the run's error where it broke.

    `after` is the number of the last step that is known already: its records and those before it are not made. `texts` are
    shared by all who follow the run.
    """

    def __init__(self, after: int = 0, texts: EntryTexts | None = None) -> None:
        self._after = after
        self._texts = texts
        self._entries: deque[EventEntry] = deque()
        self._records: deque[EventRecord] = deque()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> EventRecord:
        if not self._records:
            entry = await self.next_entry()
            if entry is None:
                raise StopAsyncIteration
            self._records.extend(entry)
        return self._records.popleft()

    async def next_entry(self) -> EventEntry | None:
        """Give all records of the next step; None at the end."""
        while not self._entries:
            if not await self._more():
                await self.aclose()
                return None
        return self._entries.popleft()

    async def _more(self) -> bool:
        """Add entries, or wait for some; False at the end."""
        return False

    async def aclose(self) -> None:
        """Stop watching."""

    def _show(self, state: RunState, step: LogEntry) -> None:
        if step.seq > self._after and step.facts:
            self._entries.append(EventEntry(state, step, self._texts))


class LiveEvents(EventStream):
    """Of a run that this engine has: its past from the store, then each step as it is stored; without `follow` up to now."""

    def __init__(self, run: ActiveRun, store: Store, *, follow: bool = True, after: int = 0) -> None:
        run.texts = run.texts or EntryTexts()
        super().__init__(after, run.texts)
        self._follow = follow
        self._run = run
        self._store = store
        self._steps: deque[LogEntry] = deque()  # as they come, from now on
        self._begin = run.stored
        self._past: _Past | None = None
        self._waiting: asyncio.Future[None] | None = None
        run.streams.append(self._take)

    async def _more(self) -> bool:
        if self._begin:
            await self._fetch()
        elif self._steps:
            self._show(self._run.state, self._steps.popleft())
        elif self._run.over:
            if self._run.error is not None:
                await self.aclose()
                raise self._run.error
            return False
        elif not self._follow:
            return False
        else:
            await self._wait()
        return True

    def finish(self) -> None:
        """End after what has been stored by now."""
        self._follow = False
        self._wake()

    async def _fetch(self) -> None:
        """Show the next steps that the store has of the time before the watching began."""
        if self._past is None:
            self._past = await _Past.of(self._store, self._run)
        steps = await self._past.next()
        for step in steps:
            if step.seq <= self._begin:
                self._show(self._past.state, step)
        if not steps or steps[-1].seq >= self._begin:
            self._begin = 0

    async def _wait(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        self._run.waiters.append(self._waiting)
        try:
            await self._waiting
        finally:
            if self._waiting in self._run.waiters:
                self._run.waiters.remove(self._waiting)

    async def aclose(self) -> None:
        if self._take in self._run.streams:
            self._run.streams.remove(self._take)
            if not self._run.streams:
                self._run.texts = None

    def _take(self, step: LogEntry) -> None:
        self._steps.append(step)
        self._wake()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class StoredEvents(EventStream):
    """Of a run in the store, in whatever engine; with `follow` until it is closed, else until what there is now."""

    def __init__(self, store: Store, clock: Clock, run_id: str, *, follow: bool, after: int = 0) -> None:
        super().__init__(after)
        self._store = store
        self._clock = clock
        self._run_id = run_id
        self._follow = follow
        self._past: _Past | None = None

    async def _more(self) -> bool:
        if self._past is None:
            self._past = await _Past.of_stored(self._store, await self._store.runs.load(self._run_id))
        row = await self._store.runs.row(self._run_id)
        steps = await self._past.next()
        for step in steps:
            self._show(self._past.state, step)
        if steps:
            return True
        if row is None or row.closed or not self._follow:
            return False
        await self._clock.sleep(LOOK_S)
        return True


class _Past:
    """The recorded steps of a run, page by page. `state` is that after the last step given."""

    def __init__(self, store: Store, run_id: str, replay: Replay) -> None:
        self._store = store
        self._run_id = run_id
        self._replay = replay

    @property
    def state(self) -> RunState:
        return self._replay.state

    @classmethod
    async def of(cls, store: Store, run: ActiveRun) -> _Past:
        """From the first step on; nothing comes where the store did not keep it."""
        first = await store.runs.lines(run.id, 0, 1)
        if first and first[0][0] > 1:
            return await cls.of_stored(store, await store.runs.load(run.id))
        return cls(store, run.id, Replay(run.plan, run.state.header))

    @classmethod
    async def of_stored(cls, store: Store, stored: StoredRun) -> _Past:
        """From the first step on; where that is gone, from the snapshot on."""
        run_id = stored.row.run_id
        first = await store.runs.lines(run_id, 0, 1)
        whole = bool(first) and first[0][0] == 1
        return cls(store, run_id, Replay(stored.plan, stored.header, None if whole else stored.snapshot))

    async def next(self) -> list[LogEntry]:
        """The next steps; none: there are no more by now."""
        await asyncio.sleep(0)  # others have their turn, and readers of one run stay together, who share its texts
        lines = await self._store.runs.lines(self._run_id, self._replay.state.seq, PAGE)
        return [self._replay.apply(line) for _, line in lines]
