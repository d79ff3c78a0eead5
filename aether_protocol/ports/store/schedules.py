"""Schedules, what became of their fires, and the runs that these started.

Law: a schedule has a version that grows with every change, and a caller that changes it says which one it read: of two engines
the second is refused. What is decided (the fires dealt with, their records, the new runs, the wish to cancel others) is
written in one transaction, so no fire is started twice and none is lost between two writes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.runs import NewRun, RunSummary

if TYPE_CHECKING:
    from aether_protocol.cron.settings import CronSettings
    from aether_protocol.plan.model import Plan

STARTED: Final = "started"
SKIPPED: Final = "skipped"
MISSED: Final = "missed"
TRIGGERED: Final = "triggered"
BACKFILLED: Final = "backfilled"

CANCEL: Final[Json] = {"kind": "cancel", "reply": False}
"""What is put into the mailbox of a run that is replaced (CRON-4); no caller waits for an answer."""

END_OF_TIME: Final = 1 << 62

KEEP_FIRES: Final = 1_000
"""Records of a schedule that a store keeps at least; older ones may go, but for those of runs that have not ended."""


class StoredSchedule(Struct):
    """A schedule as it stands. Instants are microseconds since the epoch.

    `generation` counts the schedules that had this name one after the other (apply --replace). `version` is 0 until it is
    stored. `spec` is the sha256 of its workflowSpec in hex, `document` its text. `seen`: every fire up to that instant has
    been dealt with. `next_at` is the next one, None where there is none; `last_at` the last one that started a run.
    """

    namespace: str
    name: str
    settings: CronSettings
    spec: str
    document: str
    applied_at: int
    changed_at: int
    seen: int
    next_at: int | None
    last_at: int | None = None
    generation: int = 1
    version: int = 0


class FireRecord(Struct):
    """What became of a fire, or of several that were missed one after the other (`count`, from `first` to `at`).

    `kind` is one of the words above, `noted_at` when it was written, `id` the store's own number, growing.
    """

    at: int
    kind: str
    noted_at: int
    run_id: str | None = None
    reason: str = ""
    count: int = 1
    first: int | None = None
    generation: int = 1
    id: int = 0


class ScheduleDecision(Struct):
    """One decision about a schedule: how it stands from now on (with the version that was read), and what follows from it.

    `cancel` are runs that shall be cancelled by the engines that drive them.
    """

    schedule: StoredSchedule
    records: list[FireRecord] = field(default_factory=list)
    runs: list[NewRun] = field(default_factory=list)
    cancel: list[str] = field(default_factory=list)


class ScheduleWrite(Struct):
    """A schedule to be written together with others: see `ScheduleStore.put`."""

    schedule: StoredSchedule
    plan: Plan | None = None


class ScheduleStore(Protocol):
    """Schedules by namespace and name."""

    async def put(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        """Keep a schedule, new (version 0, with its plan) or changed (the version that was read); as it is stored now.

        Raises BusyError where another was first: it exists, was changed, or is gone.
        """
        ...

    async def get(self, namespace: str, name: str) -> StoredSchedule | None:
        """Read one schedule; None for an unknown one."""
        ...

    async def find(
        self,
        namespace: str | None = None,
        *,
        due: int | None = None,
        after: tuple[str, str] | None = None,
        limit: int | None = None,
    ) -> list[StoredSchedule]:
        """List schedules by namespace and name.

        Args:
            namespace: Only of this one.
            due: Only those that fire next at that instant or before, soonest first.
            after: Only those behind this one (namespace, name); not together with `due`.
            limit: How many at most.
        """
        ...

    async def plan(self, namespace: str, name: str) -> Plan:
        """Read what a schedule runs. Raises UsageError for an unknown one."""
        ...

    async def remove(self, namespace: str, name: str) -> bool:
        """Delete a schedule with its records; its runs stay. False if there was none."""
        ...

    async def decide(self, decision: ScheduleDecision) -> Mapping[str, int]:
        """Carry a decision out: all of it, or nothing (BusyError: another engine has changed the schedule).

        Gives the fencing token of each new run. A run that exists already stays as it is, is not among them, and its record
        is not written again.
        """
        ...

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        """List records of a schedule, newest first.

        Args:
            namespace: Of the schedule.
            name: Its name.
            before: The `id` of the last record of the page before.
            limit: How many at most.
        """
        ...

    async def runs(
        self, namespace: str | None = None, name: str | None = None, *, closed: bool | None = None
    ) -> list[RunSummary]:
        """List the stored runs of schedules by the time of their fires, latest first.

        Args:
            namespace: Only of schedules there.
            name: Only of the schedule of this name.
            closed: Only runs that are, or are not.
        """
        ...


async def next_due(schedules: ScheduleStore) -> int | None:
    """The earliest next fire of all schedules."""
    first = await schedules.find(due=END_OF_TIME, limit=1)
    return first[0].next_at if first else None
