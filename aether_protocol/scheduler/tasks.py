"""Leaves: admission, dispatch, start, results, retries, suspension (SCHED-3, SCHED-7..10, CTRL-1, CTRL-2, DATA-9).

Law: an attempt ends in one place, `_attempt_ended`: its code, then phaseConditions, then retry, then its end and the hooks.
What is late, double or for another attempt never gets that far (SCHED-12).
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.expressions import ExpressionError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent, TaskDef
from aether_protocol.scheduler import name_resolution
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.binding import BindError, bind_inputs, check_value, fill_outputs
from aether_protocol.scheduler.commands import DispatchTask, SetTimer
from aether_protocol.scheduler.containers import dispatched, settle, started
from aether_protocol.scheduler.events import AttemptLost, TimerKind
from aether_protocol.scheduler.evolve import HOOK_TIMEOUT_US, apply_node_ended, apply_task_dispatched, apply_task_running
from aether_protocol.scheduler.facts import (
    ArtifactsFetched,
    AttemptRepeated,
    InputsBound,
    NodeEnded,
    RetryScheduled,
    TaskDispatched,
    TaskResumed,
    TaskRunning,
    TaskSuspended,
)
from aether_protocol.scheduler.nodes import NEVER, NO_VALUES, Node, TaskNode
from aether_protocol.scheduler.step_builder import ENGINE_ERROR, ENGINE_TIMEOUT, StepBuilder
from aether_protocol.scheduler.timing import backoff_us, duration_text, fraction
from aether_protocol.scheduler.transitions import (
    CODE_PHASES,
    ERROR,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
)


def admit(step: StepBuilder, node: Node) -> bool:
    """`when`, then inputs (SCHED-3, DATA-1), for leaves and containers alike. False: the node has ended.

    What has neither is not asked about.
    """
    call = node.call
    resolver = name_resolution.of_call(step.state, node)
    if call.when is not None:
        try:
            wanted = call.when.condition(resolver)
        except ExpressionError as error:
            return _refuse(step, node, f"when {call.when.text!r}: {error.reason}")
        if not wanted:
            step.end(node, SKIPPED, None, f"when {call.when.text!r} is false")
            settle(step, node)
            return False
        resolver.secret = False
    try:
        before = step.state.header.fetched.get(node.path) if call.artifacts and step.state.header.fetched else None
        bound = bind_inputs(resolver, call.inputs, call.artifacts, before or NO_VALUES)
    except BindError as error:
        return _refuse(step, node, str(error))
    if bound.inputs or bound.artifacts:
        step.emit(InputsBound(node.id, bound.inputs, bound.refs, bound.artifacts, bound.secret))
    return True


def _refuse(step: StepBuilder, node: Node, message: str) -> bool:
    """An Error before dispatch: no code of an executor, no retry."""
    step.end(node, ERROR, ENGINE_ERROR, message)
    if node.hook is None:
        settle(step, node)
    return False


def dispatch(step: StepBuilder, node: TaskNode, lost: AttemptRepeated | None = None) -> None:
    """Dispatch the next attempt (or the `lost` one again): its config is resolved from its inputs now (DATA-1)."""
    state = step.state
    call = node.call
    target: TaskDef = call.target  # type: ignore[assignment]
    template = target.config
    secret = node.secret
    if template.literal:
        config = template.fixed
    else:
        resolver = name_resolution.of_config(state, node)
        try:
            config = template.resolve(resolver)
        except ExpressionError as error:
            _refuse(step, node, f"executor.config: {error.reason}")
            return
        secret = secret or resolver.secret
    if lost is not None:
        step.emit(lost)
    else:
        fact = TaskDispatched(node.id, node.attempt + 1)
        step.facts.append(fact)
        apply_task_dispatched(state, fact)
    assignment = step.assignments.first(node, config)
    assignment.retry_count = node.retries
    assignment.inputs = node.inputs
    assignment.artifacts = node.input_artifacts
    assignment.payloads = node.payloads
    assignment.secret = secret
    if lost is not None and lost.goes_on and node.attempt_began_at is not None:
        assignment.elapsed_us = state.now - node.attempt_began_at
    step.commands.append(DispatchTask(node.id, assignment, step.cause))
    if node.parent is not None and node.parent.phase is not RUNNING:
        dispatched(step, node.parent)


def begin(step: StepBuilder, node: TaskNode) -> None:
    """Dispatch a leaf that counted as dispatched when made: it has nothing to bind, and its config is as the plan has it."""
    assignment = step.assignments.first(node, node.call.target.config.fixed)  # type: ignore[union-attr]
    step.commands.append(DispatchTask(node.id, assignment, step.cause))
    scope = node.parent
    if scope is not None and scope.phase is not RUNNING:
        dispatched(step, scope)


def running(step: StepBuilder, node: TaskNode, *, watch: bool = True) -> None:
    """The start of the current attempt is confirmed. `watch` false: its result is here already, no timer is needed."""
    first = node.started_at is None
    before = node.timeout_due
    fact = TaskRunning(node.id)
    step.facts.append(fact)
    apply_task_running(step.state, fact)
    due = node.timeout_due
    if watch and due != before:
        step.commands.append(SetTimer(node.id, TimerKind.TIMEOUT, due, step.cause))
    if first and node.hook is None:
        scope = node.parent
        if scope is None or scope.started_at is None or node.call.hooks:
            started(step, node)


def finished(step: StepBuilder, node: TaskNode, result: TaskResult) -> None:
    """A result for the current attempt."""
    call, code = node.call, result.code
    declared = call.target.outputs
    plain = code == 0 and not declared and call.phase_conditions is None
    outputs, artifacts = result.outputs or NO_VALUES, result.artifacts or NO_VALUES
    if node.phase is READY:
        scope = node.parent
        # nothing follows from the start of this attempt but that it is Running: its end says so too
        alone = scope is not None and scope.started_at is not None and node.started_at is None and not call.hooks
        if plain and alone and not result.warnings and not result.fetched:
            fact = NodeEnded(node.id, SUCCEEDED, 0, result.message, outputs, artifacts, started=True)
            step.facts.append(fact)
            apply_node_ended(step.state, fact)
            settle(step, node)
            return
        running(step, node, watch=code == 1)
    for warning in result.warnings:
        step.report(node, warning)
    if result.fetched:
        step.emit(ArtifactsFetched(node.id, result.fetched))
    if plain and not node.outputs:
        step.end(node, SUCCEEDED, 0, result.message, outputs, artifacts)
        if node.hook is None:
            settle(step, node)
        return
    phase = CODE_PHASES.get(code, ERROR)
    message = result.message
    if declared and outputs:
        names = {output.name for output in declared}
        outputs = {name: value for name, value in outputs.items() if name in names}
    if phase is SUSPENDED:
        _suspended(step, node, message, outputs, artifacts)
        return
    if code not in CODE_PHASES:
        message = message or f"the executor returned the unknown code {code}"
    if node.outputs:
        outputs = {**node.outputs, **outputs}
    artifacts = {**node.artifacts, **artifacts} if node.artifacts else artifacts
    _attempt_ended(step, node, name_resolution.Outcome(phase, code, message, outputs, artifacts))


def _suspended(
    step: StepBuilder, node: TaskNode, message: str, outputs: Mapping[str, Json], artifacts: Mapping[str, Json]
) -> None:
    if node.hook is not None:
        step.end(node, ERROR, ENGINE_ERROR, "a hook may not suspend")
        return
    step.emit(TaskSuspended(node.id, message, outputs, artifacts))
    if node.call.hooks:
        step.request_hook(HookEvent.ON_SUSPEND, node, node)
    step.refresh(node.parent)
    step.request_hook(HookEvent.ON_SUSPEND, None, node)


def _attempt_ended(step: StepBuilder, node: TaskNode, outcome: name_resolution.Outcome) -> None:
    """SCHED-9: its code, then phaseConditions, then retry, then its end and the hooks."""
    filled = _fill(step, node, outcome)
    conditions = node.call.phase_conditions
    if conditions is not None:
        resolver = name_resolution.of_outcome(step.state, node, outcome)
        given = step.override(node, conditions, outcome.phase, resolver)
        if given is not outcome.phase:
            outcome.phase = given
            if given is not SUCCEEDED and not outcome.message:
                outcome.message = f"{given} by phaseConditions"
    if outcome.phase is SUCCEEDED and not filled:
        _fill(step, node, outcome)
    if outcome.phase is not SUCCEEDED and _retry(step, node, outcome):
        return
    step.end(node, outcome.phase, outcome.code, outcome.message, outcome.outputs, outcome.artifacts)
    if node.hook is None:
        settle(step, node)


def _fill(step: StepBuilder, node: TaskNode, outcome: name_resolution.Outcome) -> bool:
    """DATA-9: declared values and types of a Succeeded task; what does not fit makes it an Error. True: done."""
    if outcome.phase is not SUCCEEDED:
        return False
    try:
        resolver = name_resolution.of_outcome(step.state, node, outcome)
        outcome.outputs = fill_outputs(resolver, node.target.outputs, outcome.outputs)
    except BindError as error:
        outcome.phase, outcome.code, outcome.message = ERROR, ENGINE_ERROR, str(error)
        return False
    return True


def _retry(step: StepBuilder, node: TaskNode, outcome: name_resolution.Outcome) -> bool:
    """Whether another attempt follows; then it is scheduled. A failing expression makes the end an Error (DATA-8)."""
    retry = node.call.retry
    if retry is None or node.retries >= retry.limit:
        return False
    if retry.expression is None:
        if outcome.phase is not ERROR and outcome.phase is not TIMEOUT:
            return False
    else:
        try:
            if not retry.expression.condition(name_resolution.of_outcome(step.state, node, outcome)):
                return False
        except ExpressionError as error:
            outcome.phase, outcome.code = ERROR, ENGINE_ERROR
            outcome.message = f"retry.expression {retry.expression.text!r}: {error.reason}"
            return False
    state = step.state
    number = node.retries + 1
    wait = backoff_us(retry, number, fraction(state.header.seed, node.id, number) if retry.jitter else 0.0)
    had_timer = node.timeout_due
    read = NO_VALUES if retry.expression is None else outcome.outputs
    step.emit(RetryScheduled(node.id, state.now + wait, outcome.phase, outcome.code, outcome.message, read))
    if had_timer != NEVER:
        step.clear_timeout(node)
    if wait:
        step.commands.append(SetTimer(node.id, TimerKind.BACKOFF, node.backoff_due, step.cause))
        if node.parent is not None and node.parent.phase is SUSPENDED:
            step.refresh(node.parent)
    else:
        dispatch(step, node)
    return True


def timed_out(step: StepBuilder, node: TaskNode) -> None:
    """The attempt's own timeout is over (SCHED-10)."""
    step.stop(node)
    text = f"timed out after {duration_text(node.call.timeout_us or HOOK_TIMEOUT_US)}"
    _attempt_ended(step, node, name_resolution.Outcome(TIMEOUT, ENGINE_TIMEOUT, text, node.outputs, node.artifacts))


