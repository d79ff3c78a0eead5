"""The engine's door: it drives runs, that is, it begins, recovers and locks them, until it is closed.

Law: a method either does what it says or raises, and what is raised says who is at fault: UsageError the caller, PortError
the outside, BrokenInvariant us. Everything that changes a run goes through the loop's inbox. What can be asked of runs,
whichever engine drives them, is asked of a `service.Client`; `driven` is what a client in this process uses of the engine.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TYPE_CHECKING, Self

from msgspec.structs import replace

from aether_protocol.engine.active_run import ActiveRun, Draft
from aether_protocol.engine.artifacts import named_by
from aether_protocol.engine.clock import Sending
from aether_protocol.engine.dispatch.deliveries import EngineSite
from aether_protocol.engine.driven import DrivenRuns, LoopGuard
from aether_protocol.engine.inbox import Asked
from aether_protocol.engine.leases import LEASE_S, LeaseKeeper
from aether_protocol.engine.logs import LogObserver
from aether_protocol.engine.loop import RunLoop
from aether_protocol.engine.mailbox import cancel_question
from aether_protocol.engine.observers import Observer, Observers, OnError, OnEvent
from aether_protocol.engine.recovery import ReplayObserver, revive
from aether_protocol.engine.snapshots import DEFAULT_POLICY, SnapshotPolicy, Snapshots, snapshots_of
from aether_protocol.engine.submission import choose_run_id, make_header, read_trace_context, read_variables
from aether_protocol.errors import AetherError, BrokenInvariant, BusyError, NotFoundError, UsageError
from aether_protocol.execution.secrets import SecretBook
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan
from aether_protocol.ports.broker import Broker
from aether_protocol.ports.clock import Clock, IdGenerator
from aether_protocol.ports.secrets import SecretProvider
from aether_protocol.ports.store import NewRun, RunKey, Store
from aether_protocol.ports.store.leases import BREAKS, Scope
from aether_protocol.ports.variables import VariableSource
from aether_protocol.ports.wire import AttemptRef, TaskResult
from aether_protocol.scheduler.events import MOST_DEATHS, RunConfiguration, RunHeader, Submitted

if TYPE_CHECKING:
    from aether_protocol.engine.passivation import Passivation, Recover

_log = logging.getLogger("aether_protocol")


def _passivation(store: Store, clock: Clock, keeper: LeaseKeeper, after_s: float, recover: Recover) -> Passivation:
    from aether_protocol.engine.passivation import Passivation  # here: few engines do

    return Passivation(store, clock, keeper, round(after_s * 1_000_000), recover)


class RunEngine:
    """Runs plans. An async context manager; all methods belong to the event loop that entered it.

    `observers` are called with (run id, state, step) after each stored step; the state may be some steps ahead.
    `log_observers` are called with each `LogRecord`, `log_drops` with how many bytes of logs were not stored. Add to
    these lists. `on_event(run id, record)` is called with each
    record of the event feed, `on_error(error, run=, task=, operation=, severity=)` with what goes wrong beside the ends of
    tasks; neither can steer or break a run. `secrets` are asked in order; of `variables` the later one of a namespace counts.

    On a durable store the engine holds what it drives as `owner` (by default a name of its own), under a lease of `lease_s`
    seconds that it renews; None: without an end, for a store that no other engine uses. `snapshots` says how often the state
    of a run is recorded as a whole.

    With `passivate_after_s` a run that has only waited for so many seconds, and will wait for longer than that, is
    released and dropped from memory; this engine wakes every passivated run of its store in time (see `passivation`).
    Engines that share a store and passivate must therefore know the same executors. None: runs stay in memory. `woken` are
    called with the id of each run that this engine has woken.

    `site` carries out the executors that are the engine's own affair; without one all of them go to the broker.
    `most_deaths`: an attempt whose own process died so often in a row is an Error (RT-22).

    `recorded_configuration` is recorded with every run that begins here, for people; it changes nothing. `begin_trace` gives
    the trace context of a run that begins here without one (RT-137); None: it gets none. `caller_context`: the `traceparent`
    under which runs begin here that are given none. `replay_observers` see the record of each run that is recovered here before
    it continues.
    """

    recorded_configuration: RunConfiguration | None = None
    begin_trace: Callable[[RunHeader], str] | None = None
    caller_context: str | None = None
    replay_observers: list[ReplayObserver]

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
        passivate_after_s: float | None = None,
        snapshots: SnapshotPolicy = DEFAULT_POLICY,
        on_event: OnEvent | None = None,
        on_error: OnError | None = None,
        site: EngineSite | None = None,
        most_deaths: int = MOST_DEATHS,
    ) -> None:
        self._store = store
        self.brokers: tuple[Broker, ...] = (broker,) if site is None else (broker, site.carrier)
        self._clock = clock
        self._ids = ids
        self.variables = tuple(variables)
        self._snapshots = snapshots
        lease_us = None if lease_s is None else round(lease_s * 1_000_000)
        watched = Observers(observers, on_event, on_error)
        keeper = LeaseKeeper(store, clock, owner or ids.new_id("engine", clock.now()), lease_us, watched)
        self._passivation: Passivation | None = None
        if passivate_after_s is not None and store.durable:
            self._passivation = _passivation(store, clock, keeper, passivate_after_s, self._recover_woken)
        self.woken = [] if self._passivation is None else self._passivation.woken
        self._driver = RunLoop(
            *(store, broker, clock, SecretBook(secrets), keeper, watched),
            site=site,
            passivation=self._passivation,
            most_deaths=most_deaths,
        )
        self._keeper = keeper
        self.observers, self.replay_observers = watched.steps, []
        self.log_observers = self._driver.logs.observers
        self.log_drops = self._driver.logs.drops
        self.log_observers.extend(log_observers)
        self.guard = LoopGuard()
        self.driven = DrivenRuns(self._driver, store, clock, self.guard, self._passivation)
        self._submitted = 0
        self._claims = asyncio.Lock()  # two at a time would both find what neither has recovered yet
        self._beginning: set[str] = set()  # runs that are in the store and not driven here yet

    async def __aenter__(self) -> Self:
        self.guard.enter()
        self._driver.start()
        if self._store.durable:
            await self._store.mailbox.listen(self.check_mailbox)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all executors and wait for them; runs that have not ended are left as they are."""
        if self.guard.is_open:
            self.guard.is_open = False
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
        key: RunKey | None = None,
        trace_context: str | None = None,
        submitted_by: str | None = None,
    ) -> str:
        """Begin a run and give its id. `scheduled_time` in microseconds since the epoch; `trace_context`: the `traceparent` of
        the span that it is begun in; `submitted_by` is recorded with it.

        Raises UsageError with everything that is wrong with the arguments (DATA-14), KeyTakenError where a run has the `key`.
        """
        draft = self.draft(
            plan,
            arguments,
            run_id=run_id,
            scheduled_time=scheduled_time,
            trace_context=trace_context,
            submitted_by=submitted_by,
        )
        draft.new.key = key
        return await self._begin(draft)

    def draft(
        self,
        plan: Plan,
        arguments: Mapping[str, Json] | None = None,
        *,
        run_id: str | None = None,
        scheduled_time: int | None = None,
        folder: str | None = None,
        trace_context: str | None = None,
        submitted_by: str | None = None,
    ) -> Draft:
        """A run as `submit` would begin it, to be made known to the store with something else. `folder`: of its document."""
        self.guard.require_open()
        now = self._clock.now()
        if scheduled_time is None and plan.of_schedule:  # DOC-1: it is run once, now
            scheduled_time = now
        chosen = choose_run_id(run_id, self._ids, now)
        variables, seed, folder = read_variables(self.variables), self._ids.seed(chosen), folder or plan.folder
        bare = RunHeader(
            chosen, now, scheduled_time, {}, variables, seed,
            trace_context=read_trace_context(trace_context), folder=folder, document_version=plan.document_version,
        )
        bare.submitted_by = submitted_by
        return self._draft(plan, make_header(plan, arguments or {}, bare))

    def begin(self, draft: Draft, token: int) -> str:
        """Begin a drafted run that the store knows by now, under this fencing token; its id."""
        run, new = draft.run, draft.new
        run.token, run.since = token, self._clock.now()
        self._submitted += 1
        run.number = self._submitted
        self._driver.runs[run.id] = run
        self._driver.put(run, Submitted(0, new.header, "api"))
        if new.owner is not None:
            self._keeper.lease_taken(draft.sent)
        return run.id

    def check_mailbox(self) -> None:
        """See at once what others ask of the runs here."""
        self._keeper.check_mailbox()
        if self._passivation is not None:
            self._passivation.poke()

    async def start(self, plan: Plan, header: RunHeader) -> str:
        """Record and begin a run whose header was made elsewhere (a retry); its id."""
        self.guard.require_open()
        return await self._begin(self._draft(plan, header))

    async def recover(
        self, run_ids: Sequence[str] | None = None, *, cancel: bool | str = False, limit: int | None = None
    ) -> list[str]:
        """Recover unfinished runs of the store: those named, or all without a live lease, `limit` at most. Return their ids.

        Timers keep their instants; attempts that were running when their engine was lost are dispatched again under the same
        numbers. It returns once all that was due or requested by then has been handled. With `cancel` (which may
        be the reason) the runs are cancelled instead: nothing but their hooks is started.

        Of named runs, one that has ended is left out; raises UsageError for an unknown one and one that was set aside (`mend`
        lets it be tried again), BusyError for one that another engine drives, PortError and BrokenInvariant for one whose
        record is damaged. Without `run_ids` such a run is logged and left alone.
        """
        self.guard.require_open()
        async with self._claiming():
            settled, answers = await self._claim_and_recover(run_ids, cancel, limit)
        for answer in answers:
            await answer
        await self._driver.recovered(list(settled.values()))
        return list(settled)

    def _claiming(self) -> AbstractAsyncContextManager[None]:
        return self._claims if self._passivation is None else self._passivation.claiming()

    async def _claim_and_recover(
        self, run_ids: Sequence[str] | None, cancel: bool | str, limit: int | None
    ) -> tuple[dict[str, asyncio.Future[None]], list[asyncio.Future[None]]]:
        """What ends with each recovery, and what is done with each cancel."""
        known = self._driver.runs
        wanted = None if run_ids is None else [one for one in dict.fromkeys(run_ids) if one not in known or known[one].error]
        if wanted is None and not self._store.durable:
            wanted = []  # all of its runs are here, and not under a lease that would keep them from being claimed
        await self._keeper.tell_breaks()
        scope: Scope = "all" if self._passivation is None else "ready"
        sent = self._keeper.sending()
        claimed = await self._store.leases.claim(self._keeper.owner, self._keeper.ttl, limit, wanted, scope)
        free = [pair for pair in claimed if pair[0] not in self._beginning]
        new = [(one, token) for one, token in free if one not in known or known[one].error]
        try:
            for one in set(wanted or ()) - {one for one, _ in new}:
                row = await self._store.runs.row(one)
                if row is None:
                    raise NotFoundError(f"run {one!r} is unknown")
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
            self._keeper.lease_taken(sent)
        settled: dict[str, asyncio.Future[None]] = {}
        answers: list[asyncio.Future[None]] = []
        for one, token in new:
            asked: Asked | None = None
            if cancel is not False:
                asked = cancel_question(cancel if isinstance(cancel, str) else ""), asyncio.get_running_loop().create_future()
            going_on = await self._recover(one, token, asked, sent, must=run_ids is not None)
            if going_on is not None:
                settled[one] = going_on
                answers += [asked[1]] if asked is not None else []
        return settled, answers

    async def _recover_woken(
        self, run_id: str, token: int, asked: Asked | None, sent: Sending
    ) -> asyncio.Future[None] | None:
        known = self._driver.runs.get(run_id)
        if known is not None and known.error is None:
            return None  # it is here already
        return await self._recover(run_id, token, asked, sent, must=False, woken=True)

    async def _recover(
        self, run_id: str, token: int, asked: Asked | None, sent: Sending, *, must: bool, woken: bool = False
    ) -> asyncio.Future[None] | None:
        """Done once the recovery is through; None where the run cannot be recovered."""
        try:
            stored = await self._store.runs.load(run_id)
            state = revive(stored, self.replay_observers)
            for observer in self.replay_observers:
                observer.replay_ends(state, lost=not woken)
            self._submitted += 1
            run = ActiveRun(run_id, self._submitted, state.plan, state, stored.epoch)
            run.token, run.since = token, self._clock.now()
            run.snapshots = snapshots_of(stored, self._snapshots)
            self._keeper.require(run_id, sent)
            settled = await self._driver.recover(run, asked)
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
            _log.error("run %s cannot be recovered: %s", run_id, told.message)
            return None
        return settled

    def _draft(self, plan: Plan, header: RunHeader) -> Draft:
        if self.recorded_configuration is not None:
            header = replace(header, configuration=self.recorded_configuration)
        if header.trace_context is None:
            context = read_trace_context(self.caller_context)
            if context is None and self.begin_trace is not None:
                context = self.begin_trace(header)
            header = header if context is None else replace(header, trace_context=context)
        run = ActiveRun(header.run_id, 0, plan)
        run.names_artifacts = header.reused is not None or header.fetched is not None
        run.state.header = header  # so that a row and a report can be made at once
        new = NewRun(run.row(), plan, header, artifacts=named_by(header))
        if self._store.durable:
            new.owner, new.ttl = self._keeper.owner, self._keeper.ttl
            run.snapshots = Snapshots(self._snapshots, self._store.tier, saved_at=header.created_at)
        return Draft(run, new, self._keeper.sending())

    async def _begin(self, draft: Draft) -> str:
        self._beginning.add(draft.run.id)  # a claim may come between
        try:
            return self.begin(draft, await self._store.runs.create(draft.new))
        finally:
            self._beginning.discard(draft.run.id)

    async def catch_up(self) -> None:
        """Return once all that was due or asked of its runs by now has been dealt with."""
        self.guard.require_open()
        await self._driver.catch_up()

    async def lock(self, name: str) -> bool:
        """Take the lock `name` in a durable store, for as long as this engine is open; False where another engine has it. An
        engine that loses it (it was cut off for longer than its lease) gives its runs up."""
        self.guard.require_open()
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

    def drives(self, run_id: str) -> bool:
        """Tell whether this engine drives that run, and it has not ended."""
        run = self._driver.runs.get(run_id)
        return run is not None and not run.over

    @property
    def clock(self) -> Clock:
        """The clock that this engine goes by."""
        return self._clock

    @property
    def ids(self) -> IdGenerator:
        """What makes the ids of its runs."""
        return self._ids

    @property
    def owner(self) -> str:
        """The name under which this engine holds its runs."""
        return self._keeper.owner

    @property
    def store(self) -> Store:
        """The store of this engine."""
        return self._store
