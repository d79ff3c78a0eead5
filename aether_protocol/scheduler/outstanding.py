"""What a run still waits for, derived from its state alone: the commands that recovery issues again.

Law: everything that was ordered and has not come back follows from the state (timers, backoffs, what is to be continued,
the closing). Running attempts that are gone come as events (`AttemptLost`): their loss goes through the rules like all else.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from aether_protocol.scheduler.commands import CloseRun, Command, Continue, SetTimer
from aether_protocol.scheduler.events import TimerKind
from aether_protocol.scheduler.nodes import NEVER, Node, TaskNode
from aether_protocol.scheduler.state import WORKFLOW, RunState
from aether_protocol.scheduler.transitions import CREATED, READY, RUNNING

SLEEP: Final = "sleep"  # the executor that does what is left of an attempt


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
    """Leaves and hooks whose attempt was dispatched and has not come back, in the order of dispatch."""
    return [n for n in state.nodes if isinstance(n, TaskNode) and _is_out(n)]


def goes_on(node: TaskNode) -> bool:
    """Whether an attempt that was lost with its engine does what is left, under the time limit that it had (EXEC-2)."""
    return node.target.executor_type == SLEEP


def part_overdue(
    state: RunState, commands: Iterable[Command], now: int, held: Collection[int] = (), *, asked: bool = False
) -> tuple[list[SetTimer], list[Command]]:
    """The timers of a run that are over at `now`, in the order in which they are to fire, and all other commands.

    What is due at `now` itself waits for what else may happen at that instant. The time limit of an attempt that begins again
    is none of either: it counts from the new start. Attempts of the nodes that are `held` run on, and do not begin again.
    `asked`: something was asked of the run at this instant, which is in time.
    """
    late: list[SetTimer] = []
    others: list[Command] = []
    last = now if asked or state.ready or any(map(_is_out, state.nodes)) else now + 1
    for command in commands:
        if not isinstance(command, SetTimer) or command.due >= last:
            others.append(command)
        elif command.node == WORKFLOW or command.node in held or not _begins_again(state.nodes[command.node]):
            late.append(command)
    late.sort(key=lambda timer: firing_order(state, timer.due, timer.node))
    return late, others


def firing_order(state: RunState, due: int, node: int) -> tuple[int, tuple[int, ...]]:
    """Sorts timers of a run: by their instant, then in document order, the workflow's first."""
    return due, (0,) if node == WORKFLOW else state.order_key(state.nodes[node])


def _begins_again(node: Node) -> bool:
    return isinstance(node, TaskNode) and _is_out(node) and not node.payloads and not goes_on(node)


def _is_out(node: Node) -> bool:
    return node.phase is READY or node.phase is RUNNING
