"""A run as a trace: which spans it has, under which ids, and what they say (RT-137).

The theory. Ids are hashes of names: the trace of a run that begins one, the span of a run, the span of each attempt. So every
engine, worker and reader derives the same ids from what is recorded, and nothing has to be remembered between the begin of a
span and its end. What a run was begun under is the `trace_context` of its header: the span of the caller, or, where the trace
begins with the run, the span of the run itself.

Names are those of the semantic conventions for CI/CD, of which a workflow is a pipeline; what these do not have begins with
`aether.`. Law: no value of a workflow gets into a span: no inputs, outputs, configs or messages but the one that says why
something did not go well, which was masked before it was recorded.
"""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Final

from msgspec import Struct

from aether_protocol.ports.telemetry import SpanEvent, TraceSpan
from aether_protocol.ports.trace_context import TraceContext
from aether_protocol.scheduler.attempts import AttemptRef
from aether_protocol.scheduler.events import RunHeader
from aether_protocol.scheduler.nodes import TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import (
    CANCELLED,
    ERROR,
    FAILED,
    SKIPPED,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    Phase,
)

MOST_OF_ERROR: Final = 1024  # characters

RESULTS: Final = {
    SUCCEEDED: "success",
    SKIPPED: "skip",
    FAILED: "failure",
    ERROR: "error",
    TIMEOUT: "timeout",
    CANCELLED: "cancellation",
}
_FINE: Final = frozenset({SUCCEEDED, SKIPPED, SUSPENDED})


class RunTrace(Struct, frozen=True):
    """The place of a run in its trace: its own span, and the id of the span above."""

    context: TraceContext
    parent: str | None


class AttemptTimes(Struct):
    """An attempt as far as it is known: its number, when it was dispatched, when its start was confirmed, and what happened to
    it meanwhile."""

    number: int
    dispatched_at: int
    began_at: int | None = None
    events: tuple[SpanEvent, ...] = ()


def begin_trace(header: RunHeader, samples: Callable[[str], bool]) -> str:
    """Give the trace context of a run that begins a trace.

    Args:
        header: that of the run.
        samples: says of the id of a trace whether it is recorded.
    """
    trace_id = _hashed(f"trace {header.run_id} {header.created_at} {header.seed}", 32)
    return str(TraceContext(trace_id, _run_span(trace_id, header.run_id), samples(trace_id)))


def trace_of(header: RunHeader) -> RunTrace | None:
    """Give the place of a run in its trace; None where it has none."""
    given = TraceContext.read(header.trace_context)
    if given is None:
        return None
    own = TraceContext(given.trace_id, _run_span(given.trace_id, header.run_id), given.sampled)
    return RunTrace(own, None if given.span_id == own.span_id else given.span_id)


def own_context(header: RunHeader) -> str | None:
    """Give the trace context of the span of a run, for what follows it; None where it is in no trace."""
    trace = trace_of(header)
    return None if trace is None else str(trace.context)


def attempt_context(above: TraceContext, ref: AttemptRef) -> TraceContext:
    """Give the context of the span of an attempt.

    Args:
        above: any span of its trace.
        ref: the attempt.
    """
    name = f"attempt {above.trace_id} {ref.task_run_id} {ref.attempt} {ref.epoch}"
    return TraceContext(above.trace_id, _hashed(name, 16), above.sampled)


def run_span(state: RunState, trace: RunTrace, ended_at: int) -> TraceSpan:
    """Make the span of a run that has closed, from its submission to the end of its hooks."""
    header, plan, phase = state.header, state.plan, state.phase
    attributes: dict[str, str | int | bool] = {
        "cicd.pipeline.name": plan.name,
        "cicd.pipeline.run.id": header.run_id,
        "cicd.pipeline.result": RESULTS.get(phase, "error"),
        "aether.namespace": plan.namespace,
        "aether.phase": str(phase),
        "aether.plan.digest": plan.digest,
    }
    if plan.version is not None:
        attributes["aether.workflow.version"] = plan.version
    if header.retry_of is not None:
        attributes["aether.retry_of"] = header.retry_of
    link = TraceContext.read(header.trace_link)
    return TraceSpan(
        name=f"run {plan.name}",
        context=trace.context,
        parent=trace.parent,
        begin=header.created_at,
        end=ended_at,
        attributes=_with_type(attributes, phase),
        kind="server",
        error=_error(phase, state.message),
        links=() if link is None else (link,),
    )


def attempt_span(
    state: RunState,
    trace: RunTrace,
    ref: AttemptRef,
    node: TaskNode,
    times: AttemptTimes,
    *,
    phase: Phase,
    message: str,
    at: int,
) -> TraceSpan:
    """Make the span of an attempt, from its dispatch to its end.

    Args:
        state: the run.
        trace: its place in its trace.
        ref: the attempt.
        node: the task run.
        times: what is known of the attempt.
        phase: how it ended; Suspended where it asks for an answer.
        message: why, masked.
        at: when.
    """
    attributes: dict[str, str | int | bool] = {
        "cicd.pipeline.name": state.plan.name,
        "cicd.pipeline.run.id": ref.run_id,
        "cicd.pipeline.task.name": node.call.name,
        "cicd.pipeline.task.run.id": ref.task_run_id,
        "aether.task.path": node.path,
        "aether.attempt": ref.attempt,
        "aether.executor.type": node.target.executor_type,
        "aether.namespace": state.plan.namespace,
        "aether.phase": str(phase),
    }
    if phase in RESULTS:
        attributes["cicd.pipeline.task.run.result"] = RESULTS[phase]
    if node.hook is not None:
        attributes["aether.hook"] = node.hook
    events = () if times.began_at is None else (SpanEvent("started", times.began_at),)
    return TraceSpan(
        name=node.call.name,
        context=attempt_context(trace.context, ref),
        parent=trace.context.span_id,
        begin=times.dispatched_at,
        end=at,
        attributes=_with_type(attributes, phase),
        error=_error(phase, message),
        events=(*events, *times.events),
    )


def _with_type(attributes: dict[str, str | int | bool], phase: Phase) -> dict[str, str | int | bool]:
    return attributes if phase in _FINE else {**attributes, "error.type": str(phase)}


def _error(phase: Phase, message: str) -> str | None:
    return None if phase in _FINE else message[:MOST_OF_ERROR]


def _run_span(trace_id: str, run_id: str) -> str:
    return _hashed(f"run {trace_id} {run_id}", 16)


def _hashed(name: str, digits: int) -> str:
    """Give an id: never one of zeros alone, which W3C forbids."""
    found = sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:digits]
    return found if found.strip("0") else found[:-1] + "1"
