"""How facts change the state: one function a kind of fact, and the only code that writes to a run's state.

Law: applying facts needs no rules, no expressions and no time of its own. What is applied pushes to the ready queue and
`NodeCreated` pops from it, so what is still to be started always follows from the state. Each fact costs the same however
many tasks the run has (amortised: a node's dependents are walked once, when it ends).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import repeat
from typing import Any, Final

from aether_protocol.expressions.values import Json, has_secret
from aether_protocol.plan.model import Call, ContinueOn, Kind
from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.nodes import (
    NEVER,
    NO_VALUES,
    NODE_TYPES,
    Container,
    DagNode,
    HookNode,
    LoopNode,
    Node,
    TaskNode,
)
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.transitions import (
    CANCELLED,
    CREATED,
    ERROR,
    FAILED,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    Phase,
)

TASK: Final = Kind.TASK
HOOK_TIMEOUT_US: Final = 300_000_000  # HOOK-3: five minutes without a timeout of its own

# SCHED-5: how bad an untolerated end is; the worst decides the container.
RANKS: Final = {SUCCEEDED: 0, SKIPPED: 0, FAILED: 1, ERROR: 2, TIMEOUT: 2, CANCELLED: 3}
RANK_PHASES: Final = (SUCCEEDED, FAILED, ERROR, CANCELLED)


def replay(state: RunState, step: LogEntry) -> None:
    """Apply one recorded step."""
    state.seq = step.seq
    state.now = step.at
    for fact in step.facts:
        APPLY[type(fact)](state, fact)


def apply_run_created(state: RunState, fact: f.RunCreated) -> None:
    state.header = fact.header
    state.secret = has_secret(fact.header.parameters)


def apply_node_created(state: RunState, fact: f.NodeCreated) -> None:
    if fact.parent < 0:
        call = state.plan.root
        apply_node_made(state, fact, None, call)
    else:
        scope = state.ready[0]
        apply_node_made(state, fact, scope, scope.child_call(state.ready_children[0]))


def apply_node_made(state: RunState, fact: f.NodeCreated, scope: Container | None, call: Call) -> Node:
    """Apply `NodeCreated`, where what it is made in and what it calls are known."""
    if scope is not None:
        ready = state.ready
        ready.popleft()
        state.ready_children.popleft()
        if ready and ready[0].ended_at is not None:
            _pass_over(state)
        scope.queued -= 1
        scope.live += 1
        scope.children[fact.index] = fact.node
    node: Node
    if fact.attempt:
        node = TaskNode(fact.node, call, scope, fact.index, state.now)
        node.phase = READY
        node.attempt = fact.attempt
    else:
        node = NODE_TYPES[call.kind](fact.node, call, scope, fact.index, state.now)
    state.nodes.append(node)
    if scope is None:
        state.root = node
        if call.kind is TASK:
            state.leaves_known += 1
    return node


def apply_inputs_bound(state: RunState, fact: f.InputsBound) -> None:
    node = state.nodes[fact.node]
    node.inputs = bound_inputs(state, fact) if fact.refs else fact.inputs
    node.input_artifacts = fact.artifacts
    node.secret = fact.secret


def bound_inputs(state: RunState, fact: f.InputsBound) -> Mapping[str, Json]:
    """The inputs that were bound, with those by reference filled in. The outputs of a node that has ended never change."""
    nodes = state.nodes
    return {**fact.inputs, **{name: nodes[node].outputs[output] for name, node, output in fact.refs}}


def apply_scope_opened(state: RunState, fact: f.ScopeOpened) -> None:
    scope = state.nodes[fact.node]
    assert isinstance(scope, Container)
    scope.opened = True
    outer = scope.parent.deadline if scope.parent is not None else state.deadline
    if scope.call.timeout_us is not None:
        scope.timeout_due = scope.created_at + scope.call.timeout_us
        outer = scope.timeout_due if outer is None else min(outer, scope.timeout_due)
    scope.deadline = outer
    if isinstance(scope, DagNode):
        dag = scope.target
        scope.unmet = list(dag.indegree)
        scope.children = [-1] * len(dag.tasks)
        state.leaves_known += dag.leaves
        scope.queued = len(dag.roots)
        state.ready.extend(repeat(scope, len(dag.roots)))
        state.ready_children.extend(dag.roots)
    elif isinstance(scope, LoopNode) and fact.items is not None:
        scope.items = fact.items
        scope.secret = scope.secret or has_secret(fact.items)
        count = len(fact.items)
        scope.children = [-1] * count
        if scope.target.body.kind is Kind.TASK:
            state.leaves_known += count
        first = min(scope.target.concurrency or count, count)
        scope.granted = scope.queued = first
        state.ready.extend(repeat(scope, first))
        state.ready_children.extend(range(first))


def apply_iteration_granted(state: RunState, fact: f.IterationGranted) -> None:
    loop = state.nodes[fact.node]
    assert isinstance(loop, LoopNode)
    loop.children.append(-1)
    loop.granted += 1
    loop.queued += 1
    loop.rank, loop.culprit = 0, None  # LOOP-5: the last iteration alone decides
    if loop.target.body.kind is Kind.TASK:
        state.leaves_known += 1
    state.ready.append(loop)
    state.ready_children.append(fact.index)


def _leave_suspension(node: Node) -> None:
    if node.phase is SUSPENDED and node.parent is not None:
        node.parent.suspended -= 1


def apply_task_dispatched(state: RunState, fact: f.TaskDispatched) -> None:
    node = state.nodes[fact.node]
    if node.phase is SUSPENDED and node.parent is not None:
        node.parent.suspended -= 1
    node.phase = READY
    node.attempt = fact.attempt  # type: ignore[attr-defined]
    if node.losses:  # type: ignore[attr-defined]
        node.losses = 0  # type: ignore[attr-defined]
    if node.started_at is not None:
        node.began_at = NEVER  # type: ignore[attr-defined]


def apply_task_running(state: RunState, fact: f.TaskRunning) -> None:
    node = state.nodes[fact.node]
    node.phase = RUNNING
    if node.started_at is None:
        node.started_at = state.now
    elif node.began_at == NEVER:  # type: ignore[attr-defined]
        node.began_at = state.now  # type: ignore[attr-defined]
    timeout_us = node.call.timeout_us
    if timeout_us is None and node.hook is not None:
        timeout_us = HOOK_TIMEOUT_US
    if timeout_us is not None and node.timeout_due == NEVER:
        node.timeout_due = state.now + timeout_us


def apply_container_phase(state: RunState, fact: f.ContainerPhase) -> None:
    node = state.nodes[fact.node]
    _leave_suspension(node)
    node.phase = fact.phase
    if fact.phase is RUNNING and node.started_at is None:
        node.started_at = state.now
    elif fact.phase is SUSPENDED and node.parent is not None:
        node.parent.suspended += 1


def apply_task_suspended(state: RunState, fact: f.TaskSuspended) -> None:
    node = state.nodes[fact.node]
    node.phase = SUSPENDED
    node.message = fact.message
    node.outputs = {**node.outputs, **fact.outputs} if node.outputs else fact.outputs
    node.artifacts = {**node.artifacts, **fact.artifacts} if node.artifacts else fact.artifacts
    if node.parent is not None:
        node.parent.suspended += 1


def apply_task_resumed(state: RunState, fact: f.TaskResumed) -> None:
    node = state.nodes[fact.node]
    assert isinstance(node, TaskNode)
    if node.bound is None:
        node.bound = node.inputs
    node.payloads = (*node.payloads, fact.payload)
    node.inputs = {**node.inputs, **fact.payload}


def apply_retry_scheduled(state: RunState, fact: f.RetryScheduled) -> None:
    node = state.nodes[fact.node]
    assert isinstance(node, TaskNode)
    _leave_suspension(node)
    node.phase = CREATED
    node.code = fact.code
    node.message = fact.message
    node.retries += 1
    node.backoff_due = fact.due
    node.timeout_due = NEVER
    node.outputs = node.artifacts = NO_VALUES
    node.payloads = ()
    if node.bound is not None:
        node.inputs = node.bound
        node.bound = None


def apply_node_ended(state: RunState, fact: f.NodeEnded) -> None:
    node = state.nodes[fact.node]
    phase = fact.phase
    scope = node.parent
    node.ended_at = state.now
    if fact.started and scope is not None:  # a leaf to which nothing has happened yet: there is nothing to undo
        scope.live -= 1
        state.leaves_ended += 1
        node.started_at = state.now
    elif not _taken_back(state, node, scope):
        scope = None
    node.phase = phase
    node.code = fact.code
    if fact.message:
        node.message = fact.message
    if fact.outputs:
        node.outputs = fact.outputs
    if fact.artifacts:
        node.artifacts = fact.artifacts
    if scope is not None:
        _child_ended(state, scope, node, phase)


def _taken_back(state: RunState, node: Node, scope: Container | None) -> bool:
    """Undo what holds only of a node that has not ended, and count its end; false for a hook's run."""
    if scope is not None:
        scope.live -= 1
        if node.phase is SUSPENDED:
            scope.suspended -= 1
    if node.message:
        node.message = ""
    if node.outputs:
        node.outputs = NO_VALUES
    if node.artifacts:
        node.artifacts = NO_VALUES
    if node.timeout_due != NEVER:
        node.timeout_due = NEVER
    if node.call.kind is TASK:
        if node.hook is not None:
            _hook_ended(state, node)
            return False
        state.leaves_ended += 1
    elif node.queued:  # type: ignore[attr-defined]
        node.queued = 0  # type: ignore[attr-defined]
        _pass_over(state)
    return True


