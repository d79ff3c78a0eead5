"""The engine's door for callers: submit, get, wait, resume, cancel, events.

Law: a method either does what it says or raises, and what is raised says who is at fault: UsageError the caller, PortError
the outside, BrokenInvariant us. Everything that changes a run goes through the driver's inbox.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Self

from msgspec.structs import replace

from aether_protocol.engine.active_run import ActiveRun, Draft
from aether_protocol.engine.artifacts import named_by
from aether_protocol.engine.engine_site import EngineSite
from aether_protocol.engine.ids import new_owner
from aether_protocol.engine.leases import LEASE_S, LeaseKeeper
from aether_protocol.engine.logs import LogObserver
from aether_protocol.engine.loop import RunLoop
from aether_protocol.engine.mailbox import (
    Question,
    ask,
    cancel_question,
    checked_reason,
    resume_question,
    suspended_paths,
    to_event,
)
from aether_protocol.engine.observers import Observer, Observers, OnError, OnEvent
from aether_protocol.engine.recovery import rebuild, revive, state_at
from aether_protocol.engine.snapshots import DEFAULT_POLICY, SnapshotPolicy, Snapshots, snapshots_of
from aether_protocol.engine.stream import LOOK_S, EventStream, LiveEvents, LogStream, StoredEvents
from aether_protocol.engine.submission import choose_run_id, make_header, read_variables, retry_header
from aether_protocol.errors import AetherError, BrokenInvariant, BusyError, UsageError
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock, IdGenerator
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import SNAPSHOT, NewRun, RunSummary, Store
from aether_protocol.ports.store.leases import BREAKS
from aether_protocol.ports.variables import VariableSource
from aether_protocol.ports.wire import AttemptRef, TaskResult
from aether_protocol.scheduler.events import RunConfiguration, RunHeader, Submitted
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.report import Report, make_report

_log = logging.getLogger("aether_protocol")


class RunEngine:
    """Runs plans. An async context manager; all methods belong to the event loop that entered it.

    `observers` are called with (run id, state, step) after each stored step; the state may be some steps ahead.
    `log_observers` are called with each `LogRecord`. Both lists may be added to. `on_event(run id, record)` is called with each
    record of the event feed, `on_error(error, run=, task=, operation=, severity=)` with what goes wrong beside the ends of
    tasks; neither can steer or break a run. `secrets` are asked in order; of `variables` the later one of a namespace counts.

    On a durable store the engine holds what it drives as `owner` (by default a name of its own), under a lease of `lease_s`
    seconds that it renews; None: without an end, for a store that no other engine uses. `snapshots` says how often the state
    of a run is recorded as a whole.

    `site` carries out the executors that are the engine's own affair; without one all of them go to the broker.

    `recorded_configuration` is recorded with every run that begins here, for people; it changes nothing.
    """

    recorded_configuration: RunConfiguration | None = None

    def __init__(
        self,
        *,
        store: Store,
        broker: Broker,
        clock: Clock,
        ids: IdGenerator,
        secrets: Sequence[SecretProvider] = (),
        variables: Sequence[VariableSource] = (),
        observers: Sequence[Observer] = (),
        log_observers: Sequence[LogObserver] = (),
        owner: str | None = None,
        lease_s: float | None = LEASE_S,
        snapshots: SnapshotPolicy = DEFAULT_POLICY,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
        site: EngineSite | None = None,
    ) -> None:
        self._store = store
        self._clock = clock
        self._ids = ids
        self._variables = tuple(variables)
        self._snapshots = snapshots
        lease_us = None if lease_s is None else round(lease_s * 1_000_000)
        watched = Observers(observers, on_event, on_error)
        keeper = LeaseKeeper(store, clock, owner or new_owner(), lease_us)
        self._driver = RunLoop(store, broker, clock, SecretBook(secrets), keeper, watched, site=site)
        self._keeper = keeper
        self.observers = watched.steps
        self.log_observers = self._driver.logs.observers
        self.log_observers.extend(log_observers)
        self._submitted = 0
        self._open = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def __aenter__(self) -> Self:
        if self._open or self._submitted:
            raise UsageError("an engine can be entered once")
        self._open = True
        self._loop = asyncio.get_running_loop()
        self._driver.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all executors and wait for them; runs that have not ended are left as they are."""
        if self._open:
            self._open = False
            await self._driver.close()
            try:
                if self._store.durable:
                    await self._keeper.release()
            finally:
                await self._store.close()

    async def submit(
        self,
        plan: Plan,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
    ) -> str:
        """Begin a run and give its id. `scheduled_time` in microseconds since the epoch.

        Raises UsageError with everything that is wrong with the arguments (DATA-14).
        """
        return await self._begin(self.draft(plan, arguments, run_id=run_id, scheduled_time=scheduled_time))

    def draft(
        self,
        plan: Plan,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
        folder: str | None = None,
    ) -> Draft:
        """A run as `submit` would begin it, to be made known to the store with something else. `folder`: of its document."""
        self._must_be_open()
        now = self._clock.now()
        if scheduled_time is None and plan.of_schedule:  # DOC-1: it is run once, now
            scheduled_time = now
        variables, seed, folder = read_variables(self._variables), self._ids.seed(), folder or plan.folder
        bare = RunHeader(choose_run_id(run_id, self._ids, now), now, scheduled_time, {}, variables, seed, folder=folder)
        return self._draft(plan, make_header(plan, arguments or {}, bare))

    def begin(self, draft: Draft, token: int) -> str:
        """Begin a drafted run that the store knows by now, under this fencing token; its id."""
        run, new = draft
        run.token = token
        if new.owner is not None:
            self._keeper.lease_taken()
        self._submitted += 1
        run.number = self._submitted
        self._driver.runs[run.id] = run
        self._driver.put(run, Submitted(0, new.header, "api"))
        return run.id

    def check_mailbox(self) -> None:
        """See at once what others ask of the runs here."""
        self._keeper.check_mailbox()

    async def retry(self, run_id: str, start: str | None = None, *, new_id: str | None = None, reason: str = "") -> str:
        """Begin a run that keeps what succeeded of an ended one, and runs the rest again (CTRL-4); its id.

        With `start`, the path of a task, that task and all downstream of it run again. Plan, parameters and variables are
        those of the run before; secrets are read anew. `reason` is recorded. Raises UsageError where there is nothing to run
        again.
        """
        self._must_be_open()
        state = await self.load_state(run_id)
        now = self._clock.now()
        chosen = choose_run_id(new_id, self._ids, now)
        header = retry_header(state, start, chosen, now, self._ids.seed(), reason=checked_reason(reason))
        return await self._begin(self._draft(state.plan, header))

    async def recover(self, run_ids: Sequence[str] | None = None, *, cancel: bool | str = False) -> list[str]:
        """Carry on with unfinished runs of the store: those named, or all that nobody drives. Gives their ids.

        Timers go on as they were; attempts that were under way when their engine went are handed over again under the same
        numbers. It returns once all that was due or asked for by then has been dealt with. With `cancel` (which may
        be the reason) the runs are cancelled instead: nothing but their hooks is started.

        Of named runs, one that has ended is left out; raises UsageError for an unknown one and one that was set aside (`mend`
        lets it be tried again), BusyError for one that another engine drives, PortError and BrokenInvariant for one whose
        record is damaged. Of all runs such a one is told in the log and left alone.
        """
        self._must_be_open()
        known = self._driver.runs
        wanted = None if run_ids is None else [one for one in dict.fromkeys(run_ids) if one not in known or known[one].error]
        await self._keeper.tell_breaks()
        claimed = await self._store.leases.claim(self._keeper.owner, self._keeper.ttl, run_ids=wanted)
        new = [(one, token) for one, token in claimed if one not in known or known[one].error]
        try:
            for one in set(wanted or ()) - {one for one, _ in new}:
                row = await self._store.runs.row(one)
                if row is None:
                    raise UsageError(f"run {one!r} is unknown")
                if row.broken is not None:
                    told = f"run {one!r} was set aside, for it broke its engine {BREAKS} times in a row: {row.broken}"
                    raise UsageError(told, hint=f"'aether resume {one}' tries once more")
                if not row.closed:
                    hint = "it can be taken over once that engine is gone and its lease has ended"
                    raise BusyError(f"run {one!r} is driven by another engine", hint=hint)
        except AetherError:
            await self._store.leases.release(self._keeper.owner, [one for one, _ in new])
            raise
        if new:
            self._keeper.lease_taken()
        settled: dict[str, asyncio.Future[None]] = {}
        for one, token in new:
            going_on = await self._recover(one, token, must=run_ids is not None, cancel=cancel)
            if going_on is not None:
                settled[one] = going_on
        await self._driver.recovered(list(settled.values()))
        return list(settled)

    async def mend(self, run_id: str) -> bool:
        """Let a run that was set aside, for it broke its engine again and again, be tried once more; False if it was not."""
        self._must_be_open()
        return await self._store.upkeep.mend(run_id)

    async def _recover(self, run_id: str, token: int, *, must: bool, cancel: bool | str) -> asyncio.Future[None] | None:
        """Done once the recovery is through; None where the run cannot be carried on with."""
        try:
            stored = await self._store.runs.load(run_id)
            state = revive(stored)
            self._submitted += 1
            # It may go on from an earlier state than others have seen; nothing else changes the epoch.
            epoch = token << 24 | self._submitted & 0xFFFFFF if stored.row.tier == SNAPSHOT else 0
            run = ActiveRun(run_id, self._submitted, state.plan, state, epoch)
            run.token = token
            run.snapshots = snapshots_of(stored, self._snapshots)
            answer = asyncio.get_running_loop().create_future() if cancel is not False else None
            reason = checked_reason(cancel) if isinstance(cancel, str) else ""
            settled = await self._driver.recover(run, answer, reason)
        except Exception as error:
            told = error if isinstance(error, AetherError) else BrokenInvariant(f"{type(error).__name__}: {error}")
            known = self._driver.runs.get(run_id)
            if known is not None and known.token == token:
                self._driver.abandon(known, told)
            if isinstance(told, BrokenInvariant):
                ended = known.state.leaves_ended if known is not None and known.token == token else 0
                self._keeper.broke(run_id, token, ended, told.message)
                await self._keeper.tell_breaks()
            await self._store.leases.release(self._keeper.owner, [run_id])
            if must:
                raise told from error
            _log.error("run %s cannot be carried on with: %s", run_id, told.message)
            return None
        if answer is not None:
            await answer
        return settled

    def _draft(self, plan: Plan, header: RunHeader) -> Draft:
        if self.recorded_configuration is not None:
            header = replace(header, configuration=self.recorded_configuration)
        run = ActiveRun(header.run_id, 0, plan)
        run.state.header = header  # so that a row and a report can be made at once
        new = NewRun(run.row(), plan, header, artifacts=named_by(header))
        if self._store.durable:
            new.owner, new.ttl = self._keeper.owner, self._keeper.ttl
            run.snapshots = Snapshots(self._snapshots, self._store.tier, saved_at=header.created_at)
        return Draft(run, new)

    async def _begin(self, draft: Draft) -> str:
        return self.begin(draft, await self._store.runs.create(draft.new))

    # --- looking ---

    async def report(self, run_id: str) -> Report:
        """Any run as it is now, whoever drives it."""
        return make_report(await self.load_state(run_id))

    async def load_state(self, run_id: str, to_seq: int | None = None) -> RunState:
        """The state of any run, now or as it was after step `to_seq` (0: before the first): read it, never write it.

        Raises UsageError for an unknown run, or a step that there is not or that was not kept.
        """
        run = self._driver.runs.get(run_id)
        if to_seq is None and run is not None and run.error is None:
            return run.state
        stored = await self._store.runs.load(run_id)
        return rebuild(stored) if to_seq is None else await state_at(self._store, stored, to_seq)

    async def row(self, run_id: str) -> RunSummary:
        """The row of any run. Raises UsageError for an unknown one."""
        row = await self._store.runs.row(run_id)
        if row is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return row

    def events(self, run_id: str, *, follow: bool = True) -> EventStream:
        """A run's event records, from the oldest that the store still has to its end (docs/reference/events.md).

        Without `follow` those of a run that another engine drives end with what is recorded now.
        """
        run = self._held(run_id)
        if run is not None and (follow or not self._store.durable):
            return LiveEvents(run, self._store)
        return StoredEvents(self._store, self._clock, run_id, follow=follow)

    def logs(self, run_id: str, path: str | None = None, *, after: int = 0, follow: bool = False) -> LogStream:
        """What tasks of a run wrote, as a durable store has it: `LogLine`s; of the task run at `path` and those below it.

        `after` is the `seq` of the last line that is known already. With `follow` it ends when the run is closed.
        """
        return LogStream(self._store, self._clock, run_id, path, after=after, follow=follow, saved=self._driver.logs)

    async def wait(self, run_id: str, *, or_suspended: bool = False) -> Report:
        """`join`, then the report. Raises what broke a run that cannot go on."""
        run = self._held(run_id)
        await self.join(run_id, or_suspended=or_suspended)
        return make_report(self.run_state(run_id)) if run is not None else await self.report(run_id)

    async def join(self, run_id: str, *, or_suspended: bool = False) -> None:
        """Return once the run has ended and its hooks too, or cannot go on; with `or_suspended` also when nothing but an
        answer from outside can take it on."""
        run = self._held(run_id)
        if run is None:
            while not (row := await self.row(run_id)).closed and not (or_suspended and row.phase == "Suspended"):
                await self._clock.sleep(LOOK_S)
            return
        if not run.over:
            self._must_be_its_loop()
        waiting = run.pause_waiters if or_suspended else run.waiters
        while not run.over and not (or_suspended and run.paused):
            future = asyncio.get_running_loop().create_future()
            waiting.append(future)
            try:
                await future
            finally:
                if future in waiting:
                    waiting.remove(future)

    def suspended(self, run_id: str) -> list[str]:
        """Paths of the tasks that wait for a resume, in document order."""
        return suspended_paths(self.run_state(run_id))

    # --- asking ---

    async def resume(
        self, run_id: str, task_path: str, payload: Mapping[str, Json] | None = None, *, reason: str = ""
    ) -> None:
        """Resume a suspended task (CTRL-2), also of a run that another engine drives. `reason` is recorded.

        Raises UsageError with the reason where that is refused, BusyError where nobody answers for the run.
        """
        if payload is not None and not isinstance(payload, Mapping):
            raise UsageError(f"the payload is {payload!r}, not a mapping of names to values")
        try:
            given = json_copy(dict(payload or {}))
        except ValueError as error:
            raise UsageError(f"the payload holds {error}") from None
        await self._ask(run_id, resume_question(task_path, given, reason))

    async def cancel(self, run_id: str, *, reason: str = "") -> None:
        """Cancel a run (CTRL-3), recording the `reason`, also one that another engine drives. Raises UsageError that names its
        phase where it has ended, BusyError where nobody answers for it."""
        await self._ask(run_id, cancel_question(reason))

    async def _ask(self, run_id: str, question: Question) -> None:
        self._must_be_open()
        run = self._held(run_id)
        if run is None:
            await ask(self._store, self._clock, run_id, question)
            return
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._driver.put(run, to_event(run.state, question), answer)
        await answer

    async def lock(self, name: str) -> bool:
        """Take the lock `name` in a durable store, for as long as this engine is open; False where another engine has it. An
        engine that loses it (it was cut off for longer than its lease) gives its runs up."""
        self._must_be_open()
        return await self._keeper.lock(name)

    async def unlock(self, name: str) -> None:
        """Give the lock back."""
        await self._keeper.unlock(name)

    def deliver(self, result: TaskResult) -> None:
        """A result from outside, as a broker would bring it, but not masked yet; late and unknown ones change nothing
        (SCHED-12)."""
        if not isinstance(result.ref, AttemptRef):
            raise UsageError(f"a result is for an attempt, not for {result.ref!r}")
        self._driver.deliver(result)

    async def settled(self) -> None:
        """Return when nothing can happen before time passes or somebody outside acts."""
        await self._driver.settled()

    def run_state(self, run_id: str) -> RunState:
        """The state itself, for tools: read it, never write it."""
        run = self._run(run_id)
        if run.error is not None:
            raise run.error
        return run.state

    def epoch(self, run_id: str) -> int:
        """That of the attempts of a run that this engine has (AttemptRef)."""
        return self._run(run_id).epoch

    @property
    def clock(self) -> Clock:
        """The clock that this engine goes by."""
        return self._clock

    @property
    def owner(self) -> str:
        """The name under which this engine holds its runs."""
        return self._keeper.owner

    def drives(self, run_id: str) -> bool:
        """Whether this engine drives that run, and it has not ended."""
        run = self._driver.runs.get(run_id)
        return run is not None and not run.over

    @property
    def run_ids(self) -> list[str]:
        """The runs that can be asked about, oldest first."""
        return list(self._driver.runs)

    def _must_be_open(self) -> None:
        if not self._open:
            raise UsageError("the engine is not open", hint="use it as `async with Engine(...) as engine:`")
        self._must_be_its_loop()

    def _must_be_its_loop(self) -> None:
        if self._loop is not asyncio.get_running_loop():
            raise UsageError("the engine belongs to another event loop", hint="use it in the one that entered it")

    def _held(self, run_id: str) -> ActiveRun | None:
        """The run where this engine has it; None where the store is to be asked: another engine's, or it was lost."""
        run = self._driver.runs.get(run_id) if isinstance(run_id, str) else None
        if run is None and not (self._store.durable and isinstance(run_id, str)):
            raise UsageError(f"run {run_id!r} is unknown")
        return None if run is not None and self._store.durable and isinstance(run.error, BusyError) else run

    def _run(self, run_id: str) -> ActiveRun:
        run = self._driver.runs.get(run_id) if isinstance(run_id, str) else None
        if run is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return run
