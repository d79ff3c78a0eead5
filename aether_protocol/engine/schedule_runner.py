"""Run schedules: start what is due through an engine, and tidy up after it.

Law: what follows from a fire is decided by cron.policy alone and written in one transaction of the store before any run;
a runner that was second learns that there and reads again. A run that was written and not begun is recovered like any other
that lost its engine. Nothing that fails for one schedule keeps the others from their fires.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, Protocol

from msgspec.structs import replace

from aether_protocol.cron.policy import Decision, Missed, decide, expired, run_name
from aether_protocol.engine.active_run import Draft
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.artifacts import collect
from aether_protocol.engine.submission import read_texts
from aether_protocol.errors import AetherError, BusyError, NotFoundError, PortError, UsageError
from aether_protocol.ports.artifacts import ArtifactRepository
from aether_protocol.ports.clock import Clock
from aether_protocol.ports.store import Store, schedules_of
from aether_protocol.ports.store.schedules import (
    BACKFILLED,
    MISSED,
    SKIPPED,
    STARTED,
    TRIGGERED,
    FireRecord,
    ScheduleDecision,
    StoredSchedule,
    next_due,
)
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.state import RunState

POLL_S: Final = 1.0  # schedules of others come and change while one waits
ORPHANS_US: Final = 5_000_000  # between two looks for runs without a live lease
COLLECT_US: Final = 600_000_000  # between two looks for artifacts that no run names: it costs a look at all of them
_TRIES: Final = 20  # against other schedulers, for one schedule

_log = logging.getLogger("aether_protocol")


class ScheduleObserver(Protocol):
    """Receives what the schedule runner does. What it raises is not caught."""

    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        """This became of a fire, and is recorded; a run that it started has begun."""
        ...

    def adopted(self, run_id: str) -> None:
        """Receive the id of an unfinished run without an engine that is recovered here."""
        ...

    def deleted(self, run_ids: Sequence[str]) -> None:
        """Old runs went, by the history limits."""
        ...

    def failed(self, what: str, error: AetherError) -> None:
        """Receive a schedule that cannot be handled, or a run that cannot be recovered; again only if the reason changes."""
        ...


class ScheduleRunner:
    """Deals with the schedules of `store`, which is the engine's. `clock` tells the time of day; `poll_s`: seconds after which
    it looks, at the latest, what others changed. `witness` receives what happens; by default it is logged. `artifacts`: where
    those lie that the runs name; what none names any more is deleted with runs that the history limits delete.

    All methods belong to the engine's event loop.
    """

    def __init__(
        self,
        engine: RunEngine,
        store: Store,
        clock: Clock,
        *,
        poll_s: float = POLL_S,
        witness: ScheduleObserver | None = None,
        artifacts: ArtifactRepository | None = None,
    ) -> None:
        self._artifacts = artifacts
        self._collected_at = -COLLECT_US
        self._poll_s = poll_s
        self._witness = witness or _LogWitness()
        self._failing: dict[str, str] = {}  # what cannot be handled, and the reason that was reported
        self._engine = engine
        self._store = store
        self._schedules = schedules_of(store)
        self._clock = clock
        self._to_tidy: set[tuple[str, str]] = set()
        self._hopeless: set[str] = set()  # runs that cannot be recovered: reported once
        self._looked_at = 0
        self._woken = asyncio.Event()
        engine.observers.append(self._saw)

    # --- what is due ---

    async def tick(self, wanted: Callable[[StoredSchedule], bool] = lambda _: True) -> list[str]:
        """Deal with every fire that is due by now, of the schedules that are wanted when it is their turn; the ids of the runs
        that were started, one schedule after the other.

        The witness receives what is wrong with one schedule. Raises PortError where the store cannot be asked at all.
        """
        now = self._clock.now()
        started: list[str] = []
        failing: dict[str, str] = {}
        for schedule in await self._schedules.find(due=now):
            if not wanted(schedule):
                continue
            what = _called(schedule)
            try:
                started += await self._deal(schedule, now)
            except AetherError as error:
                failing[what] = error.message
                if self._failing.get(what) != error.message:
                    self._witness.failed(what, error)
        self._failing = failing
        return started

    async def _deal(self, schedule: StoredSchedule, now: int) -> list[str]:
        for _ in range(_TRIES):
            rows = await self._schedules.runs(schedule.namespace, schedule.name)
            decision = decide(schedule.settings, schedule.seen, now, [row.run_id for row in rows if not row.closed])
            records = _records(schedule, decision, now)
            drafts: list[Draft] = []
            last_at = schedule.last_at
            if decision.start is not None:
                try:
                    drafts.append(await self._draft(schedule, decision.start))
                    last_at = decision.start
                    records.append(_record(schedule, decision.start, STARTED, now, drafts[0].run.id))
                except UsageError as error:
                    told = f"the run could not be started: {error.message}"
                    records.append(_record(schedule, decision.start, SKIPPED, now, reason=told))
                    decision.cancel.clear()
                    self._witness.failed(_called(schedule), error)
            after = replace(schedule, seen=decision.seen, next_at=decision.next_at, last_at=last_at)
            if (begun := await self._turn(after, records, drafts, decision.cancel)) is not None:
                self._to_tidy.add((schedule.namespace, schedule.name))
                return begun
            found = await self._schedules.get(schedule.namespace, schedule.name)
            if found is None or found.next_at is None or found.next_at > now:
                return []  # another runner has handled it
            schedule = found
        raise BusyError("others change it all the time")

    async def _draft(self, schedule: StoredSchedule, at: int, submitted_by: str | None = None) -> Draft:
        plan = await self._schedules.plan(schedule.namespace, schedule.name)
        named = run_name(schedule.namespace, schedule.name, at)
        folder = schedule.settings.folder
        return self._engine.draft(plan, run_id=named, scheduled_time=at, folder=folder, submitted_by=submitted_by)

    async def _turn(
        self, after: StoredSchedule, records: list[FireRecord], drafts: Sequence[Draft], cancel: list[str]
    ) -> list[str] | None:
        """Write a decision and begin its runs; None where the schedule was changed meanwhile."""
        turn = ScheduleDecision(after, records, [draft.new for draft in drafts], cancel)
        try:
            tokens = await self._schedules.decide(turn)
        except BusyError:
            return None
        begun = [self._engine.begin(draft, tokens[draft.run.id]) for draft in drafts if draft.run.id in tokens]
        if cancel:
            self._engine.check_mailbox()
        for record in records:
            if record.run_id is None or record.run_id in tokens:
                self._witness.fired(after, record)
        return begun

    # --- runs that are asked for ---

    async def trigger(
        self, namespace: str, name: str, *, submitted_by: str | None = None, texts: Mapping[str, str] | None = None
    ) -> str:
        """Start a run of a schedule now, whatever its policy and times say.

        Args:
            namespace: that of the schedule.
            name: which one.
            submitted_by: is recorded with the run.
            texts: values of parameters, as people write them (DATA-14).

        Returns:
            The run's id.

        Raises:
            UsageError: there is no such schedule, or a value does not fit.
        """
        now = self._clock.now()
        for _ in range(_TRIES):
            schedule = await self._known(namespace, name)
            plan = await self._schedules.plan(namespace, name)
            folder = schedule.settings.folder
            arguments = read_texts(plan, texts or {})
            draft = self._engine.draft(plan, arguments, scheduled_time=now, folder=folder, submitted_by=submitted_by)
            record = _record(schedule, now, TRIGGERED, now, draft.run.id)
            if begun := await self._turn(schedule, [record], [draft], []):
                return begun[0]
        raise BusyError(f"schedule {name!r} is changed by others all the time", hint="try again")

    async def backfill(self, namespace: str, name: str, at: int, *, submitted_by: str | None = None) -> str | None:
        """Start the run of the fire at `at`, which may be long past; None where there is (or was, and is kept) one.
        `submitted_by` is recorded with it."""
        now = self._clock.now()
        for _ in range(_TRIES):
            schedule = await self._known(namespace, name)
            draft = await self._draft(schedule, at, submitted_by)
            record = _record(schedule, at, BACKFILLED, now, draft.run.id)
            begun = await self._turn(schedule, [record], [draft], [])
            if begun is not None:
                return begun[0] if begun else None
        raise BusyError(f"schedule {name!r} is changed by others all the time", hint="try again")

    async def _known(self, namespace: str, name: str) -> StoredSchedule:
        schedule = await self._schedules.get(namespace, name)
        if schedule is None:
            raise NotFoundError(f"schedule {name!r} is unknown in namespace {namespace!r}")
        return schedule

    # --- what is left behind ---

    async def adopt_orphans(self, run_ids: Collection[str] | None = None) -> list[str]:
        """Recover the unfinished runs of schedules without a live lease, all or those named; return their ids."""
        self._looked_at = self._clock.now()
        adopted: list[str] = []
        for run_id in await self._unfinished():
            if run_ids is not None and run_id not in run_ids:
                continue
            if self._engine.drives(run_id) or run_id in self._hopeless:
                continue
            held = await self._store.leases.owner(run_id)
            if held is not None and held.live and held.owner != self._engine.owner:
                continue
            try:
                taken = await self._engine.recover([run_id])
            except BusyError:
                continue  # another engine was first
            except AetherError as error:
                self._hopeless.add(run_id)
                self._witness.failed(f"run {run_id}", error)
                continue
            adopted += taken
            for one in taken:
                self._witness.adopted(one)
        return adopted

    def _saw(self, run_id: str, state: RunState, step: LogEntry) -> None:
        if state.closed:
            self._to_tidy.add((state.plan.namespace, state.plan.name))
            self._woken.set()

    async def _unfinished(self) -> list[str]:
        """Runs of any schedule that have not closed, were not set aside and do not sleep, oldest fire first."""
        rows, now = await self._schedules.runs(closed=False), self._clock.now()
        awake = [row for row in rows if row.wake_at is None or row.wake_at <= now]
        return [row.run_id for row in reversed(awake) if row.broken is None]

    async def tidy(self) -> list[str]:
        """Delete the oldest ended runs beyond the history limits, of the schedules where a run ended or began (CRON-5)."""
        deleted: list[str] = []
        while self._to_tidy:
            one = self._to_tidy.pop()  # before it is looked at: a run of it may end meanwhile
            try:
                deleted += await self._tidy(*one)
            except AetherError:
                self._to_tidy.add(one)
                raise
        if deleted and self._artifacts is not None and self._clock.now() - self._collected_at >= COLLECT_US:
            self._collected_at = self._clock.now()
            await collect(self._store, self._artifacts, self._clock.now())
        return deleted

    async def _tidy(self, namespace: str, name: str) -> Sequence[str]:
        schedule = await self._schedules.get(namespace, name)
        if schedule is None:
            return ()
        rows = await self._schedules.runs(namespace, name)
        old = expired(schedule.settings, [(row.run_id, row.phase == "Succeeded") for row in rows if row.closed])
        if old:
            await self._store.runs.delete(old)
            self._witness.deleted(old)
        return old

    # --- in the foreground ---

    async def serve(self, stopping: asyncio.Event) -> None:
        """Start what is due, recover what was left, tidy up; until `stopping` is set. Runs may still be open then."""
        fresh = True
        while not stopping.is_set():
            self._woken.clear()
            try:
                await self.tick(lambda _: not stopping.is_set())
                if stopping.is_set():
                    break
                if abs(self._clock.now() - self._looked_at) >= ORPHANS_US:
                    await self.adopt_orphans()
                if fresh:  # the runner before may not have come to it
                    self._to_tidy |= {(one.namespace, one.name) for one in await self._schedules.find()}
                    fresh = False
                await self.tidy()
                due = None if self._failing else await next_due(self._schedules)
            except (PortError, BusyError) as error:
                _log.warning("the store does not answer: %s", error.message)
                due = None
            await self._wait(stopping, due)

    async def _wait(self, stopping: asyncio.Event, due: int | None) -> None:
        now = self._clock.now()
        wait_s = self._poll_s if due is None else min(max(due - now, 0) / 1_000_000, self._poll_s)
        waits = [asyncio.ensure_future(one) for one in (stopping.wait(), self._woken.wait(), self._clock.sleep(wait_s))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
            await asyncio.gather(*waits, return_exceptions=True)


def _called(schedule: StoredSchedule) -> str:
    return f"schedule {schedule.namespace}/{schedule.name}"


def _record(
    schedule: StoredSchedule, at: int, kind: str, now: int, run_id: str | None = None, reason: str = ""
) -> FireRecord:
    return FireRecord(at, kind, now, run_id, reason, generation=schedule.generation)


def _records(schedule: StoredSchedule, decision: Decision, now: int) -> list[FireRecord]:
    """What was not started, oldest first."""
    records = _missed(schedule, decision.missed, now) if decision.missed is not None else []
    return records + [_record(schedule, skip.at, SKIPPED, now, reason=skip.reason) for skip in decision.skips]


def _missed(schedule: StoredSchedule, missed: Missed, now: int) -> list[FireRecord]:
    if missed.times:
        return [_record(schedule, at, MISSED, now, reason=_why_missed(schedule, at, now)) for at in missed.times]
    several = _record(schedule, missed.last, MISSED, now, reason=f"missed: {missed.count} fires, no scheduler was running then")
    return [replace(several, count=missed.count, first=missed.first)]


def _why_missed(schedule: StoredSchedule, at: int, now: int) -> str:
    deadline_s = schedule.settings.deadline_s
    if deadline_s is not None and now - at > deadline_s * 1_000_000:
        return f"missed: more than startingDeadlineSeconds ({deadline_s}) late"
    return "missed: no scheduler was running then, and a later one was due as well"


class _LogWitness:
    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        if record.count > 1:
            _log.warning("schedule %s/%s missed %d fires", schedule.namespace, schedule.name, record.count)

    def adopted(self, run_id: str) -> None: ...

    def deleted(self, run_ids: Sequence[str]) -> None: ...

    def failed(self, what: str, error: AetherError) -> None:
        _log.error("%s: %s", what, error.message)
