"""The only loop: takes what has arrived, lets the machines decide, stores their steps, then carries their commands out.

Law: everything that happens to a run goes through the inbox and `Machine.handle`, in the order of arrival, on the event
loop's thread. No command goes out before its step is stored. A turn takes about TURN_EVENTS events and then yields once, so
a busy run starves nobody. Whatever breaks ends the runs that it concerns with an error for those who wait; none hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Literal, assert_never

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.engine.artifacts import named_in
from aether_protocol.engine.inbox import Cancel, Due, Go, Item, Lost, Resume, SetBack, Settled, Started, Submit, to_event
from aether_protocol.engine.leases import LeaseKeeper
from aether_protocol.engine.logs import Logs
from aether_protocol.engine.outside import OutsideAnswers
from aether_protocol.engine.recovery import secret_references
from aether_protocol.engine.timers import Timers
from aether_protocol.errors import AetherError, BrokenInvariant, UsageError, why
from aether_protocol.execution.context import sealed
from aether_protocol.execution.masking import Masker
from aether_protocol.execution.secrets import SecretBook, references_in
from aether_protocol.plan.model import Definition, TaskDef
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult
from aether_protocol.scheduler.commands import (
    ClearTimer,
    CloseRun,
    Command,
    Continue,
    DispatchTask,
    LogEntry,
    SetTimer,
    StopTask,
)
from aether_protocol.scheduler.events import TaskFinished, TimerKind
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.outstanding import goes_on, outstanding, part_overdue, suspects, under_way
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.timing import SECOND, duration_text

TURN_EVENTS: Final = 128
KEEP_ENDED: Final = 256  # runs that can still be asked about after their end

_ASKED: Final = (Resume, Cancel, Settled)  # a tuple: `|` would make a new type with every event
_DONE: Final[list[Command]] = []  # never written to

Observer = Callable[[str, RunState, LogEntry], None]

_log = logging.getLogger("aether_protocol")


class RunLoop:
    """Runs every run of one engine. It is the broker's `ResultSink`."""

    def __init__(self, store: Store, broker: Broker, clock: Clock, book: SecretBook, owner: str, lease_us: int | None) -> None:
        self.runs: dict[str, ActiveRun] = {}
        self.observers: list[Observer] = []
        self.logs = Logs(clock, store.logs if store.durable else None, self._wake)
        self.keeper = LeaseKeeper(store, clock, owner, lease_us, self._wake)
        self._store = store
        self._broker = broker
        self._clock = clock
        self._outside = OutsideAnswers(book)
        self._timers = Timers(clock, self._timer_due, self._follow_clock)
        self._seen_us = 0  # what the clock showed when it was looked at last
        self._inbox: deque[tuple[ActiveRun, Item | Settled]] = deque()
        self._ended: deque[ActiveRun] = deque()
        self._thread = 0
        self._task: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._parked: asyncio.Future[None] | None = None  # the loop waits for work on this
        self._at_rest: list[asyncio.Future[None]] = []  # who waits for the loop to park

    # --- life ---

    def start(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._broker.start(self)
        self._task = asyncio.create_task(self._drive(), name="aether-driver")

    async def close(self) -> None:
        """Stop executors and forget unfinished runs; those who wait for them get a UsageError."""
        await self._outside.close()
        await self._broker.close()
        await self.halt()
        for run in list(self.runs.values()):
            if not run.over:
                self.abandon(run, UsageError(f"the engine was closed before run {run.id!r} ended"))
        for _, item in self._inbox:
            if isinstance(item, _ASKED):
                _refuse_closed(item)
        self._inbox.clear()
        await self.logs.save()

    async def halt(self) -> None:
        """Do nothing more: the loop, the timers and the chores end. Executors are left alone, nothing is given back."""
        self.keeper.stop()
        self._timers.close()
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def adopt(self, run: ActiveRun, first: Item | None = None) -> asyncio.Future[None]:
        """Carry on with a run that was one before: order what it waits for; attempts under way then are lost.

        What is asked of it comes before anything is handed over: `first`, then what waits in the mailbox, then the timers that
        are over. So a cancel or a time limit starts nothing more, and a request that was carried out and not answered is
        refused then, not repeated. What is given is done once all of that has been dealt with: before that nobody can tell
        what becomes of the run. Raises AetherError, and the run is given up, where the mailbox cannot be read.
        """
        self.runs[run.id] = run
        state = run.state
        run.secrets = tuple(sorted(secret_references(state)))
        now = self._follow_clock()
        self._put_ahead(run, max(state.now, state.header.created_at) - now)
        run.recovering = True
        if state.root is None:
            self.put(run, Submit(state.header))
        if first is not None:
            self.put(run, first)
        try:
            await self.keeper.collect(self)
        except AetherError as error:
            self.abandon(run, error)
            raise
        late, commands = part_overdue(state, outstanding(state), now + run.skew_us)
        for timer in late:
            self.put(run, Due(timer.node, timer.kind, timer.due))
        self._carry_out([(run, [LogEntry(state.seq, state.now, "recovery", [], commands)])])
        out = under_way(state)
        run.open = {node.run_path: node.id for node in out}
        blamed = {node.id for node in suspects(state, out)}
        for node in out:
            self.put(run, Lost(node.id, node.attempt, node.id in blamed, goes_on(node)))
        settled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.append((run, Settled(settled)))
        self._wake()
        return settled

    async def recovered(self, settled: Sequence[asyncio.Future[None]]) -> None:
        """Return once all of these recoveries are through, or the loop is no more."""
        if settled and self._task is not None:
            through = asyncio.ensure_future(asyncio.wait(settled))
            try:
                await asyncio.wait([self._task, through], return_when=asyncio.FIRST_COMPLETED)
            finally:
                through.cancel()

    def put(self, run: ActiveRun, item: Item) -> None:
        if isinstance(item, Resume) and run.secrets:
            self._outside.take(run, lambda masker: self._resumed(run, item, masker), lambda: _refuse_closed(item))
            return
        self._inbox.append((run, item))
        if self._parked is not None:
            self._wake()

    def _resumed(self, run: ActiveRun, item: Resume, masker: Masker | None) -> None:
        item.payload = item.payload if masker is None else masker.value(item.payload)
        self._inbox.append((run, item))
        self._wake()

    async def settled(self) -> None:
        """Return when nothing can happen before time passes: an empty inbox, and no executor that is not asleep."""
        calm = 0
        while calm < 2:
            await asyncio.sleep(0)  # whoever was woken just now gets its turn first
            drives = self._task is not None and not self._task.done()
            if drives and (self._inbox or self._parked is None):
                calm = 0
                await self._rest()
            elif self._outside.busy:
                calm = 0
                await self._outside.quiet()
            elif self._broker.busy:
                calm = 0
                await self._broker.quiet()
            else:
                calm += 1

    async def _rest(self) -> None:
        if self._task is None or self._task.done():
            return
        future = asyncio.get_running_loop().create_future()
        self._at_rest.append(future)
        await future

    # --- the clock ---

    def _follow_clock(self) -> int:
        """What the clock shows. Where it was set back, every run goes on as if it had not been: with what was left of its
        timers, and at the instants that follow those in its record."""
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
                told = "the clock is %s behind the last step of run %s, which goes on from there"
                _log.warning(told, duration_text(by_us), run.id)
                self.put(run, SetBack(by_us))

    # --- ResultSink ---

    def started(self, ref: AttemptRef) -> None:
        run = self.runs.get(ref.run_id)
        if run is not None and ref.epoch == run.epoch and (node := run.open.get(ref.path)) is not None:
            self.put(run, Started(node, ref.attempt))

    def deliver(self, result: TaskResult) -> None:
        """A result that came past the broker, so that nothing has masked it (DATA-12)."""
        run = self.runs.get(result.ref.run_id)
        node = run.open.get(result.ref.path) if run is not None else None
        if run is not None and node is not None:
            target = run.state.nodes[node].call.target
            self._outside.take(run, lambda masker: self.finished(_sealed(masker, target, result)))

    def finished(self, result: TaskResult) -> None:
        ref = result.ref
        run = self.runs.get(ref.run_id)
        node = run.open.get(ref.path) if run is not None and run.epoch == ref.epoch else None
        if run is None or node is None or run.attempt_of(node) != ref.attempt:
            return  # SCHED-12: unknown, ended, forgotten since, or from another past
        del run.open[ref.path]
        given = (result.code, result.message, result.outputs, result.artifacts)
        self._inbox.append(
            (run, TaskFinished(0, node, ref.attempt, *given, "broker", result.warnings, result.fetched))
        )
        if self._parked is not None:
            self._wake()

    def logged(self, ref: AttemptRef, stream: Literal["stdout", "stderr"], text: str) -> None:
        if self._loop is not None and self.logs.wanted:
            if threading.get_ident() == self._thread:
                self._logged(ref, stream, text)
            else:
                with contextlib.suppress(RuntimeError):  # the loop is gone, and with it who listened
                    self._loop.call_soon_threadsafe(self._logged, ref, stream, text)

    def _logged(self, ref: AttemptRef, stream: str, text: str) -> None:
        run = self.runs.get(ref.run_id)
        node = run.find(ref.path) if run is not None else None
        if run is not None and node is not None:
            self.logs.take(run, node, ref.attempt, stream, text)

    def failed(self, error: BaseException, run_id: str | None = None) -> None:
        for run in list(self.runs.values()) if run_id is None else [r for r in [self.runs.get(run_id)] if r]:
            if not run.over:
                self.abandon(run, error)

    # --- the loop ---

    def _wake(self) -> None:
        if self._parked is not None and not self._parked.done():
            self._parked.set_result(None)

    async def _drive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while True:
                while self._inbox or self.keeper.due or self.logs.due:
                    if self.keeper.due:
                        self._follow_clock()
                        await self.keeper.work(self)
                    if self.logs.due:
                        await self.logs.save()
                    await self._turn()
                    if self._inbox:
                        await asyncio.sleep(0)
                self._timers.tidy()
                for future in self._at_rest:
                    if not future.done():
                        future.set_result(None)
                self._at_rest.clear()
                self._parked = loop.create_future()
                await self._parked
                self._parked = None
        except Exception as error:
            _log.exception("the driver broke")
            self.failed(error)
        finally:
            self._parked = None
            for future in self._at_rest:
                if not future.done():
                    future.set_result(None)

    async def _turn(self) -> None:
        """About TURN_EVENTS events: handle what is there, store, carry out, and so on while there is more."""
        inbox = self._inbox
        left = TURN_EVENTS
        while inbox and left > 0:
            now = self._follow_clock()
            count = min(len(inbox), left)
            left -= count
            touched: list[ActiveRun] = []
            answers: list[tuple[ActiveRun, Resume | Cancel | Settled, str | None]] = []
            for _ in range(count):
                run, item = inbox.popleft()
                step = None
                try:
                    if run.error is None and not isinstance(item, Settled):
                        at, then = now + run.skew_us, run.state.now
                        step = run.machine.handle(to_event(item, at if at >= then else then))
                except Exception as error:
                    self.abandon(run, error, blamed=True)
                if step is not None and step.facts:
                    if not run.steps:
                        touched.append(run)
                    run.steps.append(step)
                if isinstance(item, _ASKED):
                    answers.append((run, item, step.refused if step is not None else None))
            if self.logs.pending:
                await self.logs.save()
            if touched:
                batch = [_append(run) for run in touched if run.error is None]
                try:
                    refused = await self._store.runs.append(batch)
                except Exception as error:  # the states are ahead of the log now: nobody may go on with them
                    for run in touched:
                        self.abandon(run, error)
                else:
                    self._stored(touched, refused)
            for run, asked, reason in answers:
                if isinstance(asked, Settled):
                    _end_recovery(run, asked)
                else:
                    _give_answer(run, asked.answer, reason)

    def _stored(self, touched: Sequence[ActiveRun], refused: Mapping[str, AetherError]) -> None:
        """The steps of these runs are in the store, but for those that it refused: tell of them and carry them out."""
        if refused:
            for run in touched:
                if run.id in refused:
                    self.abandon(run, refused[run.id])
        todo: list[tuple[ActiveRun, list[LogEntry]]] = []
        for run in touched:
            if run.error is None:
                steps, run.steps = run.steps, []
                run.stored = steps[-1].seq
                todo.append((run, steps))
        for run, steps in todo:
            if self.observers or run.streams:
                self._tell(run, steps)
            if run.pause_waiters and run.paused:
                run.wake(run.pause_waiters)
        try:
            self._carry_out(todo)
        except Exception as error:
            for run, _ in todo:
                self.abandon(run, error, blamed=len(todo) == 1)

    def _tell(self, run: ActiveRun, steps: Sequence[LogEntry]) -> None:
        for step in steps:
            for observer in self.observers:
                try:
                    observer(run.id, run.state, step)
                except Exception:
                    _log.exception("an observer of run %s raised", run.id)
            for stream in run.streams:
                stream(step)

    def _carry_out(self, todo: Sequence[tuple[ActiveRun, Sequence[LogEntry]]]) -> None:
        """Commands in their order; assignments that follow each other go to the broker together (SCHED-11)."""
        assignments: list[TaskAssignment] = []
        for run, steps in todo:
            nodes = run.state.nodes
            for step in steps:
                for command in step.commands:
                    if isinstance(command, DispatchTask):
                        if nodes[command.node].ended_at is not None:
                            continue  # by a later event of the same turn: cancelled, say
                        assignment = command.assignment
                        run.open[assignment.ref.path] = command.node
                        if run.skew_us and assignment.deadline_us is not None:
                            assignment.deadline_us -= run.skew_us  # for others, who go by the clock
                        if assignment.secret or run.secrets:
                            _name_secrets(run, assignment)
                        assignments.append(assignment)
                    elif isinstance(command, SetTimer):
                        self._timers.set(run, command.node, command.kind, command.due - run.skew_us)
                    elif isinstance(command, ClearTimer):
                        self._timers.clear(run, command.node, command.kind)
                    elif isinstance(command, StopTask):
                        run.open.pop(nodes[command.node].run_path, None)
                        if assignments:
                            self._broker.dispatch(assignments)
                            assignments = []
                        self._broker.stop(AttemptRef(run.id, nodes[command.node].run_path, command.attempt, run.epoch))
                    elif isinstance(command, Continue):
                        if assignments:
                            self._broker.dispatch(assignments)
                            assignments = []
                        self._inbox.append((run, Go()))
                    elif isinstance(command, CloseRun):
                        self._closed(run)
                    else:
                        assert_never(command)
                step.commands = _DONE  # carried out: whoever keeps the step keeps its facts alone
        if assignments:
            self._broker.dispatch(assignments)

    def _timer_due(self, run: ActiveRun, node: int, kind: TimerKind, due: int) -> None:
        self.put(run, Due(node, kind, due + run.skew_us))

    # --- ends ---

    def abandon(self, run: ActiveRun, error: BaseException, *, blamed: bool = False) -> None:
        """Give up on a run: its state cannot be trusted any more. Those who wait are told. `blamed`: it is this run's doing."""
        if run.error is not None:
            return
        if not isinstance(error, AetherError):
            _log.error("run %s broke", run.id, exc_info=error)
            error = BrokenInvariant(f"{type(error).__name__}: {why(error)}")
        run.error = error
        run.steps = []
        if blamed and run.token and isinstance(error, BrokenInvariant):
            self.keeper.broke(run.id, run.token, run.state.leaves_ended, error.message)
        for node in run.state.nodes:
            if node.ended_at is None and isinstance(node, TaskNode) and node.attempt:
                with contextlib.suppress(Exception):
                    self._broker.stop(run.ref(node))
        self._closed(run)
        if run.token:
            self.keeper.give_up(run.id)

    def _closed(self, run: ActiveRun) -> None:
        self._timers.drop(run)
        run.wake(run.waiters)
        run.wake(run.pause_waiters)
        self._ended.append(run)
        if len(self._ended) > KEEP_ENDED:
            oldest = self._ended.popleft()
            if self.runs.get(oldest.id) is oldest:
                del self.runs[oldest.id]


def _append(run: ActiveRun) -> RunAppend:
    """What is to be stored of a run. Only a durable store gives tokens, and asks how far the run is."""
    progress = run.progress() if run.token else None
    closed = run.state.closed
    return RunAppend(run.id, run.stored, run.steps, run.row, run.snapshot, run.token, closed, progress, named_in(run.steps))


def _sealed(masker: Masker | None, target: Definition, result: TaskResult) -> TaskResult:
    return result if masker is None or not isinstance(target, TaskDef) else sealed(masker, target, result)


def _refuse_closed(item: Resume | Cancel | Settled) -> None:
    if not item.answer.done():
        item.answer.set_exception(UsageError("the engine was closed"))
        item.answer.exception()  # the caller may have left, and asyncio shall not complain


def _name_secrets(run: ActiveRun, assignment: TaskAssignment) -> None:
    """Name the secrets that the run has used so far, those of this assignment among them: what it says is masked for all."""
    if assignment.secret:
        given = (assignment.config, assignment.inputs, assignment.artifacts, assignment.payloads)
        run.secrets = tuple(dict.fromkeys([*run.secrets, *references_in(given)]))
    assignment.secrets = run.secrets


def _end_recovery(run: ActiveRun, item: Settled) -> None:
    run.recovering = False
    if run.paused:
        run.wake(run.pause_waiters)
    if not item.answer.done():
        item.answer.set_result(None)


def _give_answer(run: ActiveRun, answer: asyncio.Future[None], refused: str | None) -> None:
    if answer.done():
        return
    if run.error is not None:
        answer.set_exception(run.error)
    elif refused is not None:
        answer.set_exception(UsageError(refused))
    else:
        answer.set_result(None)
