"""Carries out the commands of stored entries: attempts to the deliveries, timers to the clock.

Law: a command is carried out after its entry is stored, in the order of the entries. What is for a broker goes out with the
next flush of the deliveries, so that one round of the loop awaits a broker once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from aether_protocol.engine.active_run import ActiveRun, Delivery
from aether_protocol.engine.dispatch.deliveries import Deliveries
from aether_protocol.engine.timers import Timers
from aether_protocol.execution.secrets import references_in
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.ports.wire import TaskAssignment
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
from aether_protocol.scheduler.outstanding import SLEEP

_DONE: Final[list[Command]] = []  # never written to


class CommandRunner:
    """Carries out commands. `closed` is called with a run that has ended, hooks and all."""

    def __init__(self, deliveries: Deliveries, timers: Timers, closed: Callable[[ActiveRun], None]) -> None:
        self._deliveries = deliveries
        self._timers = timers
        self._closed = closed

    def carry_out(self, todo: Iterable[tuple[ActiveRun, Sequence[LogEntry]]]) -> Sequence[ActiveRun]:
        """Carry out the commands of these entries.

        Returns:
            The runs that have more to start: each is to be continued once the deliveries are flushed.
        """
        waiting: list[ActiveRun] = []
        for run, entries in todo:
            for entry in entries:
                for command in entry.commands:
                    if type(command) is DispatchTask:
                        self._dispatch(run, command)
                    elif type(command) is Continue:
                        waiting.append(run)
                    else:
                        self._other(run, command)
                entry.commands = _DONE  # carried out: what keeps the entry keeps its facts alone
        return waiting

    def _dispatch(self, run: ActiveRun, command: DispatchTask) -> None:
        if run.state.nodes[command.node].ended_at is not None:
            return  # by a later event of the same batch: cancelled, say
        assignment = command.assignment
        if run.skew_us and assignment.deadline_us is not None:
            assignment.deadline_us -= run.skew_us  # for others, who go by the clock
        if assignment.secret or run.secrets:
            _name_secrets(run, assignment)
        ref = assignment.ref
        before = run.open.get(ref.path)
        if before is not None and before.ref != ref:
            self._deliveries.drop(before)
        delivery = run.open[ref.path] = Delivery(run, command.node, ref, assignment)
        if assignment.target.executor_type == SLEEP:
            delivery.sleep_us = _sleep_us(assignment)
        self._deliveries.add(delivery, assignment)

    def _other(self, run: ActiveRun, command: Command) -> None:
        if isinstance(command, SetTimer):
            self._timers.set(run, command.node, command.kind, command.due - run.skew_us)
        elif isinstance(command, ClearTimer):
            self._timers.clear(run, command.node, command.kind)
        elif isinstance(command, StopTask):
            delivery = run.open.pop(run.state.nodes[command.node].run_path, None)
            if delivery is not None:
                self._deliveries.drop(delivery)
        elif isinstance(command, CloseRun):
            self._closed(run)
        else:
            assert isinstance(command, DispatchTask | Continue)


def _sleep_us(assignment: TaskAssignment) -> int:
    """How long a `sleep` waits; 0 where its executor will refuse what it is given."""
    try:
        return parse_duration(assignment.config["duration"])
    except (TypeError, KeyError, ValueError):
        return 0


def _name_secrets(run: ActiveRun, assignment: TaskAssignment) -> None:
    """Name the secrets that the run has used so far, those of this assignment among them: what it says is masked for all."""
    if assignment.secret:
        given = (assignment.config, assignment.inputs, assignment.artifacts, assignment.payloads)
        run.secrets = tuple(dict.fromkeys([*run.secrets, *references_in(given)]))
    assignment.secrets = run.secrets
