"""What a run still waits for, derived from its state alone: the commands that recovery issues again.

Law: everything that was ordered and has not come back follows from the state (timers, backoffs, what is to be continued,
the closing). Attempts under way are told as events (`AttemptLost`), so that losing them goes through the rules like all else.
"""

from __future__ import annotations

from aether_protocol.scheduler.commands import CloseRun, Command, Continue, SetTimer
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.scheduler.nodes import NEVER, Node, TaskNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.transitions import CREATED, READY, RUNNING


def outstanding(state: RunState) -> list[Command]:
    """Timers to set, whether to continue, whether to close; in the order of the nodes. Costs the number of nodes."""
    if state.root is None:
        return []
    cause = state.seq
    if state.closed:
        return [CloseRun(cause)]
    commands: list[Command] = []
    if state.root.ended_at is None:
        commands.append(SetTimer(WORKFLOW, TimerKind.TIMEOUT, state.deadline, cause))
    for node in state.nodes:
        if node.ended_at is not None:
            continue
        if node.timeout_due != NEVER:
            commands.append(SetTimer(node.id, TimerKind.TIMEOUT, node.timeout_due, cause))
        if isinstance(node, TaskNode) and node.phase is CREATED and node.backoff_due != NEVER:
            commands.append(SetTimer(node.id, TimerKind.BACKOFF, node.backoff_due, cause))
    if state.ready:
        commands.append(Continue(cause))
    return commands


def under_way(state: RunState) -> list[TaskNode]:
    """Leaves and hooks whose attempt was handed over and has not come back, in the order of dispatch."""
    return [n for n in state.nodes if isinstance(n, TaskNode) and _is_out(n)]


def suspects(state: RunState, out: list[TaskNode]) -> list[TaskNode]:
    """Those of the attempts under way that may have taken their engine along: what had begun; where nothing had, all that
    were lost before without anything having ended since."""
    begun = [node for node in out if node.phase is RUNNING]
    return begun or [node for node in out if not node.losses or node.lost_at == state.leaves_ended]


def _is_out(node: Node) -> bool:
    return node.phase is READY or node.phase is RUNNING
