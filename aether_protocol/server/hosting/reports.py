"""What happens to the runs of a server, reported as data: the events of `service.run_host`, from the engine's steps.

Law: nothing is held for a run, however many there are; so what is reported of one stands in a single step of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from aether_protocol.assembly import Engine
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.errors import AetherError
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.facts import RunClosed, TaskSuspended
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.documents.folder import FolderReport
from aether_protocol.service.run_host import (
    DocumentsApplied,
    FireReported,
    HostEvent,
    HostFailure,
    RunEnded,
    RunLost,
    RunRecovered,
    RunsDeleted,
    RunSuspended,
)

_LOST: Final = "drive"  # the operation of `on_error` that means that the engine gave a run up


class RunReports:
    """Reports what happens; also a `schedule_runner.ScheduleObserver`. `watch` an engine to begin."""

    def __init__(self, report: Callable[[HostEvent], None]) -> None:
        self.report = report
        self._engine: Engine | None = None

    def watch(self, engine: Engine) -> None:
        """Report what happens to the runs of this engine from now on."""
        self._engine = engine
        engine.observers.append(self._stored)

    def _stored(self, run_id: str, state: RunState, step: LogEntry) -> None:
        for fact in step.facts:
            if isinstance(fact, RunClosed):
                self.report(RunEnded(state))
            elif isinstance(fact, TaskSuspended):
                self._suspended(state)

    def _suspended(self, state: RunState) -> None:
        paths = suspended_paths(state)
        if paths:
            self.report(RunSuspended(state, paths))

    def lost(self, error: BaseException, *, run: str | None, operation: str, **_: object) -> None:
        """Report a run that is not driven here any more: `on_error` of the engine."""
        if operation == _LOST and run is not None:
            self.report(RunLost(run, error.message if isinstance(error, AetherError) else str(error)))

    # --- ScheduleObserver ---

    def fired(self, schedule: StoredSchedule, record: FireRecord) -> None:
        """Report what became of a fire."""
        self.report(FireReported(schedule, record))

    def adopted(self, run_id: str) -> None:
        """Report a run that is recovered."""
        assert self._engine is not None
        state = self._engine.driven.state(run_id)
        if state.phase == "Suspended":
            self._suspended(state)
        else:
            self.report(RunRecovered(state))

    def applied(self, report: FolderReport) -> None:
        """Report what came of the folder that is followed."""
        if report.changes:
            names = [f"{one.action} {one.kind} {one.namespace}/{one.name}" for one in report.changes]
            self.report(DocumentsApplied(names))
        for detail in report.faults.values():
            self.report(HostFailure("documents", f"{detail}; what was applied before is kept"))

    def deleted(self, run_ids: Sequence[str]) -> None:
        """Report runs that the history limits deleted."""
        self.report(RunsDeleted(run_ids))

    def failed(self, what: str, error: AetherError) -> None:
        """Report what cannot be dealt with."""
        self.report(HostFailure(what, error.message))
