"""What a retry reuses of the run before (CTRL-4).

A task run is reused if it Succeeded or was Skipped and everything that it depends on is reused; containers and loops child
by child. A container counts as reused for its dependents if it Succeeded and all in it is reused. The task that the retry
begins from is not reused, nor is anything downstream of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.nodes import Container, DagNode, LoopNode, Node
from aether_protocol.scheduler.state import RunState
from aether_protocol.scheduler.transitions import SKIPPED, SUCCEEDED

Reused = Mapping[str, Mapping[str, Json]]


def reused(state: RunState, start: str | None = None) -> dict[str, dict[str, Json]]:
    """Collect what a retry of the ended run `state` reuses: {path: how that leaf (or skipped container) ended}.

    `start` is the path of a task that runs again with all downstream of it, whatever they were.
    """
    found: dict[str, dict[str, Json]] = {}
    if state.root is not None:
        _reuse(state, state.root, start, found)
    return found


def fetched(state: RunState) -> dict[str, dict[str, Json]]:
    """What the tasks of the ended run `state` fetched, and those of the runs that it retried: {path: {artifact: {source,
    fetched}}}."""
    found: dict[str, dict[str, Json]] = {path: dict(held) for path, held in (state.header.fetched or {}).items()}
    for node in state.nodes:
        for name, held in node.input_artifacts.items():
            if node.hook is None and isinstance(held, dict) and "fetched" in held:
                found.setdefault(node.path, {})[name] = {"source": held["source"], "fetched": held["fetched"]}
    return found


def _reuse(state: RunState, node: Node, start: str | None, found: dict[str, dict[str, Json]]) -> bool:
    """Collect what is reused of `node` and below it; return whether all of it is. Recursion is bounded by maxNestedDepth."""
    path = node.path
    if path == start:
        return False
    if isinstance(node, Container) and node.phase is not SKIPPED:
        if isinstance(node, DagNode):
            inside = _reuse_tasks(state, node, start, found)
        else:
            inside = _reuse_iterations(state, node, start, found)
        return inside and node.opened and node.phase is SUCCEEDED
    if node.phase is not SUCCEEDED and node.phase is not SKIPPED:
        return False
    found[path] = {
        "phase": str(node.phase),
        "code": node.code,
        "message": node.message,
        "inputs": dict(node.inputs),
        "outputs": dict(node.outputs),
        "artifacts": dict(node.artifacts),
        "inputArtifacts": dict(node.input_artifacts),
    }
    return True


def _reuse_tasks(state: RunState, dag: DagNode, start: str | None, found: dict[str, dict[str, Json]]) -> bool:
    """The tasks of a dag along its edges: only below what is reused."""
    if not dag.opened:
        return False
    target = dag.target
    unmet = list(target.indegree)
    todo = deque(target.roots)
    count = 0
    while todo:
        index = todo.popleft()
        child = dag.children[index]
        if child < 0 or not _reuse(state, state.nodes[child], start, found):
            continue
        count += 1
        for below in target.dependents[index]:
            unmet[below] -= 1
            if not unmet[below]:
                todo.append(below)
    return count == len(target.tasks)


def _reuse_iterations(state: RunState, loop: Container, start: str | None, found: dict[str, dict[str, Json]]) -> bool:
    """The iterations of a loop: each by itself, those of a repeat loop only as long as all before them are reused."""
    assert isinstance(loop, LoopNode)
    whole = True
    for child in loop.children:
        if child < 0 or not _reuse(state, state.nodes[child], start, found):
            whole = False
            if loop.items is None:
                break
    return whole
