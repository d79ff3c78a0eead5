"""Callbacks for programs that embed the engine: what happened to a run, and what went wrong.

Law: a callback can neither steer nor break a run. It is called after the store has the step, is given records of its own, and
what it raises is logged. One that takes long holds up the loop: it should hand its work to a thread or a task.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, Protocol

from aether_protocol.engine.active_run import ActiveRun
from aether_protocol.expressions.json_copy import json_copy
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.state import RunState

if TYPE_CHECKING:
    from aether_protocol.views.event_feed import EventRecord

Severity = Literal["warning", "error", "internal"]
Observer = Callable[[str, RunState, LogEntry], None]
OnEvent = Callable[[str, "EventRecord"], None]

_log = logging.getLogger("aether_protocol")


class OnError(Protocol):
    """Receives what went wrong beside the ends of tasks. `run` and `task` (as in an AttemptRef) where it concerns one;
    `operation` is what the engine was at: `drive`, `dispatch`, `stop`, `held`, `observe`, `logs` (pieces
    of logs were not stored), `store` (it does not answer the engine). `severity`: `warning` heals by
    itself, `error` ends the run here, `internal` is an internal error, to be reported."""

    def __call__(
        self, error: BaseException, *, run: str | None, task: str | None, operation: str, severity: Severity
    ) -> None: ...


class Observers:
    """`steps` are called with (run id, state, log entry), `on_event` with (run id, record) for each event record."""

    def __init__(
        self, steps: Sequence[Observer] = (), on_event: OnEvent | None = None, on_error: OnError | None = None
    ) -> None:
        self.steps = list(steps)
        self._on_event = on_event
        self._on_error = on_error

    @property
    def wanted(self) -> bool:
        """Whether steps are looked at at all."""
        return bool(self.steps) or self._on_event is not None

    def tell(self, run: ActiveRun, entries: Sequence[LogEntry]) -> None:
        """Steps of this run are stored."""
        for entry in entries:
            for observer in self.steps:
                try:
                    observer(run.id, run.state, entry)
                except Exception as error:
                    self._raised(run.id, error)
            if self._on_event is not None:
                from aether_protocol.views.event_feed import step_records  # only where records are asked for

                for record in step_records(run.state, entry):
                    try:
                        self._on_event(run.id, json_copy(record))
                    except Exception as error:
                        self._raised(run.id, error)

    def _raised(self, run_id: str, error: Exception) -> None:
        _log.error("an observer of run %s raised", run_id, exc_info=error)
        self.failed(error, "observe", run=run_id, severity="warning")

    def failed(
        self,
        error: BaseException,
        operation: str,
        *,
        run: str | None = None,
        task: str | None = None,
        severity: Severity = "error",
    ) -> None:
        """Something went wrong. It is logged where it happened."""
        if self._on_error is None:
            return
        try:
            self._on_error(error, run=run, task=task, operation=operation, severity=severity)
        except Exception:
            _log.exception("on_error raised")