def _child_ended(state: RunState, scope: Container, node: Node, phase: Phase) -> None:
    """What an end means to the container: counters, the culprit (SCHED-5), and who becomes ready (SCHED-1, LOOP-1)."""
    if scope.ended_at is not None:
        return
    go_on = True
    if phase is SUCCEEDED:
        scope.succeeded += 1
    elif phase is not SKIPPED:
        if phase is not CANCELLED:
            scope.failed += 1
        if not _tolerated(scope, node, phase):
            go_on = False
            _blame(scope, node, RANKS[phase])
    if type(scope) is DagNode:
        if go_on:
            unmet = scope.unmet
            for index in scope.call.target.dependents[node.index]:  # type: ignore[union-attr]
                unmet[index] -= 1
                if not unmet[index]:
                    scope.queued += 1
                    state.ready.append(scope)
                    state.ready_children.append(index)
    elif isinstance(scope, LoopNode) and scope.items is not None and scope.granted < len(scope.items):
        state.ready.append(scope)
        state.ready_children.append(scope.granted)
        scope.granted += 1
        scope.queued += 1


def _tolerated(scope: Container, node: Node, phase: Phase) -> bool:
    """The task's own continueOn, else the dag's; never merged (SCHED-1). A loop tolerates nothing (LOOP-6)."""
    if not isinstance(scope, DagNode):
        return False
    policy: ContinueOn | None = node.call.continue_on or scope.target.continue_on
    if policy is None:
        return False
    if phase is FAILED:
        return policy.failed
    if phase is ERROR:
        return policy.error
    return phase is TIMEOUT and policy.timeout


