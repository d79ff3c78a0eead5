"""The only loop: takes what has arrived, lets the machines decide, stores their steps, then carries their commands out.

Law: everything that happens to a run goes through the inbox and `Machine.handle`, in the order of arrival, on the event
loop's thread. No command goes out before its step is stored. A turn takes up to TURN_EVENTS events and then yields once, so
a busy run starves no other. Where the store is waited for, several drivers take turns (`drivers`): one decides while appends of
the others are on their way, of each run one at most. Whatever breaks ends the runs that it concerns with an error for their
waiters; none hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from aether_protocol.engine.active_run import ActiveRun, Delivery
from aether_protocol.engine.artifacts import named_in
from aether_protocol.engine.dispatch.command_runner import CommandRunner
from aether_protocol.engine.dispatch.deliveries import Deliveries, EngineSite
from aether_protocol.engine.dispatch.late_logs import LateLogs
from aether_protocol.engine.dispatch.late_results import LateResults
from aether_protocol.engine.dispatch.reports import Reports
from aether_protocol.engine.drivers import Drivers, Unstored
from aether_protocol.engine.inbox import (
    NO_TIME,
    Answer,
    Asked,
    Entry,
    RecoveryEnd,
    Reply,
    put_question,
    refuse_closed,
)
from aether_protocol.engine.leases import LeaseKeeper
from aether_protocol.engine.logs import Logs
from aether_protocol.engine.observers import Observers, Severity
from aether_protocol.engine.outside import OutsideAnswers, mask_resume
from aether_protocol.engine.recovery import secret_references
from aether_protocol.engine.releases import LoopRuns, RunReleases
from aether_protocol.engine.timers import Timers
from aether_protocol.errors import AetherError, BrokenInvariant, BusyError, PortError, UsageError, why
from aether_protocol.execution.context import sealed
from aether_protocol.execution.masking import Masker
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.plan.model import Definition, TaskDef
from aether_protocol.ports.broker import Broker, Holding
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.ports.wire import ERROR, TaskResult
from aether_protocol.scheduler.commands import Continue, LogEntry
from aether_protocol.scheduler.events import (
    MOST_DEATHS,
    AttemptLost,
    CancelRequested,
    ClockSetBack,
    Continued,
    Event,
    ResumeRequested,
    Submitted,
    TimerFired,
    TimerKind,
)
from aether_protocol.scheduler.outstanding import goes_on, outstanding, part_overdue, under_way
from aether_protocol.scheduler.timing import SECOND, duration_text

if TYPE_CHECKING:
    from aether_protocol.engine.passivation import Passivation

TURN_EVENTS: Final = 256
KEEP_ENDED: Final = 256  # runs that can still be asked about after their end

_log = logging.getLogger("aether_protocol")

class RunLoop:
    """Runs every run of one engine. `reports` is the broker's sink."""

    def __init__(
        self,
        store: Store,
        broker: Broker,
        clock: Clock,
        book: SecretBook,
        keeper: LeaseKeeper,
        observers: Observers,
        *,
        site: EngineSite | None = None,
        passivation: Passivation | None = None,
        most_deaths: int = MOST_DEATHS,
    ) -> None:
        self.runs: dict[str, ActiveRun] = {}
        self.observers = observers
        self._drivers = Drivers(store.appends_at_once, self._has_work)
        self._wake = self._drivers.wake
        self._several = self._drivers.most > 1  # appends may be on their way at once
        self._unstored = Unstored()
        self.logs = Logs(clock, store.logs if store.durable else None, self._wake, observers)
        self.keeper = keeper
        self._passivation = passivation
        self.releases = RunReleases(store, clock, keeper, passivation.forget if passivation is not None else lambda run: None)
        self._store, self._clock = store, clock
        self._brokers = (broker,) if site is None else (broker, site.carrier)
        self.outside = OutsideAnswers(book)
        self.deliveries = Deliveries(broker, clock, self._wake, observers, lambda *lost: self.reports.gone(*lost), site=site)
        keeper.start(self, self._wake, self.deliveries.withdraw_at_once)
        self._late = LateResults(store)
        self.reports = Reports(
            self.runs, self.deliveries, self.logs, self._put, self._late.take, most_deaths=most_deaths, outside=self.outside,
            late_logs=LateLogs(store, self.logs, clock.now),
        )
        self._timers = Timers(clock, self._timer_due, self._follow_clock)
        self._commands = CommandRunner(self.deliveries, self._timers, self._closed)
        self._seen_us = 0  # what the clock showed when it was looked at last
        self._inbox, self._ended = deque[Entry](), deque[ActiveRun]()
        self._task: asyncio.Task[None] | None = None

    # --- life ---

    def start(self) -> None:
        self.reports.start()
        for broker in self._brokers:
            broker.start(self.reports)
        self._task = asyncio.create_task(self._drivers.run(self._drive, self._broke), name="aether-driver")
        referring = LoopRuns(self.runs, self._inbox, self.outside, self._timers, self.deliveries)
        self.releases.start(referring)
        if self._passivation is not None:
            self._passivation.start(referring, self._wake)

    async def close(self) -> None:
        """Stop executors and forget unfinished runs; waiters for them get a UsageError."""
        await self.outside.close()
        await asyncio.gather(*(broker.close() for broker in self._brokers))
        await self.halt()
        for run in list(self.runs.values()):
            if not run.over:
                self.abandon(run, UsageError(f"the engine was closed before run {run.id!r} ended"))
        for _, _, reply in self._inbox:
            refuse_closed(reply)
        self._inbox.clear()
        await self.logs.save()

    async def halt(self) -> None:
        """Do nothing more: the loop, the timers and the chores end. Executors are left alone, nothing is released."""
        self.keeper.stop()
        if self._passivation is not None:
            await self._passivation.close()
        self._timers.close()
        self.deliveries.close()
        self._late.close()
        self.reports.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def recover(self, run: ActiveRun, asked: Asked | None = None) -> Answer:
        """Continue a run that another engine, or this one, drove before: order what it waits for.

        What is asked of it comes before anything is dispatched: `asked`, then what waits in the mailbox, then the timers that
        are over. So a cancel or a time limit starts nothing more, and a request that was carried out and not answered is
        refused then, not repeated. Attempts that the broker still holds stay as they are; the others are repeated. What is
        returned is done once all of that has been dealt with: before that nothing can be said of the run. Raises
        AetherError, and the run is released, where the mailbox cannot be read.
        """
        self.runs[run.id] = run
        if self._passivation is not None:
            self._passivation.recovered(run.id)
        state = run.state
        run.secrets = tuple(sorted(secret_references(state)))
        now = self._follow_clock()
        self._put_ahead(run, max(state.now, state.header.created_at) - now)
        run.recovering = True
        if state.root is None:
            self.put(run, Submitted(NO_TIME, state.header, "api"))
        if asked is not None:
            put_question(self.put, run, *asked)
        away = [Delivery(run, node.id, run.ref(node), None, offered=True) for node in under_way(state)]
        run.open = {one.ref.path: one for one in away}
        told = await self.deliveries.ask(away) if away else {}
        try:
            await self.keeper.collect(self)
        except AetherError as error:
            self.abandon(run, error)
            raise
        if run.error is not None:  # the lease has ended meanwhile, or the run was taken over
            raise run.error
        self._order_outstanding(run, told, asked=asked is not None)
        settled: Answer = asyncio.get_running_loop().create_future()
        self._put(run, None, RecoveryEnd(settled))
        return settled

    def _order_outstanding(self, run: ActiveRun, told: Mapping[Delivery, Holding], *, asked: bool) -> None:
        """Timers, continuations, and attempts that the broker no longer has: repeated, and never blamed (RT-22)."""
        state = run.state
        gone = {one.node for one, held in told.items() if held != "held" and run.open.get(one.ref.path) is one}
        kept = {one.node for one in run.open.values()} - gone
        now = self._follow_clock() + run.skew_us
        late, commands = part_overdue(state, outstanding(state), now, kept, asked=asked)
        for timer in late:
            self.put(run, TimerFired(NO_TIME, timer.node, timer.kind, timer.due, "timer"))
        for waiting in self._commands.carry_out([(run, [LogEntry(state.seq, state.now, "recovery", [], commands)])]):
            self.put(waiting, Continued(NO_TIME, "driver"))
        for node in [one for one in under_way(state) if one.id in gone]:
            self.logs.mark_loss(run, node)
            self.put(run, AttemptLost(NO_TIME, node.id, node.attempt, "recovery", goes_on=goes_on(node)))

    async def recovered(self, settled: Sequence[asyncio.Future[None]]) -> None:
        """Return once all of these recoveries are through, or the loop is no more."""
        if settled and self._task is not None:
            through = asyncio.ensure_future(asyncio.wait(settled))
            try:
                await asyncio.wait([self._task, through], return_when=asyncio.FIRST_COMPLETED)
            finally:
                through.cancel()

    def put(self, run: ActiveRun, event: Event, reply: Reply | None = None) -> None:
        """Put an event into the inbox, masked where it comes from outside (DATA-12)."""
        if run.secrets and isinstance(event, ResumeRequested):

            def put(masker: Masker | None, unmasked: UsageError | None) -> None:
                refused = mask_resume(event, masker, unmasked)
                if refused is None:
                    self._put(run, event, reply)
                elif isinstance(reply, asyncio.Future) and not reply.done():
                    reply.set_exception(refused)

            self.outside.take(run, put, lambda: refuse_closed(reply))
            return
        if run.secrets and isinstance(event, CancelRequested) and event.reason:  # a cancel waits for no vault
            event.reason = self.outside.mask_at_once(run, event.reason)
        self._put(run, event, reply)

    def _put(self, run: ActiveRun, event: Event | None, reply: Reply | None) -> None:
        self._inbox.append((run, event, reply))
        if self._drivers.parked:
            self._wake()

    async def catch_up(self) -> None:
        """Return once all that was due or asked of the runs here by now has been dealt with, and stored."""
        try:
            await self.keeper.collect(self)
        except (PortError, BusyError) as error:
            self.keeper.silent(error)
        await self.outside.quiet()
        run = next((one for one in self.runs.values() if not one.over), None)
        if run is not None:  # the inbox is dealt with in order: one entry of any run stands for all before it
            answer: Answer = asyncio.get_running_loop().create_future()
            self._put(run, None, answer)
            with contextlib.suppress(AetherError):
                await answer

    @property
    def busy(self) -> bool:
        """Whether the loop has work, or an answer from outside waits for a provider."""
        waking = self._passivation is not None and self._passivation.busy
        return (self._drives and (bool(self._inbox) or not self._drivers.resting)) or self.outside.busy or waking

    async def quiet(self) -> None:
        """Return once the loop waits for work and no answer waits."""
        if self._drives and (self._inbox or not self._drivers.resting):
            await self._drivers.rest()
        await self.outside.quiet()
        if self._passivation is not None:
            await self._passivation.quiet()

    @property
    def _drives(self) -> bool:
        return self._task is not None and not self._task.done()

    # --- the clock ---

    def _follow_clock(self) -> int:
        """Return what the clock shows. Where it was set back, every run continues as if it had not been: with what was left of
        its timers, and at the instants that follow those in its record."""
        now, seen = self._clock.now(), self._seen_us
        self._seen_us = now
        if now < seen:
            self._timers.set_back(seen - now)
            for run in self.runs.values():
                if not run.over:
                    self._put_ahead(run, seen - now)
        return now

    def _put_ahead(self, run: ActiveRun, by_us: int) -> None:
        """Let the run's time be so much more ahead of the clock."""
        if by_us > 0:
            run.skew_us += by_us
            if by_us >= SECOND and run.state.root is not None:
                by_us -= by_us % SECOND
                told = "the clock is %s behind the last step of run %s, which continues from there"
                _log.warning(told, duration_text(by_us), run.id)
                self.put(run, ClockSetBack(NO_TIME, by_us, "driver"))

    # --- results from elsewhere ---

    def deliver(self, result: TaskResult) -> None:
        """Take a result that came past the broker, so that nothing has masked it (DATA-12)."""
        delivery = self.reports.find(result.ref)
        if delivery is not None:
            run = delivery.run
            target = run.state.nodes[delivery.node].call.target
            self.outside.take(run, lambda *known: self.reports.finished(_sealed(result, target, *known)))

    # --- the loop ---

    def _has_work(self) -> bool:
        passivation = self._passivation
        return bool(
            (self._inbox or self._unstored.ready or self.keeper.due or self.logs.due)
            or (self.deliveries.due and not self.deliveries.flushing)
            or (passivation is not None and passivation.due)
        )

    def _broke(self, error: Exception) -> None:
        _log.error("the driver broke", exc_info=error)
        for run in list(self.runs.values()):
            if not run.over:
                self.abandon(run, error)

    async def _drive(self) -> None:
        drivers, passivation = self._drivers, self._passivation
        while True:
            while not drivers.closed and (self._inbox or self._has_work()):
                if self.keeper.due:
                    async with drivers.alone():
                        self._follow_clock()
                        await self.releases.work()
                        await self.keeper.work(self)
                if self.logs.due:
                    await self.logs.save()
                await self._turn()
                if self.deliveries.due:
                    await self.deliveries.flush()
                if passivation is not None and passivation.due and not drivers.closed:
                    async with drivers.alone():
                        await passivation.work()
                if self._inbox:
                    await asyncio.sleep(0)
            self._timers.tidy()
            await drivers.park()

    async def _turn(self) -> None:
        """At most TURN_EVENTS events: handle what is there, store, carry out, and so on while all that is there still fits: one
        append for what came together costs less than two."""
        inbox, unstored, drivers, several = self._inbox, self._unstored, self._drivers, self._several
        left = TURN_EVENTS
        while (inbox or unstored.ready) and (left == TURN_EVENTS or len(inbox) <= left) and not drivers.closed:
            count = min(len(inbox), left)
            left -= count
            touched = self._handle(count)
            if touched:
                waiting: Sequence[ActiveRun] = ()
                try:
                    if self.logs.pending or self.logs.saving:
                        await drivers.storing(self.logs.save())
                    loads = {run: _append(run) for run in touched if run.error is None}
                    writes = self._store.runs.append(list(loads.values()))
                    if several:
                        _continue(loads, inbox)
                        writes = drivers.storing(writes)
                    refusals = await writes
                except Exception as error:  # the states are ahead of the log now: no engine may continue from them
                    for run in touched:
                        self.abandon(run, error)
                else:
                    waiting = self._stored(loads, refusals)
                if several:
                    unstored.settle(touched)
                    if unstored.ready:
                        await drivers.pass_on()
                if self.deliveries.due:
                    await self.deliveries.flush()
                if not several:
                    inbox += [(run, Continued(NO_TIME, "driver"), None) for run in waiting]
            if unstored.replies:
                unstored.reply()

    def _handle(self, count: int) -> list[ActiveRun]:
        """Let the machines handle the next `count` entries of the inbox. Returns the runs that have entries to store, and none
        on their way; the replies are given after that."""
        next_entry, passivation, unstored = self._inbox.popleft, self._passivation, self._unstored
        now = self._follow_clock()
        several = self._several
        touched = unstored.begin() if several else []
        for _ in range(count):
            run, event, reply = next_entry()
            refused = None
            if passivation is not None:
                passivation.touch(run)
            if event is not None and run.error is None:
                try:
                    at, then = now + run.skew_us, run.state.now
                    event.at = at if at >= then else then
                    step = run.machine.handle(event)
                except Exception as error:
                    self.abandon(run, error, blamed=True)
                else:
                    if step.facts:
                        if not run.steps and (not several or unstored.touch(run)):
                            touched.append(run)
                        run.steps.append(step)
                    refused = step.refused
            if reply is not None:
                unstored.promise(run, reply, refused)
        return touched

    def _stored(self, loads: Mapping[ActiveRun, RunAppend], refused: Mapping[str, AetherError]) -> Sequence[ActiveRun]:
        """What was appended to these runs is in the store, but for those that it refused: report and carry it out. Returns
        the runs that have more to start."""
        if refused:
            for run in loads:
                if run.id in refused:
                    self.abandon(run, refused[run.id])
        todo: list[tuple[ActiveRun, list[LogEntry]]] = []
        observers = self.observers
        observed = observers.wanted
        for run, load in loads.items():
            if run.error is not None:
                continue
            steps = load.steps
            run.stored = steps[-1].seq
            todo.append((run, steps))
            if observed:
                observers.tell(run, steps)
            if run.streams:
                for stream in run.streams:
                    for step in steps:
                        stream(step)
            if run.pause_waiters and run.paused and not run.steps:
                run.wake(run.pause_waiters)
        try:
            return self._commands.carry_out(todo)
        except Exception as error:
            for run, _ in todo:
                self.abandon(run, error, blamed=len(todo) == 1)
            return ()

    def _timer_due(self, run: ActiveRun, node: int, kind: TimerKind, due: int) -> None:
        self.put(run, TimerFired(NO_TIME, node, kind, due + run.skew_us, "timer"))

    # --- ends ---

    def abandon(self, run: ActiveRun, error: BaseException, *, blamed: bool = False) -> None:
        """Give up on a run: its state cannot be trusted any more. Its waiters get `error`. `blamed`: this run caused it."""
        if run.error is not None:
            return
        if not isinstance(error, AetherError):
            _log.error("run %s broke", run.id, exc_info=error)
            error = BrokenInvariant(f"{type(error).__name__}: {why(error)}")
        run.error = error
        run.steps = []
        if not isinstance(error, UsageError):  # closed before its end
            self.observers.failed(error, "drive", run=run.id, severity=_severity(error))
        if blamed and run.token and isinstance(error, BrokenInvariant):
            self.keeper.broke(run.id, run.token, run.state.leaves_ended, error.message)
        for delivery in run.open.values():
            self.deliveries.release(delivery)
        run.open = {}
        self._wake()
        self._closed(run)
        if run.token:
            self.keeper.release_run(run.id)

    def _closed(self, run: ActiveRun) -> None:
        self._timers.drop(run)
        if self._passivation is not None:
            self._passivation.forget(run)
        for waiting in (run.waiters, run.pause_waiters, run.followers):
            run.wake(waiting)
        self._ended.append(run)
        if len(self._ended) > KEEP_ENDED:
            oldest = self._ended.popleft()
            if self.runs.get(oldest.id) is oldest:
                del self.runs[oldest.id]

