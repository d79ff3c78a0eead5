"""Runs of schedules that are driven side by side, in one engine, until they end or somebody wants to leave.

Law: the first interrupt lets nothing more be started, the second ends the process at once; runs are left as they are in
the store, and whoever comes next goes on with them. What dead processes of this machine held is freed first.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from aether_protocol.cli.exits import INTERRUPTED, PHASE_EXITS
from aether_protocol.cli.render.journal import (
    Entry,
    Journal,
    JournalHandler,
    adopted_entry,
    deleted_entry,
    ended_entry,
    entries_left_out,
    failure_entry,
    fire_entry,
    lost_entry,
    suspended_entry,
)
from aether_protocol.cli.session import leave
from aether_protocol.cli.terminal.streams import apart
from aether_protocol.errors import AetherError, BusyError, PortError
from aether_protocol.ports.schedules import CronStore, FireRecord, StoredSchedule
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import TaskSuspended
from aether_protocol.scheduler.state import RunState

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.engine.schedule_runner import ScheduleRunner

CLOSE_S: Final = 3.0  # how long executors may take to stop once somebody wants to leave


class HostOptions(Struct, frozen=True):
    """How runs are driven and told of. `stays`: suspended runs are waited for like others. `left_code`: the exit code of one
    who was interrupted."""

    store: str
    durability: str | None = None
    workspaces: str | None = None
    concurrency: int | None = None
    secrets: tuple[str, ...] = ()
    output: str = "text"
    watch: bool = True
    stays: bool = False
    left_code: int = INTERRUPTED
    more: str = ""  # what `aether resume` needs to find the runs


class RunHost:
    """The runs; see `schedule_runner.ScheduleObserver` for how it learns of them.

    `leaving` is set once the process is asked to end. `codes` are exit codes: of runs that are over (by their ids), and of
    what failed besides; a host that stays counts none.
    """

    def __init__(self, engine: Engine, journal: Journal, hosting: HostOptions, leaving: asyncio.Event) -> None:
        self.engine = engine
        self.journal = journal
        self.leaving = leaving
        self.codes: dict[str, int] = {}
        self._hosting = hosting
        self._watching: dict[str, asyncio.Task[None]] = {}
        self._moved: set[str] = set()  # runs to which something has happened here
        self._resting: set[str] = set()  # runs that were suspended when they were looked at last
        self._closing = False
        engine.observers.append(self._stored)

    # --- who is there ---

    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        self.journal.tell(fire_entry(schedule, record))
        if record.run_id is not None:
            self._watch(record.run_id)

    def adopted(self, run_id: str) -> None:
        state = self.engine.run_state(run_id)
        if state.phase != "Suspended":
            self.journal.tell(adopted_entry(state))
        elif self._hosting.stays:
            self._tell_suspended(state)
        self._watch(run_id)

    def deleted(self, run_ids: Sequence[str]) -> None:
        self.journal.tell(deleted_entry(run_ids))

    def failed(self, what: str, error: AetherError) -> None:
        self.journal.tell(failure_entry(what, error.message))
        self._count(what, error.exit_code)

    def _count(self, what: str, code: int) -> None:
        if not self._hosting.stays:
            self.codes[what] = code

    def _watch(self, run_id: str) -> None:
        self._resting.discard(run_id)
        task = self._watching[run_id] = asyncio.create_task(self._see(run_id))
        task.add_done_callback(lambda done: self._seen(run_id, done))

    def _seen(self, run_id: str, task: asyncio.Task[None]) -> None:
        if self._watching.get(run_id) is task:
            del self._watching[run_id]

    @property
    def under_way(self) -> list[str]:
        """The runs that are watched: they have not ended and are not left."""
        return list(self._watching)

    # --- what happens to them ---

    def _stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        self._moved.add(run_id)
        if self._hosting.stays and any(isinstance(fact, TaskSuspended) for fact in step.facts):
            self._tell_suspended(state)

    def _tell_suspended(self, state: RunState) -> None:
        paths = self.engine.suspended(state.header.run_id)
        if paths:
            self.journal.tell(suspended_entry(state, paths, self._hosting.more))

    async def _see(self, run_id: str) -> None:
        """Until it is over; where nobody stays, until nothing but time or an answer takes it on."""
        try:
            await self.engine.join(run_id, or_suspended=not self._hosting.stays)
            state = self.engine.run_state(run_id)
        except AetherError as error:
            self._moved.discard(run_id)
            if not self._closing:
                self.journal.tell(lost_entry(run_id, error.message))
                self._count(run_id, error.exit_code)
            return
        if state.closed:
            self.journal.tell(ended_entry(state))
        else:
            self._resting.add(run_id)
            if run_id not in self._moved:
                return  # it was suspended before, and still is: told then
            self._tell_suspended(state)
        self._moved.discard(run_id)
        self._count(run_id, PHASE_EXITS[str(state.phase)])

    # --- waiting ---

    async def change(self) -> None:
        """Return once a run is over (or left), none is under way, or somebody wants to leave."""
        if self._watching and not self.leaving.is_set():
            leaving = asyncio.ensure_future(self.leaving.wait())
            await asyncio.wait([*self._watching.values(), leaving], return_when=asyncio.FIRST_COMPLETED)
            leaving.cancel()

    async def through(self) -> None:
        """Return once all are over or left, or somebody wants to leave."""
        while not self.leaving.is_set():
            if self._watching:
                await self.change()
                continue
            await self.engine.settled()  # what was due while nobody was there may take a suspended run on
            again = [run_id for run_id in self._resting if run_id in self._moved]
            if not again:
                return
            for run_id in again:
                self._watch(run_id)

    async def grace(self, seconds: float) -> list[str]:
        """Give what is under way so much time to end or to come to rest; the runs that did not."""
        joining = [asyncio.ensure_future(self.engine.join(run_id, or_suspended=True)) for run_id in self._watching]
        if joining:
            await asyncio.wait(joining, timeout=seconds)
            for one in joining:
                one.cancel()
            await asyncio.gather(*joining, return_exceptions=True)
        return self.under_way

    def close(self) -> None:
        """Watch no more."""
        self._closing = True
        for task in self._watching.values():
            task.cancel()


class Host(Struct, frozen=True):
    """What a command has to work with."""

    store: CronStore
    engine: Engine
    cron: ScheduleRunner
    crowd: RunHost

    def tell(self, entry: Entry) -> None:
        self.crowd.journal.tell(entry)

    async def tidy(self) -> None:
        """Delete what is beyond the history limits (CRON-5); whoever comes next does it where that fails."""
        try:
            await self.cron.tidy()
        except (BusyError, PortError) as error:
            self.tell(failure_entry("old runs were not deleted", error.message))


Body = Callable[[Host], Awaitable[int]]


def host(hosting: HostOptions, body: Body) -> int:
    """Open the store, an engine and a scheduler of schedules, and let `body` use them; the exit code, which is `left_code`
    where somebody wanted to leave."""
    from aether_protocol.cli.drive import freeze
    from aether_protocol.cli.stored import open_at

    store = open_at(hosting.store, hosting.durability)
    freeze()
    with apart(entries_left_out if hosting.output == "events" else None):
        return asyncio.run(_host(hosting, store, body))


async def _host(hosting: HostOptions, store: CronStore, body: Body) -> int:
    from aether_protocol.assembly import build_engine
    from aether_protocol.cli.drive import release_leftovers
    from aether_protocol.cli.terminal.prompt import interrupts
    from aether_protocol.engine.clock import WallClock
    from aether_protocol.engine.schedule_runner import ScheduleRunner
    from aether_protocol.service.process_identity import this_process

    clock = WallClock()  # of the engine as well: what is started in weeks shall say when
    leaving = asyncio.Event()
    _log_to(JournalHandler(clock.now))

    def interrupted() -> None:
        if leaving.is_set():
            leave(hosting.left_code)
        leaving.set()

    with interrupts(interrupted):
        try:
            engine = await build_engine(
                store=store,
                owner=this_process(),
                concurrency=hosting.concurrency,
                secrets_files=hosting.secrets,
                clock=clock,
                workspaces=hosting.workspaces,
            )
        except BaseException:
            await store.close()
            raise
        journal = Journal(clock.now, as_events=hosting.output == "events", quiet=not hosting.watch)
        crowd = RunHost(engine, journal, hosting, leaving)
        try:
            await release_leftovers(store)
            scheduler = ScheduleRunner(engine, store, clock, witness=crowd, artifacts=engine.artifacts)
            code = await body(Host(store, engine, scheduler, crowd))
        finally:
            crowd.close()
            await _close(engine, leaving, hosting.left_code)
        return hosting.left_code if leaving.is_set() else code


async def _close(engine: Engine, leaving: asyncio.Event, left_code: int) -> None:
    """Stop executors. Those that do not stop cannot hold up somebody who wants to leave."""
    closing = asyncio.ensure_future(engine.close())
    waiting = asyncio.ensure_future(leaving.wait())
    await asyncio.wait({closing, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if not closing.done():
        await asyncio.wait({closing}, timeout=CLOSE_S)
    if not closing.done():
        leave(left_code)
    await closing


def _log_to(handler: logging.Handler) -> None:
    if not os.environ.get("AETHER_DEBUG"):
        logger = logging.getLogger("aether_protocol")
        logger.handlers[:] = [handler]
        logger.propagate = False
