"""A stored run looked at from outside: its state after any step, and its tasks by what people call them.

Law: nothing here owns or changes a run; what is shown is what the store holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.engine.artifacts import named_of
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.engine.recovery import examine, state_at
from aether_protocol.errors import AetherError, ConflictError, NotFoundError, UsageError
from aether_protocol.expressions.json_copy import redacted
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Kind
from aether_protocol.ports.store import STATE_ACTION_LOG, Store
from aether_protocol.scheduler.nodes import Container, DagNode, Node, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.report import hook_name, not_run
from aether_protocol.views.summary import make_row


class LogPlace(Struct, frozen=True):
    """Where the logs of a task are: the path that its log lines have, and whether there may be `several` tasks below it."""

    path: str
    several: bool


class AskedInput(Struct, frozen=True):
    """An input that an answer may change: its type (DOC-9), the values that it may have, and the one that it has, without
    secrets; `bound`: it has one."""

    name: str
    type: str
    enum: list[Json] | None = None
    bound: bool = False
    value: Json = None


class TaskQuestion(Struct, frozen=True):
    """A suspended task: its path, the declared types of its inputs by name, and those inputs."""

    path: str
    types: Mapping[str, str]
    inputs: Sequence[AskedInput] = ()


class KeptWorkspace(Struct, frozen=True):
    """A task, and the folder of the workspace that was kept of it; None where none is kept."""

    path: str
    folder: Path | None


async def fault_of(store: Store, run_id: str, named: Set[tuple[str, str]]) -> str | None:
    """What is wrong with the record of a run; None if it can be replayed from its first step, its row fits, and the artifacts
    that it names are among those that the store counts (`named`, with their namespaces)."""
    try:
        stored = await store.runs.load(run_id)
        state = examine(stored)
        if stored.row.tier == STATE_ACTION_LOG:
            await state_at(store, replace(stored, snapshot=None), stored.row.seq)
    except AetherError as error:
        return error.message
    if not named >= {(state.plan.namespace, digest) for digest in named_of(state)}:
        return f"artifacts of run {run_id!r} are not counted: they may be deleted"
    made = make_row(state, stored.row.tier)
    made.message = made.message.encode("utf-8", "backslashreplace").decode("utf-8")  # as a store holds it
    wrong = [name for name in made.__struct_fields__ if getattr(made, name) != getattr(stored.row, name)]
    return f"the row of run {run_id!r} differs from its record: {', '.join(wrong)}" if wrong else None


def find_task(state: RunState, text: str, others: Sequence[str] = ()) -> str:
    """The path of the task run that `text` means: a path, one without the entrypoint's name, or a name that is there once.

    `others` count like the paths of task runs. Raises UsageError with what is near.
    """
    root = state.root.call.name if state.root is not None else ""
    paths = [node.path for node in state.nodes if node.hook is None] + [*others]
    known = set(paths)
    for path in (text, f"{root}.{text}"):
        if path in known:
            return path
    named = [path for path in paths if path.rpartition(".")[2] == text]
    if len(named) == 1:
        return named[0]
    if named:
        shown = ", ".join(named[:5])
        raise UsageError(f"{text!r} is the name of several task runs", hint=f"{shown}{', ...' if len(named) > 5 else ''}")
    hint = did_you_mean(text, paths) or did_you_mean(f"{root}.{text}", paths, "'aether show' lists the tasks of a run")
    raise NotFoundError(f"run {state.header.run_id!r} has no task run {text!r}", hint=hint)


def find_writer(state: RunState, task: str) -> LogPlace:
    """Find where a task's logs are. A hook's path is its name."""
    path = find_task(state, task, [*not_run(state), *map(hook_name, state.hook_nodes)])
    node = state.find(path)
    if node is not None or ":" in path:
        return LogPlace(path, isinstance(node, Container))
    above, _, name = path.rpartition(".")
    dag = state.find(above)
    assert isinstance(dag, DagNode)
    return LogPlace(path, any(call.name == name and call.kind is not Kind.TASK for call in dag.target.tasks))


def find_workspace(state: RunState, root: Path | None, task: str) -> KeptWorkspace:
    """Find the workspace that was kept of a task below `root`."""
    from aether_protocol.execution.workspace import find_kept

    path = find_task(state, task)
    node = state.find(path)
    if root is None or not isinstance(node, TaskNode):
        return KeptWorkspace(path, None)
    return KeptWorkspace(path, find_kept(root, state.header.run_id, path, node.attempt))


def find_suspended(state: RunState, task: str) -> TaskQuestion:
    """Find a suspended task. Raises UsageError where there is no such task, or it does not wait for an answer."""
    path = find_task(state, task, not_run(state))
    node = state.find(path)
    waiting = suspended_paths(state)
    if node is None or path not in waiting:
        hint = f"suspended: {', '.join(waiting)}" if waiting else "no task of this run is suspended"
        raise ConflictError(f"{path} {_why_not(node)}", hint=hint)
    held = redacted(node.inputs)
    inputs = [
        AskedInput(one.name, one.type, None if one.enum is None else list(one.enum), one.name in held, held.get(one.name))
        for one in node.call.inputs
    ]
    return TaskQuestion(path, {one.name: one.type for one in inputs}, inputs)


def _why_not(node: Node | None) -> str:
    """Why this task run cannot be resumed."""
    if node is None:
        return "has not begun"
    return f"is a {node.kind.name.lower()}, not a task" if isinstance(node, Container) else f"is {node.phase}, not Suspended"
