"""The ScheduleStore port: schedules, what became of their fires, and the runs that these started.

Law: a schedule has a version that grows with every change, and who changes it says which one it read: of two schedulers the
second is refused. What a turn decides (the fires dealt with, their records, the new runs, the wish to cancel others) is
written in one transaction, so no fire is started twice and none is lost between two lines. No store reads a clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol

from msgspec import Struct, field

from aether_protocol.cron.settings import CronSettings
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import NewRun, RunSummary, Store

if TYPE_CHECKING:
    from aether_protocol.plan.model import Plan

STARTED: Final = "started"
SKIPPED: Final = "skipped"
MISSED: Final = "missed"
TRIGGERED: Final = "triggered"
BACKFILLED: Final = "backfilled"

CANCEL: Final[Json] = {"kind": "cancel", "reply": False}
"""What is put into the mailbox of a run that is replaced (CRON-4); nobody waits for an answer."""

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

    `cancel` are runs that shall be cancelled by whoever drives them.
    """

    schedule: StoredSchedule
    records: list[FireRecord] = field(default_factory=list)
    runs: list[NewRun] = field(default_factory=list)
    cancel: list[str] = field(default_factory=list)


class ScheduleStore(Protocol):
    """Schedules by namespace and name. Every method raises PortError when the outside fails."""

    async def put_schedule(self, schedule: StoredSchedule, plan: Plan | None = None) -> StoredSchedule:
        """Keep a schedule, new (version 0, with its plan) or changed (the version that was read); as it is stored now.

        BusyError where another was first: it exists, was changed, or is gone.
        """
        ...

    async def schedule(self, namespace: str, name: str) -> StoredSchedule | None:
        """One schedule, None for an unknown one."""
        ...

    async def schedules(self, namespace: str | None = None, due: int | None = None) -> list[StoredSchedule]:
        """Schedules by namespace and name; with `due` those whose next fire is not later than that instant."""
        ...

    async def next_due(self) -> int | None:
        """The earliest next fire of all schedules."""
        ...

    async def schedule_plan(self, namespace: str, name: str) -> Plan:
        """What a schedule runs. UsageError for an unknown one."""
        ...

    async def remove_schedule(self, namespace: str, name: str) -> bool:
        """Forget a schedule with its records; its runs stay. False if there was none."""
        ...

    async def turn(self, turn: ScheduleDecision) -> Mapping[str, int]:
        """Carry a decision out: all of it, or (BusyError: somebody else changed the schedule) nothing.

        Gives the fencing token of each new run. A run that exists already stays as it is, is not among them, and its record
        is not written again.
        """
        ...

    async def fires(self, namespace: str, name: str, before: int | None = None, limit: int = 100) -> list[FireRecord]:
        """Records of a schedule, newest first; `before` is the `id` of the last one of the page before."""
        ...

    async def scheduled_runs(self, namespace: str, name: str) -> list[RunSummary]:
        """The runs of a schedule that are there, by the time of their fires, latest first."""
        ...

    async def unfinished_runs(self) -> list[str]:
        """Runs of any schedule that have not closed, oldest first."""
        ...


class CronStore(Store, ScheduleStore, Protocol):
    """What keeps runs and schedules alike."""
