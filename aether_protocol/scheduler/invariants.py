"""Every law of a run's state, checked by counting afresh. For tests, replay and recovery; never on the hot path.

Law: the counters that the rules trust are recomputed here from the nodes alone, and both must agree.
"""

from __future__ import annotations

from aether_protocol.errors import BrokenInvariant
from aether_protocol.plan.model import Kind
from aether_protocol.scheduler.nodes import NEVER, Container, DagNode, HookNode, LoopNode, Node, TaskNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.transitions import (
    CREATED,
    READY,
    RUNNING,
    SKIPPED,
    SUCCEEDED,
    SUSPENDED,
    TERMINAL,
    TRANSITIONS,
)


def check(state: RunState) -> None:
    """Raise BrokenInvariant naming the first law that does not hold."""
    for id_, node in enumerate(state.nodes):
        _require(node.id == id_, node, "is not at its number")
        _check_node(state, node)
        if isinstance(node, Container):
            _check_container(state, node)
        elif isinstance(node, TaskNode):
            _check_leaf(node, taken_over=state.header.kept is not None and node.path in state.header.kept)
    _check_queue(state)
    _check_run(state)


def _require(holds: bool, node: Node | None, law: str) -> None:
    if not holds:
        raise BrokenInvariant(f"node {node.id} ({node.path}) {law}" if node is not None else law)


def _check_node(state: RunState, node: Node) -> None:
    ended = node.phase in TERMINAL
    _require(ended == (node.ended_at is not None), node, "has an end if and only if its phase is terminal")
    _require(bool(TRANSITIONS[node.phase]) != ended, node, "has no way out of a terminal phase")
    if node.ended_at is not None:
        _require(node.created_at <= node.ended_at, node, "ended before it was made")
        _require(node.timeout_due == NEVER, node, "has a timer after its end")
        _require(node.started_at is None or node.created_at <= node.started_at <= node.ended_at, node, "started in its life")
    if node.phase is RUNNING:
        _require(node.started_at is not None, node, "is Running without a start")
    scope = node.parent
    if scope is not None:
        _require(scope.children[node.index] == node.id, node, "is the child that its container knows")
        if not ended:
            _require(scope.ended_at is None, node, "lives in a container that has ended")
        if node.phase in (READY, RUNNING):
            _require(scope.phase is not CREATED, node, "was dispatched in a container that is still Created")


def _check_leaf(node: TaskNode, *, taken_over: bool) -> None:
    retry = node.call.retry
    _require(node.retries <= (retry.limit if retry is not None else 0), node, "was retried beyond its limit")
    _require(node.attempt >= node.retries, node, "counts more retries than attempts")
    if node.phase is SKIPPED:
        _require(node.attempt == 0, node, "was skipped and dispatched")
    if taken_over:
        _require(node.attempt == 0, node, "was taken over from another run and dispatched (CTRL-4)")
    elif node.phase in (READY, RUNNING, SUSPENDED, SUCCEEDED):
        _require(node.attempt > 0, node, "was never dispatched")


def _check_container(state: RunState, scope: Container) -> None:
    children = [state.nodes[child] for child in scope.children if child >= 0]
    live = [child for child in children if child.ended_at is None]
    queued = sum(1 for entry in state.ready if entry[0] is scope)
    _require(scope.queued == queued, scope, "counts its queued children")
    if scope.ended_at is not None:
        _require(not live and not queued, scope, "has ended before its children")
        return
    _require(scope.live == len(live), scope, "counts its live children")
    _require(scope.suspended == sum(child.phase is SUSPENDED for child in live), scope, "counts its suspended children")
    _require(scope.succeeded == sum(c.phase is SUCCEEDED for c in children), scope, "counts its succeeded children")
    _require(bool(live) or bool(queued) or not scope.opened, scope, "is open with nothing left to do")
    if scope.phase is SUSPENDED:
        _require(len(live) == scope.suspended and not queued, scope, "is Suspended while something is under way")
    elif live and not queued:
        _require(len(live) > scope.suspended, scope, "is not Suspended though all in it is")
    if isinstance(scope, DagNode):
        _check_dag(state, scope, queued)
    else:
        assert isinstance(scope, LoopNode)
        limit = scope.target.concurrency if scope.items is not None else 1
        _require(not limit or len(live) + queued <= limit, scope, "runs more iterations at once than its concurrency")


def _check_dag(state: RunState, scope: DagNode, queued: int) -> None:
    waiting = {index for entry, index in state.ready if entry is scope}
    for index, call in enumerate(scope.target.tasks):
        if not scope.opened:
            break
        made = scope.children[index] >= 0
        if made or index in waiting:
            for dependency in call.dependencies:
                child = scope.children[dependency]
                _require(child >= 0 and state.nodes[child].ended_at is not None, scope, f"started {call.name!r} too early")
            _require(scope.unmet[index] == 0, scope, f"started {call.name!r} with open dependencies")
        else:
            _require(scope.unmet[index] > 0, scope, f"forgot to start {call.name!r}")


def _check_queue(state: RunState) -> None:
    for scope, index in state.ready:
        _require(scope.ended_at is None, scope, "has ended with children in the ready queue")
        _require(scope.children[index] < 0, scope, f"has child {index} both made and queued")


def _check_run(state: RunState) -> None:
    leaves = [n for n in state.nodes if n.call.kind is Kind.TASK and n.hook is None]
    _require(state.leaves_ended == sum(n.ended_at is not None for n in leaves), None, "the run counts its ended leaves")
    _require(state.leaves_known >= len(leaves), None, "the run knows all leaves that were made")
    hooks = [n for n in state.nodes if isinstance(n, HookNode)]
    _require(hooks == state.hook_nodes, None, "the run knows its hooks")
    live: dict[int, int] = {}
    for hook in hooks:
        key = hook.scope.id if hook.scope is not None else WORKFLOW
        if hook.ended_at is None:
            live[key] = live.get(key, 0) + 1
    _require(live == state.hooks_live, None, "the run counts its live hooks")
    if state.root is not None:
        done = state.root.ended_at is not None and not live
        _require(state.closed == done, None, "the run is closed if and only if it and its hooks have ended")
