"""The critical path of a run that has ended: the leaves that it had to wait for, one after the other.

Law: pure, from the state; it begins at what ended last and goes back from each task to what ended last of what it waited for:
its dependencies in a dag; in a loop the iteration before whose end it began.
"""

from __future__ import annotations

from collections.abc import Iterator

from aether_protocol.scheduler.nodes import Container, DagNode, Node
from aether_protocol.scheduler.state import RunState


def critical_path(state: RunState) -> list[str]:
    """Give the paths of these leaves in the order of time; none of a run that has not ended."""
    root = state.root
    if root is None or root.ended_at is None:
        return []
    return [node.path for node in _within(state, root)]


def _within(state: RunState, node: Node) -> Iterator[Node]:
    """The leaves of a task run that it waited for, in order. Recursion is bounded by maxNestedDepth."""
    if not isinstance(node, Container):
        if node.started_at is not None:
            yield node
        return
    chain: list[Node] = []
    before = _Before(state, node)
    last = _last(state.nodes[child] for child in node.children if child >= 0)
    while last is not None:
        chain.append(last)
        last = before(last)
    for one in reversed(chain):
        yield from _within(state, one)


class _Before:
    """What a child of a container waited for: of its dependencies, or of the earlier iterations, the one that ended last."""

    def __init__(self, state: RunState, scope: Container) -> None:
        self._state, self._scope = state, scope
        self._needs: dict[int, list[int]] = {}
        if isinstance(scope, DagNode):
            for index, below in enumerate(scope.target.dependents):
                for one in below:
                    self._needs.setdefault(one, []).append(index)

    def __call__(self, node: Node) -> Node | None:
        nodes, children = self._state.nodes, self._scope.children
        if isinstance(self._scope, DagNode):
            return _last(nodes[children[index]] for index in self._needs.get(node.index, ()) if children[index] >= 0)
        earlier = (nodes[child] for child in children if child >= 0 and nodes[child].index < node.index)
        return _last(one for one in earlier if one.ended_at is not None and one.ended_at <= node.created_at)


def _last(nodes: Iterator[Node]) -> Node | None:
    """What ended last; None where nothing has."""
    ended = [node for node in nodes if node.ended_at is not None]
    return max(ended, key=lambda node: (node.ended_at or 0, node.id), default=None)
