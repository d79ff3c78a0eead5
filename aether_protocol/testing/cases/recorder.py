"""Watches a run while it is driven: everything that a case may ask for and that the final report does not tell.

Law: read from facts alone, as they are stored. Phases of a task stand here one after the other (`views.phases`).
"""

from __future__ import annotations

import json
from typing import Any

from aether_protocol.engine.logs import LogRecord
from aether_protocol.errors import BrokenInvariant
from aether_protocol.expressions.values import Json
from aether_protocol.ports.wire import TaskAssignment, TaskResult
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.codec import decode_entry, encode_entry
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.nodes import Container
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import Phase
from aether_protocol.views.event_feed import step_records
from aether_protocol.views.phase_changes import phase_after


class Watch:
    """`phases` by node, `dispatched` nodes in order, `peaks` of children alive by container, the last assignment and
    result by path. `steps` are the run's record.
    """

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Look at another run from now on."""
        self.phases: dict[int, list[Phase]] = {}
        self.dispatched: list[int] = []
        self.peaks: dict[int, int] = {}
        self.assignments: dict[str, TaskAssignment] = {}
        self.results: dict[str, TaskResult] = {}
        self.steps: list[LogEntry] = []
        self.logs: list[LogRecord] = []
        self._alive: dict[int, int] = {}

    def step(self, run_id: str, state: RunState, step: LogEntry) -> None:
        """An observer of the engine."""
        self.steps.append(step)
        for fact in f.unfold(step.facts):
            phase = phase_after(fact)
            if phase is not None:
                self._change(state, fact, phase)

    def rewind(self, state: RunState) -> None:
        """The run went back to `state`: what came after its last step does not count."""
        kept = [step for step in self.steps if step.seq <= state.seq]
        if len(kept) < len(self.steps):
            self.phases, self.dispatched, self.peaks, self.steps, self._alive = {}, [], {}, [], {}
            for step in kept:
                self.step(state.header.run_id, state, step)

    def log(self, record: LogRecord) -> None:
        """An observer of the run's log."""
        self.logs.append(record)

    def assigned(self, task: TaskAssignment) -> None:
        """An executor was given this."""
        self.assignments[task.ref.path] = task

    def returned(self, result: TaskResult) -> None:
        """An executor gave this back."""
        self.results[result.ref.path] = result

    def told(self) -> list[Json]:
        """What was stored of the run and its log."""
        return [[json.loads(encode_entry(step)) for step in self.steps], [record.text for record in self.logs]]

    def visible(self, state: RunState) -> list[Json]:
        """Everything that was stored or reported of the run: its record, its events, its log."""
        return [*self.told(), [event for step in self.steps for event in step_records(state, step)]]

    def check_record(self, state: RunState) -> None:
        """Hold the record against the run: read back from JSON, it alone gives the same state. Raises BrokenInvariant."""
        again = RunState(state.plan)
        for step in self.steps:
            replay(again, decode_entry(encode_entry(step)))
        if again.fingerprint() != state.fingerprint():
            raise BrokenInvariant("the record of the run does not give its state again")

    def _change(self, state: RunState, fact: Any, phase: Phase) -> None:
        node = state.nodes[fact.node]
        seen = self.phases.setdefault(fact.node, [])
        if not seen or seen[-1] is not phase:
            seen.append(phase)
        if node.hook is not None:
            return
        kind = type(fact)
        if kind is f.TaskDispatched:
            self.dispatched.append(fact.node)
        elif kind is f.NodeCreated:
            self._count(node.parent, 1)
        elif kind is f.NodeEnded:
            self._count(node.parent, -1)

    def _count(self, scope: Container | None, change: int) -> None:
        if scope is not None:
            alive = self._alive[scope.id] = self._alive.get(scope.id, 0) + change
            self.peaks[scope.id] = max(self.peaks.get(scope.id, 0), alive)


def texts(*values: Json) -> str:
    """All text in `values`, keys and numbers too, one a line: what a search for something hidden looks through."""
    found: list[str] = []
    todo: list[Json] = list(values)
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found.extend(value)
            todo.extend(value.values())
        elif isinstance(value, list | tuple):
            todo.extend(value)
        else:
            found.append(json.dumps(value))
    return "\n".join(found)
