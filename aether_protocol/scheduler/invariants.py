"""Every law of a run's state, checked by counting afresh. For tests, replay and recovery; never on the hot path.

Law: the counters that the rules trust are recomputed here from the nodes alone, and both must agree.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import Final

from aether_protocol.errors import BrokenInvariant
from aether_protocol.plan.model import HookEvent, Kind
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

_NOTHING: Final[Set[int]] = frozenset()
_DISPATCHED: Final = frozenset({READY, RUNNING, SUSPENDED, SUCCEEDED})


def check(state: RunState) -> None:
    """Raise BrokenInvariant naming the first law that does not hold. Costs the number of nodes: a run that is
    recovered is checked first, so the laws of every node are questions here, and words only where one does not hold."""
    reused = state.header.reused
    queued: dict[int, set[int]] = {}  # by container
    for scope, index in state.waiting:
        queued.setdefault(scope.id, set()).add(index)
    for id_, node in enumerate(state.nodes):
        if node.id != id_:
            raise _broken(node, "is not at its number")
        law = _broken_by_node(state, node)
        if law is None and isinstance(node, TaskNode):
            law = _broken_by_leaf(node, taken_over=reused is not None and node.path in reused)
        if law is not None:
            raise _broken(node, law)
        if isinstance(node, Container):
            _check_container(state, node, queued.get(id_, _NOTHING))
    _check_queue(state)
    _check_run(state)


def _broken(node: Node, law: str) -> BrokenInvariant:
    return BrokenInvariant(f"node {node.id} ({node.path}) {law}")


def _require(holds: bool, node: Node | None, law: str) -> None:
    if not holds:
        raise _broken(node, law) if node is not None else BrokenInvariant(law)


def _broken_by_node(state: RunState, node: Node) -> str | None:
    """The first law of all nodes that this one breaks."""
    phase, ended_at = node.phase, node.ended_at
    ended = phase in TERMINAL
    if ended != (ended_at is not None):
        return "has an end if and only if its phase is terminal"
    if ended == bool(TRANSITIONS[phase]):
        return "has no way out of a terminal phase"
    if ended_at is not None:
        started_at = node.started_at
        if node.created_at > ended_at:
            return "ended before it was made"
        if node.timeout_due != NEVER:
            return "has a timer after its end"
        if started_at is not None and not node.created_at <= started_at <= ended_at:
            return "started in its life"
    elif phase is RUNNING and node.started_at is None:
        return "is Running without a start"
    scope = node.parent
    if scope is not None:
        if scope.children[node.index] != node.id:
            return "is the child that its container knows"
        if not ended and scope.ended_at is not None:
            return "lives in a container that has ended"
        if (phase is READY or phase is RUNNING) and scope.phase is CREATED:
            return "was dispatched in a container that is still Created"
    return None


def _broken_by_leaf(node: TaskNode, *, taken_over: bool) -> str | None:
    """The first law of leaves that this one breaks."""
    retry, retries, attempt, phase = node.call.retry, node.retries, node.attempt, node.phase
    if retries > (retry.limit if retry is not None else 0):
        return "was retried beyond its limit"
    if attempt < retries:
        return "counts more retries than attempts"
    if attempt and phase is SKIPPED:
        return "was skipped and dispatched"
    if attempt and taken_over:
        return "was taken over from another run and dispatched (CTRL-4)"
    if not attempt and not taken_over and phase in _DISPATCHED:
        return "was never dispatched"
    return None


def _check_container(state: RunState, scope: Container, waiting: Set[int]) -> None:
    """`waiting` are its children in the ready queue."""
    children = [state.nodes[child] for child in scope.children if child >= 0]
    live = [child for child in children if child.ended_at is None]
    queued = len(waiting)
    _require(scope.queued == queued, scope, "counts its queued children")
    if scope.ended_at is not None:
        _require(not live and not queued, scope, "has ended before its children")
        return
    _require(scope.live == len(live), scope, "counts its live children")
    _require(scope.suspended == len([c for c in live if c.phase is SUSPENDED]), scope, "counts its suspended children")
    succeeded = len([c for c in children if c.phase is SUCCEEDED])
    _require(scope.succeeded == succeeded, scope, "counts its succeeded children")
    _require(bool(live) or bool(queued) or not scope.opened, scope, "is open with nothing left to do")
    if scope.phase is SUSPENDED:
        _require(len(live) == scope.suspended and not queued, scope, "is Suspended while something is running")
    elif live and not queued:
        _require(len(live) > scope.suspended, scope, "is not Suspended though all in it is")
    if isinstance(scope, DagNode):
        if scope.opened:
            _check_dag(state, scope, waiting)
    else:
        assert isinstance(scope, LoopNode)
        limit = scope.target.concurrency if scope.items is not None else 1
        _require(not limit or len(live) + queued <= limit, scope, "runs more iterations at once than its concurrency")


def _check_dag(state: RunState, scope: DagNode, waiting: Set[int]) -> None:
    nodes, children = state.nodes, scope.children
    for call, made, unmet in zip(scope.target.tasks, children, scope.unmet, strict=True):
        if made < 0 and call.position not in waiting:
            if unmet <= 0:
                raise _broken(scope, f"forgot to start {call.name!r}")
            continue
        if unmet:
            raise _broken(scope, f"started {call.name!r} with open dependencies")
        for dependency in call.dependencies:
            child = children[dependency]
            if child < 0 or nodes[child].ended_at is None:
                raise _broken(scope, f"started {call.name!r} too early")


def _check_queue(state: RunState) -> None:
    if state.ready:
        scope = state.ready[0]
        _require(scope.ended_at is None, scope, "has ended with a child at the head of the ready queue")
    for scope, index in state.waiting:
        _require(scope.children[index] < 0, scope, f"has child {index} both made and queued")


def _check_run(state: RunState) -> None:
    leaves = [n for n in state.nodes if n.call.kind is Kind.TASK and n.hook is None]
    _require(state.leaves_ended == len([n for n in leaves if n.ended_at is not None]), None, "the run counts its ended leaves")
    _require(state.leaves_known >= len(leaves), None, "the run knows all leaves that were made")
    hooks = [n for n in state.nodes if isinstance(n, HookNode)]
    _require(hooks == state.hook_nodes, None, "the run knows its hooks")
    live: dict[int, int] = {}
    for hook in hooks:
        key = hook.scope.id if hook.scope is not None else WORKFLOW
        if hook.ended_at is None:
            live[key] = live.get(key, 0) + 1
    _require(live == state.hooks_live, None, "the run counts its live hooks")
    _check_exits(state, hooks)
    if state.root is not None:
        done = state.root.ended_at is not None and not live
        _require(state.closed == done, None, "the run is closed if and only if it and its hooks have ended")


def _check_exits(state: RunState, hooks: Sequence[HookNode]) -> None:
    """HOOK-1: onExit is fired once for every scope that has ended, as the last of its hooks."""
    fired: set[int] = set()
    for hook in hooks:
        key = hook.scope.id if hook.scope is not None else WORKFLOW
        _require(key not in fired, hook.scope, f"had {hook.hook} fired after its onExit")
        if hook.hook == HookEvent.ON_EXIT:
            fired.add(key)
    _require(fired == state.exits, None, "the run knows the scopes whose onExit was fired")
    reused = state.header.reused
    for node in state.nodes:
        if node.call.hooks and HookEvent.ON_EXIT in node.call.hooks and node.hook is None and node.ended_at is not None:
            due = node.phase is not SKIPPED and node.id not in state.hooks_live
            due = due and not (reused is not None and node.path in reused)
            _require(node.id in fired or not due, node, "has ended without its onExit")
    if state.root is not None and state.root.ended_at is not None and HookEvent.ON_EXIT in state.plan.hooks:
        _require(WORKFLOW in fired or WORKFLOW in state.hooks_live, None, "the run has ended without its onExit")