def _continue(loads: Mapping[ActiveRun, RunAppend], inbox: deque[Entry]) -> None:
    """Let the runs go on that have more to start: the next tasks are started while these steps are on their way."""
    for run, load in loads.items():
        if any(step.commands and type(step.commands[-1]) is Continue for step in load.steps):
            inbox.append((run, Continued(NO_TIME, "driver"), None))

def _append(run: ActiveRun) -> RunAppend:
    """Take what is to be stored of a run."""
    state = run.state
    snapshot = run.snapshot() if run.snapshots is not None and run.snapshots.take(state) else None
    row = run.row_to_store(always=snapshot is not None)
    steps, run.steps = run.steps, []
    append = RunAppend(
        run.id, run.stored, steps, state.leaves_ended, row, snapshot, token=run.token, closed=state.closed
    )
    if run.names_artifacts:
        append.artifacts = named_in(steps)
    return append

def _severity(error: AetherError) -> Severity:
    return "internal" if isinstance(error, BrokenInvariant) else "error"

def _sealed(
    result: TaskResult, target: Definition, masker: Masker | None, unmasked: UsageError | None
) -> TaskResult:
    if unmasked is not None:
        return TaskResult(result.ref, ERROR, unmasked.message)
    return result if masker is None or not isinstance(target, TaskDef) else sealed(masker, target, result)
