"""Drive runs of schedules side by side, in one engine, until they end or the host is asked to leave.

Law: once `leaving` is set nothing more is started; runs are left as they are in the store, and the next host recovers them.
What happens is reported as data, one event each; how it is shown is the caller's affair.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.errors import AetherError, BusyError, PortError
from aether_protocol.ports.store import Store
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import TaskSuspended
from aether_protocol.scheduler.state import RunState

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.assembly.configuration import Configuration
    from aether_protocol.engine.schedule_runner import ScheduleRunner
    from aether_protocol.ports.clock import Clock
    from aether_protocol.service.client import Client
    from aether_protocol.service.schedules.backfill import BackfillFire


class FireReported(Struct, frozen=True):
    """What became of a fire."""

    schedule: StoredSchedule
    record: FireRecord


class FireLeftOut(Struct, frozen=True):
    """A fire that is not backfilled, and why."""

    schedule: StoredSchedule
    at: int
    run_id: str
    why: str


class RunRecovered(Struct, frozen=True):
    """An unfinished run that no process drove is continued here."""

    state: RunState


class RunSuspended(Struct, frozen=True):
    """A run waits for answers; `paths` are its suspended tasks."""

    state: RunState
    paths: Sequence[str]


class RunEnded(Struct, frozen=True):
    """A run has ended, and its hooks too."""

    state: RunState


class RunLost(Struct, frozen=True):
    """A run cannot be driven here any more."""

    run_id: str
    message: str


class RunsDeleted(Struct, frozen=True):
    """Runs beyond the history limits were deleted (CRON-5)."""

    run_ids: Sequence[str]


class HostFailure(Struct, frozen=True):
    """A schedule that cannot be dealt with, a run that cannot be recovered, or old runs that cannot be deleted."""

    about: str
    message: str


class DocumentsApplied(Struct, frozen=True):
    """Documents of a folder that is followed were applied; each is named KIND NAMESPACE/NAME, with what was done."""

    names: Sequence[str]


HostEvent = (
    FireReported
    | FireLeftOut
    | RunRecovered
    | RunSuspended
    | RunEnded
    | RunLost
    | RunsDeleted
    | DocumentsApplied
    | HostFailure
)
Report = Callable[[HostEvent], None]


class HostOptions(Struct, frozen=True):
    """How runs are driven. `serves`: the host stays, and waits for suspended runs like for others; else it leaves a run once
    only an answer from outside continues it. `configuration`: what is recorded with runs that begin here, and counts where the
    others are left out. `passivate_after_s`: how long a run only waits before it is passivated; None: runs stay in memory."""

    serves: bool = False
    workspaces: str | Path | None = None
    concurrency: int | None = None
    secrets: Sequence[str] = ()
    configuration: Configuration | None = None
    passivate_after_s: float | None = None


class RunHost:
    """The runs that are watched; a `schedule_runner.ScheduleObserver`.

    `leaving` is set by the caller once the process is asked to end. `outcomes` says how things went: the phase of each run that
    is over or left (by its id), and the error of what failed besides; a host that serves keeps none.
    """

    def __init__(self, engine: Engine, report: Report, leaving: asyncio.Event, *, serves: bool) -> None:
        self.engine = engine
        self.report = report
        self.leaving = leaving
        self.outcomes: dict[str, str | AetherError] = {}
        self._serves = serves
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._moved: set[str] = set()  # runs to which something has happened here
        self._suspended: set[str] = set()  # runs that were suspended when they were checked last
        self._closing = False
        engine.observers.append(self._stored)
        engine.woken.append(self._watch)

    # --- what the schedule runner reports ---

    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        """Report a fire, and watch the run that it started."""
        self.report(FireReported(schedule, record))
        if record.run_id is not None:
            self._watch(record.run_id)

    def adopted(self, run_id: str) -> None:
        """Report a run that was recovered, and watch it."""
        state = self.engine.driven.state(run_id)
        if state.phase != "Suspended":
            self.report(RunRecovered(state))
        elif self._serves:
            self._report_suspended(state)
        self._watch(run_id)

    def deleted(self, run_ids: Sequence[str]) -> None:
        """Report runs that the history limits deleted."""
        self.report(RunsDeleted(run_ids))

    def failed(self, what: str, error: AetherError) -> None:
        """Report a failure, and count it."""
        self.report(HostFailure(what, error.message))
        self._count(what, error)

    def _count(self, what: str, outcome: str | AetherError) -> None:
        if not self._serves:
            self.outcomes[what] = outcome

    def _watch(self, run_id: str) -> None:
        self._suspended.discard(run_id)
        task = self._watching[run_id] = asyncio.create_task(self._follow(run_id))
        task.add_done_callback(lambda done: self._followed(run_id, done))

    def _followed(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._watching.get(run_id) is task:
            del self._watching[run_id]

    @property
    def watched(self) -> list[str]:
        """The runs that are watched: they have not ended and are not left."""
        return list(self._watching)

    # --- what happens to them ---

    def _stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        self._moved.add(run_id)
        if self._serves and any(isinstance(fact, TaskSuspended) for fact in step.facts):
            self._report_suspended(state)

    def _report_suspended(self, state: RunState) -> None:
        paths = suspended_paths(state)
        if paths:
            self.report(RunSuspended(state, paths))

    async def _follow(self, run_id: str) -> None:
        """Until it is over; where the host does not serve, until only time or an answer continues it. A run that is passivated
        is followed again once it is woken."""
        try:
            if not self._serves:
                await self.engine.driven.join(run_id, or_suspended=True)
            elif not await self.engine.driven.follow(run_id):
                self._moved.discard(run_id)
                return
            state = self.engine.driven.state(run_id)
        except AetherError as error:
            self._moved.discard(run_id)
            if not self._closing:
                self.report(RunLost(run_id, error.message))
                self._count(run_id, error)
            return
        if state.closed:
            self.report(RunEnded(state))
        else:
            self._suspended.add(run_id)
            if run_id not in self._moved:
                return  # it was suspended before, and still is: reported then
            self._report_suspended(state)
        self._moved.discard(run_id)
        self._count(run_id, str(state.phase))

    # --- waiting ---

    async def change(self) -> None:
        """Return once a run is over (or left), none is watched, or the host is asked to leave."""
        if self._watching and not self.leaving.is_set():
            leaving = asyncio.ensure_future(self.leaving.wait())
            await asyncio.wait([*self._watching.values(), leaving], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()

    async def through(self) -> None:
        """Return once all are over or left, or the host is asked to leave."""
        while not self.leaving.is_set():
            if self._watching:
                await self.change()
                continue
            await self.engine.catch_up()  # what was due while no host was there may continue a suspended run
            again = [run_id for run_id in self._suspended if run_id in self._moved]
            if not again:
                return
            for run_id in again:
                self._watch(run_id)

    async def grace(self, seconds: float) -> list[str]:
        """Give the watched runs so much time to end or to suspend; the runs that did not."""
        joining = [asyncio.ensure_future(self.engine.driven.join(run_id, or_suspended=True)) for run_id in self._watching]
        if joining:
            await asyncio.wait(joining, timeout=seconds)
            for one in joining:
                one.cancel()
            await asyncio.gather(*joining, return_exceptions=True)
        return self.watched

    def close(self) -> None:
        """Watch no more."""
        self._closing = True
        for task in self._watching.values():
            task.cancel()


class BackfillResult(Struct, frozen=True):
    """How many fires were run, left out, and not started because the host was asked to leave."""

    started: int
    left_out: int
    not_started: int


class HostContext(Struct, frozen=True):
    """What a caller of `open_host` has to work with: the store, the engine, the runner of schedules and the watched runs."""

    store: Store
    engine: Engine
    schedules: ScheduleRunner
    runs: RunHost

    @property
    def client(self) -> Client:
        """What answers for the runs and schedules of the engine."""
        from aether_protocol.service.local import client_of

        return client_of(self.engine)

    async def backfill(
        self, schedule: StoredSchedule, fires: Sequence[BackfillFire], concurrency: int
    ) -> BackfillResult:
        """Run fires, oldest first, at most `concurrency` at a time, until the host is asked to leave."""
        runs = self.runs
        left_out = 0
        todo = deque(fires)
        while (todo or runs.watched) and not runs.leaving.is_set():
            while todo and len(runs.watched) < concurrency and not runs.leaving.is_set():
                fire = todo.popleft()
                why = fire.why
                if why is None and await self.schedules.backfill(schedule.namespace, schedule.name, fire.at) is None:
                    why = f"run {fire.run_id} exists by now"
                if why is not None:
                    left_out += 1
                    runs.report(FireLeftOut(schedule, fire.at, fire.run_id, why))
            await runs.change()
            await self.delete_old_runs()
        return BackfillResult(len(fires) - left_out - len(todo), left_out, len(todo))

    async def delete_old_runs(self) -> None:
        """Delete what is beyond the history limits (CRON-5); the next host does it where that fails, which is reported."""
        try:
            await self.schedules.tidy()
        except (BusyError, PortError) as error:
            self.runs.report(HostFailure("old runs were not deleted", error.message))


async def open_host(
    store: Store, clock: Clock, options: HostOptions, report: Report, leaving: asyncio.Event
) -> HostContext:
    """Open an engine on `store` that drives runs of schedules.

    Args:
        store: closed with the engine, and also where that cannot be opened.
        clock: for engine and schedules alike: what is started in weeks shall say when.
        options: how runs are driven.
        report: called with each event.
        leaving: set once nothing more is to be started.

    Returns:
        The context; close `runs`, then `engine`.
    """
    from aether_protocol.assembly import build_engine
    from aether_protocol.engine.schedule_runner import ScheduleRunner
    from aether_protocol.service.process_identity import this_process

    try:
        engine = await build_engine(
            store=store,
            owner=this_process(),
            concurrency=options.concurrency,
            secrets_files=options.secrets,
            clock=clock,
            workspaces=options.workspaces,
            configuration=options.configuration,
            passivate_after_s=options.passivate_after_s,
        )
    except BaseException:
        await store.close()
        raise
    runs = RunHost(engine, report, leaving, serves=options.serves)
    return HostContext(store, engine, ScheduleRunner(engine, store, clock, witness=runs, artifacts=engine.artifacts), runs)