def _blame(scope: Container, node: Node, rank: int) -> None:
    """SCHED-5: the first to end so decides, then document order."""
    held = scope.culprit
    if rank > scope.rank or (
        rank == scope.rank and held is not None and node.ended_at == held.ended_at and node.index < held.index
    ):
        scope.rank = rank
        scope.culprit = node


def _pass_over(state: RunState) -> None:
    """A container that was ended from above starts nothing more. What it has further down is met when it is its turn: to look
    for it now would cost the whole queue for each container that a cancel ends."""
    ready = state.ready
    while ready and ready[0].ended_at is not None:
        ready.popleft()
        state.ready_children.popleft()


def _hook_ended(state: RunState, node: Node) -> None:
    assert isinstance(node, HookNode)
    scope = node.scope.id if node.scope is not None else WORKFLOW
    left = state.hooks_live[scope] - 1
    if left:
        state.hooks_live[scope] = left
    else:
        del state.hooks_live[scope]


def apply_hook_fired(state: RunState, fact: f.HookFired) -> None:
    scope = state.nodes[fact.scope] if fact.scope >= 0 else None
    trigger = state.nodes[fact.trigger] if fact.trigger >= 0 else None
    hooks = scope.call.hooks if scope is not None else state.plan.hooks
    node = HookNode(
        fact.node,
        hooks[fact.event],  # type: ignore[index]  # a HookEvent is its text
        state.now,
        event=str(fact.event),
        scope=scope,
        trigger=trigger,
        context=fact.context,
    )
    state.nodes.append(node)
    enter_hook(state, node)
    state.hooks_live[fact.scope] = state.hooks_live.get(fact.scope, 0) + 1
    if fact.event == "onExit":
        state.exits.add(fact.scope)


def enter_hook(state: RunState, node: HookNode) -> None:
    """Let the run know the hook, and number it among those of its event in its scope."""
    key = node.scope.id if node.scope is not None else WORKFLOW, node.hook or ""
    node.number = state.hook_numbers[key] = state.hook_numbers.get(key, 0) + 1
    state.hook_nodes.append(node)


def apply_reported(state: RunState, fact: f.Reported) -> None:
    state.notes.append((fact.node, fact.message))


def apply_attempt_repeated(state: RunState, fact: f.AttemptRepeated) -> None:
    node = state.nodes[fact.node]
    assert isinstance(node, TaskNode)
    node.losses = fact.losses
    node.phase = READY
    if not (node.payloads or fact.goes_on):  # else it continues from before the suspension, or the loss (SCHED-10)
        node.timeout_due = NEVER


def apply_artifacts_fetched(state: RunState, fact: f.ArtifactsFetched) -> None:
    node = state.nodes[fact.node]
    held = dict(node.input_artifacts)
    for name, fetched in fact.fetched.items():
        if name in held:
            held[name] = {**held[name], "fetched": fetched}
    node.input_artifacts = held


def apply_run_closed(state: RunState, fact: f.RunClosed) -> None:
    state.closed = True


APPLY: Final[dict[type, Callable[[RunState, Any], None]]] = {
    f.RunCreated: apply_run_created,
    f.NodeCreated: apply_node_created,
    f.InputsBound: apply_inputs_bound,
    f.ScopeOpened: apply_scope_opened,
    f.IterationGranted: apply_iteration_granted,
    f.TaskDispatched: apply_task_dispatched,
    f.TaskRunning: apply_task_running,
    f.ContainerPhase: apply_container_phase,
    f.TaskSuspended: apply_task_suspended,
    f.TaskResumed: apply_task_resumed,
    f.RetryScheduled: apply_retry_scheduled,
    f.NodeEnded: apply_node_ended,
    f.HookFired: apply_hook_fired,
    f.Reported: apply_reported,
    f.AttemptRepeated: apply_attempt_repeated,
    f.ArtifactsFetched: apply_artifacts_fetched,
    f.RunClosed: apply_run_closed,
}
