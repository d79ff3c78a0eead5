"""Makes spans of what engines store: one for each attempt and one for the run, as they end (RT-137).

Theory. An engine reports each stored step of a run, with a state that may be some steps ahead by then; so what is known of
open attempts is kept here, taken from the facts one by one. Where an engine recovers a run, it replays the record before it
continues, and reports that replay here as well: the open attempts are known again, and spans that ended shortly before the last
engine was lost, which may not have been sent, are made once more, under the ids that they had.

Law: nothing here raises into an engine, or waits. A run without a sampled trace costs one look-up a step.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from aether_protocol.ports.telemetry import SpanEvent, Tracer, TraceSpan
from aether_protocol.ports.wire import AttemptRef
from aether_protocol.scheduler.facts import (
    AttemptRepeated,
    Fact,
    NodeCreated,
    NodeEnded,
    RetryScheduled,
    RunClosed,
    TaskDispatched,
    TaskRunning,
    TaskSuspended,
)
from aether_protocol.scheduler.nodes import NEVER, TaskNode
from aether_protocol.scheduler.outstanding import under_way
from aether_protocol.scheduler.transitions import SUSPENDED, Phase
from aether_protocol.views.spans import AttemptTimes, RunTrace, attempt_span, run_span, trace_of

if TYPE_CHECKING:
    from aether_protocol.scheduler.commands import LogEntry
    from aether_protocol.scheduler.state import RunState

AGAIN_US: Final = 30_000_000  # spans may wait for so long until they are sent: an engine that is lost takes those with it

_log = logging.getLogger("aether_protocol")


class _TracedRun(Struct):
    """What is known of a run: its trace, None where it is not recorded; the epoch of its attempts; the open ones by node; and
    the spans that a replay has come by."""

    trace: RunTrace | None
    epoch: int
    open: dict[int, AttemptTimes]
    replayed: list[TraceSpan]


class RunSpans:
    """See `engine.observers` for `observe_entry`, and `engine.recovery.ReplayObserver` for the others."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._runs: WeakKeyDictionary[RunState, _TracedRun] = WeakKeyDictionary()  # a passivated run goes with its state

    def watch(self, engine: Any) -> None:
        """Make spans of what an `engine.api.RunEngine` stores from now on."""
        engine.observers.append(self.observe_entry)
        engine.replay_observers.append(self)

    def observe_entry(self, run_id: str, state: RunState, entry: LogEntry) -> None:
        """An engine has stored a log entry of a run."""
        run = self._runs.get(state) or self._begin(state, 0)
        if run.trace is not None:
            for span in _spans(run, run.trace, state, entry):
                self._tracer.ended(span)

    # --- a record that is replayed before its run continues ---

    def replay_begins(self, state: RunState, epoch: int) -> None:
        """The run as it was recorded as a whole, or before its first step."""
        try:
            run = self._begin(state, epoch)
            if run.trace is not None and state.root is not None:
                run.open = {node.id: _known(state, node) for node in under_way(state)}
        except Exception:
            _log.exception("the spans of a run cannot be made")

    def replayed(self, state: RunState, entry: LogEntry) -> None:
        """A recorded step, with the state after it."""
        run = self._runs.get(state)
        if run is not None and run.trace is not None:
            try:
                run.replayed += _spans(run, run.trace, state, entry)
            except Exception:
                _log.exception("the spans of a run cannot be made")

    def replay_ends(self, state: RunState, *, lost: bool) -> None:
        """The replay is over. `lost`: the engine before may have been lost, with spans that were not sent."""
        run = self._runs.get(state)
        if run is not None:
            found, run.replayed = run.replayed, []
            for span in found if lost else ():
                if span.end >= state.now - AGAIN_US:
                    self._tracer.ended(span)

    def _begin(self, state: RunState, epoch: int) -> _TracedRun:
        trace = trace_of(state.header)
        run = self._runs[state] = _TracedRun(trace if trace is not None and trace.context.sampled else None, epoch, {}, [])
        return run


def _known(state: RunState, node: TaskNode) -> AttemptTimes:
    """What a state knows of an open attempt: of a repetition that has not begun, when it was to be dispatched."""
    first = node.attempt == 1
    later = node.attempt_began_at or (node.backoff_due if node.backoff_due != NEVER else state.now)
    return AttemptTimes(node.attempt, node.created_at if first else later, node.attempt_began_at)


def _spans(run: _TracedRun, trace: RunTrace, state: RunState, entry: LogEntry) -> list[TraceSpan]:
    """The spans that end with a log entry."""
    found: list[TraceSpan] = []
    at = entry.at
    for fact in entry.facts:
        kind = type(fact)
        if kind is NodeCreated or kind is TaskDispatched:
            if fact.attempt:  # type: ignore[union-attr]
                run.open[fact.node] = AttemptTimes(fact.attempt, at)  # type: ignore[union-attr]
        elif kind is TaskRunning:
            times = run.open.get(fact.node)  # type: ignore[union-attr]
            if times is not None and times.began_at is None:
                times.began_at = at
        elif kind is AttemptRepeated:
            times = run.open.get(fact.node)  # type: ignore[union-attr]
            if times is not None:
                times.events = (*times.events, SpanEvent("lost and repeated", at))
        elif kind is RunClosed:
            found.append(run_span(state, trace, at))
        elif (end := _end_of(fact)) is not None:
            node, phase, message = end
            times = run.open.pop(node, None)
            if times is not None:
                if kind is NodeEnded and fact.started:  # type: ignore[union-attr]
                    times.began_at = at
                found.append(_attempt(run, trace, state, node, times, phase=phase, message=message, at=at))
    return found


def _end_of(fact: Fact) -> tuple[int, Phase, str] | None:
    """The node whose attempt ends with a fact, if it has one; how, and why."""
    if isinstance(fact, NodeEnded | RetryScheduled):
        return fact.node, fact.phase, fact.message
    if isinstance(fact, TaskSuspended):
        return fact.node, SUSPENDED, fact.message
    return None


def _attempt(
    run: _TracedRun,
    trace: RunTrace,
    state: RunState,
    number: int,
    times: AttemptTimes,
    *,
    phase: Phase,
    message: str,
    at: int,
) -> TraceSpan:
    node = state.nodes[number]
    assert isinstance(node, TaskNode)
    ref = AttemptRef(state.header.run_id, node.run_path, times.number, run.epoch)
    return attempt_span(state, trace, ref, node, times, phase=phase, message=message, at=at)