def resume(step: StepBuilder, node: TaskNode, payload: Mapping[str, Json]) -> str | None:
    """CTRL-2: merge the payload into the inputs and dispatch again, or give the reason why not."""
    if node.phase is not SUSPENDED:
        return f"task {node.path!r} is {node.phase}, not Suspended"
    fitted = dict(payload)
    for binding in node.call.inputs:
        if binding.declared and binding.name in fitted:
            try:
                fitted[binding.name] = check_value(f"input {binding.name!r}", fitted[binding.name], binding.type, binding.enum)
            except BindError as error:
                return str(error)
    step.emit(TaskResumed(node.id, fitted))
    if node.call.hooks:
        step.request_hook(HookEvent.ON_RESUME, node, node)
    dispatch(step, node)
    step.refresh(node.parent)
    step.request_hook(HookEvent.ON_RESUME, None, node)
    return None


def lost(step: StepBuilder, node: TaskNode, event: AttemptLost) -> None:
    """Repeat the current attempt, which is gone, under its number. No retry (SCHED-9); only blamed losses count (RT-22)."""
    losses = node.losses + event.blamed
    if event.blamed and losses >= event.most:
        how, _, lines = event.reason.partition("\n")
        times = "once" if losses == 1 else f"{losses} times in a row"
        message = f"its process died {times}" + (f" ({how})" if how else "") + (f"\n{lines}" if lines else "")
        step.stop(node)  # it is gone, and where its broker thinks otherwise, it is not wanted
        step.end(node, ERROR, ENGINE_ERROR, message)
        if node.hook is None:
            settle(step, node)
    else:
        dispatch(step, node, AttemptRepeated(node.id, losses, event.goes_on))


def is_current(node: Node, attempt: int) -> bool:
    """Whether a word about `attempt` of `node` still counts (SCHED-12)."""
    phase = node.phase
    return (phase is READY or phase is RUNNING) and isinstance(node, TaskNode) and node.attempt == attempt
