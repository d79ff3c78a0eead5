"""Passivation: a run that only waits is released and dropped from memory, and is woken in time (RT-124).

A run only waits where no attempt of it is dispatched, but such as do nothing but sleep, and nothing is on its way to it: what
continues it is an answer from outside, or an instant (a time limit, the pause before a retry, the end of a `sleep`). Once that
has lasted for the threshold, and the next instant is further away than the threshold too, its state and timers are dropped and
its lease is released; the store keeps until when it sleeps, so that any engine that passivates wakes it, also where this one is
no more. Attempts that sleep are released with their run, and do what is left of their time once it is recovered (RT-86). The
record is complete at that moment, on tier `snapshot` since the state is saved first: waking is a recovery like any other.

A passivated run is woken by the store's clock, by what is posted into its mailbox, and by what is asked of it here. This engine
sets an alarm for the run that is due next, and polls for what other processes ask. Runs that something in this process waits
for or watches stay in memory.

The loop passivates runs between two turns; a task of its own wakes them. `claiming` keeps the two apart: while runs are being
claimed none is released, and the loop never waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import takewhile
from typing import Final

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.clock import Sending
from aether_protocol.engine.inbox import Asked
from aether_protocol.engine.leases import BEAT_US, LeaseKeeper
from aether_protocol.engine.releases import LoopRuns, only_waits, whole
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.clock import Clock, TimerHandle
from aether_protocol.ports.store import RunQuery, Store
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.scheduler.nodes import TaskNode

WAKE_BATCH: Final = 128  # runs that are woken before others get a turn
EARLY_US: Final = 1_000_000  # so long before a `sleep` is through its run is woken: the attempt has to be dispatched once more

_NEXT: Final = RunQuery(asleep=True, limit=1)
_log = logging.getLogger("aether_protocol")

Recover = Callable[[str, int, Asked | None, Sending], Awaitable[object]]


class Passivation:
    """Passivates the runs of one engine, and wakes those of the store.

    `due`: the loop shall call `work` before it rests. `after_us` is the threshold. `woken` is called with
    the id of each run that was woken.
    """

    def __init__(self, store: Store, clock: Clock, keeper: LeaseKeeper, after_us: int, recover: Recover) -> None:
        self.due = False
        self.woken: list[Callable[[str], None]] = []
        self._loop: LoopRuns
        self._wake_loop: Callable[[], None] = lambda: None
        self._store = store
        self._clock = clock
        self._keeper = keeper
        self._after_us = after_us
        self._recover = recover
        self._waiting: dict[ActiveRun, int] = {}  # runs to which nothing has happened since that instant, the longest first
        self._watched: dict[ActiveRun, None] = {}  # runs that would be passivated if nothing here waited for them
        self._missed = False  # `work` was called while runs were being claimed
        self._unclear: dict[str, int | None] = {}  # runs whose release may have failed, and the instant at which each is due
        self._lock = asyncio.Lock()
        self._poked = asyncio.Event()
        self._calm = asyncio.Event()
        self._alarm: TimerHandle | None = None  # for `work`
        self._next: TimerHandle | None = None  # for the waking
        self._next_due = NEVER
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    def start(self, loop: LoopRuns, wake_loop: Callable[[], None]) -> None:
        """Wake what is due from now on."""
        self._loop, self._wake_loop = loop, wake_loop
        self._poked.set()
        self._task = asyncio.get_running_loop().create_task(self._serve(), name="aether-waking")

    async def close(self) -> None:
        """Wake no more. LoopRuns runs stay as they are in the store."""
        for alarm in (self._alarm, self._next):
            if alarm is not None:
                alarm.cancel()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    @property
    def busy(self) -> bool:
        """Whether runs are being woken, or are about to be."""
        return self._task is not None and not self._task.done() and not self._calm.is_set()

    async def quiet(self) -> None:
        """Return once they are."""
        if self.busy:
            await self._calm.wait()

    @asynccontextmanager
    async def claiming(self) -> AsyncIterator[None]:
        """Hold while runs are claimed and recovered: none is passivated meanwhile."""
        try:
            async with self._lock:
                yield
        finally:
            if self._missed:
                self._missed, self.due = False, True
                self._wake_loop()

    # --- passivating, in the loop ---

    def forget(self, run: ActiveRun) -> None:
        """The run is over."""
        self._waiting.pop(run, None)
        self._watched.pop(run, None)

    def touch(self, run: ActiveRun) -> None:
        """Note that something happened to the run."""
        self.forget(run)
        if not run.over:
            now = self._clock.now()
            self._waiting[run] = now
            if self._after_us == 0:
                self.due = True
            elif self._alarm is None:
                self._alarm = self._clock.call_at(now + self._after_us, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        self.due = True
        self._wake_loop()

    async def work(self) -> None:
        """Passivate what has only waited for long enough."""
        self.due = False
        if self._lock.locked():
            self._missed = True  # runs are being claimed: the loop is woken when that is done
            return
        async with self._lock:
            sleeps = await self._saved(self._chosen())
            if sleeps:
                for run in sleeps:
                    self._loop.drop(run, BusyError(f"run {run.id!r} was passivated"))
                await self._release({run.id: due for run, due in sleeps.items()})
        self._arm()

    def _arm(self) -> None:
        """Let the loop look again when the next run has waited for long enough, or one may not be watched any more."""
        first = next(iter(self._waiting.values()), None)
        dues = [first + self._after_us] if first is not None else []
        dues += [self._clock.now() + max(BEAT_US, self._after_us)] if self._watched else []
        if dues and self._alarm is None:
            self._alarm = self._clock.call_at(max(min(dues), self._clock.now() + 1), self._ring)

    def _chosen(self) -> dict[ActiveRun, int | None]:
        """The runs to passivate, each with the instant at which it is due."""
        now = self._clock.now()
        chosen: dict[ActiveRun, int | None] = {}
        expired = list(takewhile(lambda run: self._waiting[run] + self._after_us <= now, self._waiting))
        for run in [*expired, *self._watched]:
            self.forget(run)
            due = min([*run.timers.values(), *_wakings(run)], default=None)
            if not only_waits(run) or self._loop.is_concerned(run) or (due is not None and due - now <= self._after_us):
                continue  # what comes next touches it
            if due is not None and run.skew_us:
                continue  # its time is ahead of the clock: what passes while it sleeps would not be known (RT-87)
            if run.waiters or run.pause_waiters or run.streams:
                self._watched[run] = None
            else:
                chosen[run] = due
        return chosen

    async def _saved(self, chosen: dict[ActiveRun, int | None]) -> dict[ActiveRun, int | None]:
        """Save the states that the store does not have yet (tier `snapshot`). Gives the runs of which it has all."""
        unsaved = {run: snapshots for run in chosen if (snapshots := run.snapshots) and not snapshots.holds(run.state)}
        if not unsaved:
            return chosen
        try:
            refused = await self._store.runs.append([whole(run) for run in unsaved])
        except (PortError, BusyError) as error:
            _log.warning("runs could not be passivated yet: %s", error.message)
            refused = {run.id: error for run in unsaved}
        for run, snapshots in unsaved.items():
            if run.id not in refused:
                snapshots.count(run.state)
        now = self._clock.now()
        for run in unsaved:
            if run.id in refused:
                self._waiting[run] = now
        return {
            run: due
            for run, due in chosen.items()
            if run.id not in refused and run.error is None and not self._loop.is_concerned(run)
        }

    async def _release(self, runs: dict[str, int | None]) -> None:
        """Release runs, each with the instant at which it is due. Where that fails it is tried again with each beat."""
        now = self._clock.now()
        sleeps = {run_id: None if due is None else max(due - now, 0) for run_id, due in runs.items()}
        try:
            await self._store.leases.release(self._keeper.owner, [], sleeps)
        except (PortError, BusyError) as error:
            _log.warning("runs could not be passivated yet: %s", error.message)
            self._unclear |= runs
        else:
            for run_id in runs:
                self._unclear.pop(run_id, None)
        self._expect(now + BEAT_US if self._unclear else NEVER)
        self._expect(min([due for due in runs.values() if due is not None], default=NEVER))

    # --- waking ---

    def recovered(self, run_id: str) -> None:
        """Note that a run is in memory again, whatever recovered it: a release of it that failed is not tried again."""
        self._unclear.pop(run_id, None)

    def poke(self) -> None:
        """Look now for what is due or was asked for something."""
        self._calm.clear()
        self._poked.set()

    def _expect(self, due: int) -> None:
        """Look at that instant of the engine's clock, or before."""
        if due < self._next_due or self._next is None:
            if self._next is not None:
                self._next.cancel()
                self._next = None
            self._next_due = due
            if due != NEVER:
                self._next = self._clock.call_at(max(due, self._clock.now() + 1), self.poke)

    async def _serve(self) -> None:
        try:
            await self._wake_on()
        except Exception:
            _log.exception("the waking of runs broke")
            raise
        finally:
            self._calm.set()

    async def _wake_on(self) -> None:
        while True:
            await self._poked.wait()
            self._poked.clear()
            if self._next is not None:
                self._next.cancel()
            self._next, self._next_due = None, NEVER
            now = self._clock.now()
            due = now + BEAT_US
            try:
                due = await self._wake_due()
            except (PortError, BusyError) as error:
                _log.warning("the store does not answer: %s", error.message)
            if self._keeper.ttl is not None or self._unclear:
                due = min(due, now + BEAT_US)  # other processes may ask for something
            self._expect(due)
            if not self._poked.is_set():
                self._calm.set()

    async def _wake_due(self) -> int:
        """Wake what is due or was asked for something; when to look again."""
        if self._unclear:
            async with self.claiming():
                await self._release(dict(self._unclear))
        owner, count = self._keeper.owner, WAKE_BATCH
        while count == WAKE_BATCH:
            async with self.claiming():
                sent = self._keeper.sending()
                claimed = await self._store.leases.claim(owner, self._keeper.ttl, WAKE_BATCH, None, "woken")
                await self._recover_all(claimed, sent)
            count = len(claimed)
        rows = await self._store.runs.rows(_NEXT)
        due = rows[0].wake_at if rows else None
        if due is None:
            return NEVER
        now = self._clock.now()
        return due if due > now else now + BEAT_US  # the store's clock is behind, or the run was set aside

    async def wake(self, run_id: str, asked: Asked) -> bool:
        """Wake a passivated run here, whatever its time is, to ask something of it; False where it is not asleep."""
        async with self.claiming():
            row = await self._store.runs.row(run_id)
            if row is None or row.closed or (row.wake_at is None and run_id not in self._unclear):
                return False
            sent = self._keeper.sending()
            claimed = await self._store.leases.claim(self._keeper.owner, self._keeper.ttl, None, [run_id])
            return await self._recover_all(claimed, sent, asked) > 0

    async def _recover_all(self, claimed: list[tuple[str, int]], sent: Sending, asked: Asked | None = None) -> int:
        """Recover runs that were claimed; how many could be."""
        if claimed:
            self._keeper.lease_taken(sent)
        recovered = 0
        for run_id, token in claimed:
            if await self._recover(run_id, token, asked, sent) is not None:
                recovered += 1
                for callback in self.woken:
                    callback(run_id)
        return recovered


def _wakings(run: ActiveRun) -> Iterator[int]:
    """The instants, by the engine's clock, at which attempts that sleep have to be dispatched again, to end in time."""
    for one in run.open.values():
        node = run.state.nodes[one.node]
        if one.sleep_us and isinstance(node, TaskNode) and node.attempt_began_at is not None:
            yield node.attempt_began_at + one.sleep_us - EARLY_US - run.skew_us
