"""Containers: how a dag or loop opens, follows its children, and ends (SCHED-5, SCHED-6, SCHED-8, SCHED-10).

Law: a container ends when nothing in it is live and nothing queued; `settle` walks upward from what ended, never down or
sideways. `impose` alone walks down: the end that a timeout or a cancel gives to all beneath.
"""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.expressions import ExpressionError
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import HookEvent
from aether_protocol.scheduler import loops, name_resolution
from aether_protocol.scheduler.binding import BindError, resolve_outputs
from aether_protocol.scheduler.commands import ClearTimer, SetTimer
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.scheduler.evolve import RANK_PHASES
from aether_protocol.scheduler.facts import ContainerPhase, IterationGranted, ScopeOpened
from aether_protocol.scheduler.nodes import NEVER, NO_VALUES, Container, DagNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.sources import read_sources
from aether_protocol.scheduler.state import WORKFLOW
from aether_protocol.scheduler.step_builder import END_EVENTS, ENGINE_ERROR, StepBuilder, Verdict
from aether_protocol.scheduler.transitions import CANCELLED, CREATED, ERROR, READY, RUNNING, SUCCEEDED, SUSPENDED, Phase


def open_scope(step: StepBuilder, scope: Container) -> None:
    """Put the first children of an admitted container into the ready queue, or end it where there are none."""
    items = None
    if isinstance(scope, LoopNode):
        try:
            items = loops.items_of(step, scope)
        except BindError as error:
            step.end(scope, ERROR, ENGINE_ERROR, str(error))
            settle(step, scope)
            return
    step.emit(ScopeOpened(scope.id, items))
    if isinstance(scope, LoopNode) and items is None:
        step.emit(IterationGranted(scope.id, 0))
    if not scope.queued:
        _conclude(step, scope, _derive(scope))
        settle(step, scope)
    elif scope.timeout_due != NEVER:
        step.commands.append(SetTimer(scope.id, TimerKind.TIMEOUT, scope.timeout_due, step.cause))


def dispatched(step: StepBuilder, scope: Container | None) -> None:
    """Follow the dispatch of a leaf beneath: Created containers are Ready, suspended ones continue."""
    if scope is not None and scope.phase is SUSPENDED:
        step.refresh(scope)
    while scope is not None and scope.phase is CREATED:
        step.emit(ContainerPhase(scope.id, READY))
        scope = scope.parent


def started(step: StepBuilder, leaf: TaskNode) -> None:
    """A leaf started for the first time: the containers above that were not Running are. onStart: the workflow's first."""
    chain: list[Node] = [leaf]
    scope = leaf.parent
    while scope is not None and scope.started_at is None:
        step.emit(ContainerPhase(scope.id, RUNNING))
        chain.append(scope)
        scope = scope.parent
    if scope is None and step.plan.hooks:
        step.request_hook(HookEvent.ON_START, None, None)
    for node in reversed(chain):
        if node.call.hooks:
            step.request_hook(HookEvent.ON_START, node, node)


def settle(step: StepBuilder, node: Node) -> None:
    """`node` has ended: see what that means to all above it."""
    scope = node.parent
    while scope is not None:
        if scope.ended_at is not None:
            return
        verdict = None
        if isinstance(scope, LoopNode) and scope.items is None:
            verdict = loops.advance(step, scope, node)
        if scope.live or scope.queued:
            if scope.suspended or scope.phase is SUSPENDED:
                step.refresh(scope)
            return
        _conclude(step, scope, verdict or _derive(scope))
        node, scope = scope, scope.parent
    end_run(step, node)


def end_run(step: StepBuilder, root: Node) -> None:
    """The root has ended, and with it the run: the workflow's hooks are asked for."""
    step.commands.append(ClearTimer(WORKFLOW, TimerKind.TIMEOUT, step.cause))
    event = END_EVENTS.get(root.phase)
    if event is not None and step.plan.hooks:
        trigger = decider(root)
        step.request_hook(event, None, trigger)
        step.request_hook(HookEvent.ON_EXIT, None, trigger)


