"""Release runs that other engines of the store are to drive, between two turns of the loop.

Law: what is released has nothing on its way here: no entry in the inbox, no step that is not stored, no answer that waits for a
provider. Its attempts stay where they are, and the engine that claims it finds them. What only waits goes first, then what has
no attempt, then the others, and what a caller of this process waits for last; a run is not released within HELD_US of its
beginning here, so that it makes way before it moves again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.dispatch.deliveries import Deliveries
from aether_protocol.engine.inbox import Entry
from aether_protocol.engine.leases import LeaseKeeper
from aether_protocol.engine.outside import OutsideAnswers
from aether_protocol.engine.timers import Timers
from aether_protocol.errors import BusyError, PortError
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.transitions import RUNNING

HELD_US: Final = 1_000_000  # at least, before a run moves on

_log = logging.getLogger("aether_protocol")


class LoopRuns:
    """The runs of a loop, and what of it refers to one."""

    def __init__(
        self,
        runs: dict[str, ActiveRun],
        inbox: Collection[Entry],
        outside: OutsideAnswers,
        timers: Timers,
        deliveries: Deliveries,
    ) -> None:
        self._deliveries = deliveries
        self._runs = runs
        self._inbox = inbox
        self._outside = outside
        self._timers = timers

    def is_concerned(self, run: ActiveRun) -> bool:
        """Whether something is on its way to the run."""
        return self._outside.asks_for(run) or any(entry[0] is run for entry in self._inbox)

    @property
    def runs(self) -> Mapping[str, ActiveRun]:
        """The runs of the loop."""
        return self._runs

    def drop(self, run: ActiveRun, why: BusyError) -> None:
        """Forget a run that is released: what still refers to it cannot write any more, and is given `why`."""
        self._timers.drop(run)
        for delivery in run.open.values():
            self._deliveries.release(delivery)
        run.open = {}
        del self._runs[run.id]
        run.error = why
        run.wake(run.followers)


class RunReleases:
    """Releases runs of one engine.

    The loop calls `work` with the keeper's chores, which release the leases then.

    Args:
        store: of the runs.
        clock: how long runs are here.
        keeper: gives their leases to others.
        released: is called with each run that was released.
    """

    def __init__(self, store: Store, clock: Clock, keeper: LeaseKeeper, released: Callable[[ActiveRun], None]) -> None:
        self._store = store
        self._clock = clock
        self._keeper = keeper
        self._released = released
        self._count = 0
        self._leaves = False
        self._loop: LoopRuns

    def start(self, loop: LoopRuns) -> None:
        """Release what is asked for from now on."""
        self._loop = loop

    def ask(self, count: int) -> None:
        """Release so many runs before the next turn, as far as there are that may be released by then."""
        if count > 0:
            self._count = count
            self._keeper.check_mailbox()

    def leave(self) -> None:
        """Release all of which no attempt has begun, for this engine is about to close; what it claimed last, too."""
        self._leaves = True
        self._keeper.check_mailbox()

    async def work(self) -> None:
        """Release what was asked for."""
        if not (self._count or self._leaves):
            return
        chosen = self._idle() if self._leaves else self._chosen(self._count)
        self._count, self._leaves = 0, False
        for run in await self._saved(chosen):
            self._released(run)
            self._loop.drop(run, BusyError(f"run {run.id!r} was released: another engine drives it"))
            run.wake(run.waiters)
            run.wake(run.pause_waiters)
            self._keeper.release_run(run.id)

    def _chosen(self, count: int) -> Sequence[ActiveRun]:
        latest = self._clock.now() - HELD_US
        may = [run for run in self._loop.runs.values() if self._may_go(run) and run.since <= latest]
        return sorted(may, key=_order)[:count]

    def _idle(self) -> Sequence[ActiveRun]:
        return [run for run in self._loop.runs.values() if self._may_go(run) and not _has_begun(run)]

    def _may_go(self, run: ActiveRun) -> bool:
        """Whether nothing of the run is on its way here."""
        settled = run.token and not (run.over or run.recovering or run.steps)
        return bool(settled) and run.state.root is not None and not self._loop.is_concerned(run)

    async def _saved(self, runs: Sequence[ActiveRun]) -> Sequence[ActiveRun]:
        """Save the states that the store does not have (tier `snapshot`). Gives the runs of which it has all."""
        unsaved = {run.id: run for run in runs if run.snapshots is not None and not run.snapshots.holds(run.state)}
        if not unsaved:
            return runs
        try:
            refused = await self._store.runs.append([whole(run) for run in unsaved.values()])
        except (PortError, BusyError) as error:
            _log.warning("runs could not be released to others yet: %s", error.message)
            refused = dict.fromkeys(unsaved, error)
        for run in unsaved.values():
            if run.id not in refused and run.snapshots is not None:
                run.snapshots.count(run.state)
        return [run for run in runs if run.id not in refused and self._may_go(run)]


def only_waits(run: ActiveRun) -> bool:
    """Whether nothing but time or an answer continues the run."""
    state = run.state
    if (run.open and not _only_sleeps(run)) or run.steps or run.over or run.recovering or state.root is None or state.ready:
        return False
    return run.snapshots is not None


def whole(run: ActiveRun) -> RunAppend:
    """The state of a run, without a new step."""
    state = run.state
    nothing = LogEntry(state.seq, state.now, "passivation", [], [])
    row = run.row_to_store(always=True)
    return RunAppend(
        run.id, run.stored, [nothing], state.leaves_ended, row=row, snapshot=run.snapshot(), token=run.token
    )


def _only_sleeps(run: ActiveRun) -> bool:
    """Whether all attempts that are dispatched have begun, and do nothing but sleep."""
    nodes = run.state.nodes
    return all(one.sleep_us and one.offered and nodes[one.node].phase is RUNNING for one in run.open.values())


def _has_begun(run: ActiveRun) -> bool:
    """Whether an attempt is being carried out."""
    nodes = run.state.nodes
    return any(nodes[one.node].phase is RUNNING for one in run.open.values())


def _order(run: ActiveRun) -> tuple[bool, int, int]:
    """What goes first; of several the one that came last."""
    cost = 0 if only_waits(run) else 1 if not run.open else 2
    return bool(run.waiters or run.pause_waiters or run.streams), cost, -run.number