def decider(root: Node) -> Node | None:
    """HOOK-2: the task whose end decided the run's phase: a leaf, or a container whose end was not its children's doing.

    None where the end of the root container had a cause of its own: a cancel, a timeout, phaseConditions.
    """
    node = root
    while isinstance(node, Container):
        if node.culprit is None or node.phase is not RANK_PHASES[node.rank]:
            return node if node is not root else None
        node = node.culprit
    return node


def _derive(scope: Container) -> Verdict:
    if isinstance(scope, LoopNode):
        return loops.derive(scope)
    phase, culprit = RANK_PHASES[scope.rank], scope.culprit
    return phase, None, f"{culprit.call.name}: {culprit.message or culprit.phase}" if culprit is not None else ""


def _conclude(step: StepBuilder, scope: Container, verdict: Verdict) -> None:
    """End a container whose children have ended: outputs, then phaseConditions, which see them."""
    phase, code, message = verdict
    outputs, artifacts = _outputs(step, scope)
    conditions = scope.call.phase_conditions
    if conditions is not None:
        outcome = name_resolution.Outcome(phase, code, message, outputs, artifacts)
        given = step.override(scope, conditions, phase, name_resolution.of_container_outcome(step.state, scope, outcome))
        if given is not phase:
            message = "" if given is SUCCEEDED else f"{given} by phaseConditions"
            phase, code = given, None
    if isinstance(scope, LoopNode) and phase is not SUCCEEDED:
        outputs = NO_VALUES
    step.end(scope, phase, code, message, outputs, artifacts)


def _outputs(
    step: StepBuilder, scope: Container, endings: Mapping[int, name_resolution.Outcome] | None = None
) -> tuple[Mapping[str, Json], Mapping[str, Json]]:
    """What a container gives, resolved from its children as they have ended, or end with it (DATA-10, LOOP-6, ART-3)."""

    def report(message: str) -> None:
        step.report(scope, message)

    if isinstance(scope, LoopNode):
        return loops.outputs_of(step, scope, report), NO_VALUES
    assert isinstance(scope, DagNode)
    dag = scope.target
    if not dag.outputs and not dag.artifacts:
        return NO_VALUES, NO_VALUES
    resolver = name_resolution.of_container(step.state, scope)
    resolver.endings = endings or resolver.endings
    outputs: dict[str, Json] = {}
    resolve_outputs(dag.outputs, lambda output: read_sources(output.sources, resolver)[0], report, outputs)
    artifacts: dict[str, Json] = {}
    for artifact in dag.artifacts:
        try:
            value = resolver.artifact(artifact.from_) if artifact.from_ is not None else None
        except ExpressionError as error:
            report(f"output artifact {artifact.name!r}: {error.reason}")
            continue
        if isinstance(value, dict):
            artifacts[artifact.name] = {**value, "name": artifact.name}
        else:
            report(f"output artifact {artifact.name!r} is absent")
    return outputs, artifacts


def impose(step: StepBuilder, top: Node, phase: Phase, code: int | None, message: str) -> None:
    """Give `top` and all beneath it that has not ended this phase (SCHED-10, CTRL-3); workers are asked to stop.

    A container ends before its children, so that none of their ends starts anything; its outputs see theirs all the same.
    Hooks are asked for innermost first.
    """
    order: list[Node] = []
    stack: list[Node] = [top]
    nodes = step.state.nodes
    while stack:
        node = stack.pop()
        order.append(node)
        if isinstance(node, Container):
            stack.extend(nodes[child] for child in node.children if child >= 0 and nodes[child].ended_at is None)
    endings: dict[int, name_resolution.Outcome] = {}
    for node in reversed(order):
        given = node.outputs, node.artifacts
        if isinstance(node, DagNode) and node.opened:
            given = _outputs(step, node, endings)
        text = message if node is top or phase is CANCELLED else f"{top.path}: {message}"
        endings[node.id] = name_resolution.Outcome(phase, code, text, *given)
    asked, step.requested_hooks = step.requested_hooks, []
    for node in order:
        if isinstance(node, TaskNode):
            step.stop(node)
        end = endings[node.id]
        step.end(node, end.phase, end.code, end.message, end.outputs, end.artifacts)
    step.requested_hooks = asked
    for node in reversed(order):
        if node.call.hooks:
            step.request_end_hooks(node)
    settle(step, top)
