"""A stored run looked at from outside: its state after any step, and its tasks by what people call them.

Law: nothing here owns or changes a run; what is shown is what the store holds.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence, Set
from pathlib import Path

from msgspec.structs import replace

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.engine.artifacts import named_of
from aether_protocol.engine.mailbox import suspended_paths
from aether_protocol.engine.recovery import examine, rebuild, state_at
from aether_protocol.errors import AetherError, UsageError
from aether_protocol.plan.model import Kind
from aether_protocol.ports.store import STATE_ACTION_LOG, Store
from aether_protocol.scheduler.nodes import Container, DagNode, Node, TaskNode
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.runs.find import find_run
from aether_protocol.views.report import hook_name, not_run
from aether_protocol.views.summary import make_row

POLL_S = 0.2


async def load(store: Store, run_id: str) -> RunState:
    """The state as it is now. Raises UsageError for an unknown run, PortError for a damaged record."""
    gc.disable()  # nothing of what a run is made of is garbage, and to look for some takes a tenth of the time
    try:
        return rebuild(await store.runs.load(run_id))
    finally:
        gc.freeze()
        gc.enable()


async def load_at(store: Store, run_id: str, seq: int) -> RunState:
    """The state after step `seq`. Raises UsageError where there is no such step, or its past was not kept."""
    return await state_at(store, await store.runs.load(run_id), seq)


async def fault_of(store: Store, run_id: str, named: Set[str]) -> str | None:
    """What is wrong with the record of a run; None if it can be replayed from its first step, its row fits, and the artifacts
    that it names are among those that the store counts (`named`)."""
    try:
        stored = await store.runs.load(run_id)
        state = examine(stored)
        if stored.row.tier == STATE_ACTION_LOG:
            await state_at(store, replace(stored, snapshot=None), stored.row.seq)
    except AetherError as error:
        return error.message
    if not named >= named_of(state):
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
    raise UsageError(f"run {state.header.run_id!r} has no task run {text!r}", hint=hint)


async def find_writer(store: Store, run_id: str, task: str) -> tuple[str, bool]:
    """Give the path that a task's logs have, and whether there may be several tasks below it. A hook's is its name."""
    state = await load(store, run_id)
    path = find_task(state, task, [*not_run(state), *map(hook_name, state.hook_nodes)])
    node = state.find(path)
    if node is not None or ":" in path:
        return path, isinstance(node, Container)
    above, _, name = path.rpartition(".")
    dag = state.find(above)
    assert isinstance(dag, DagNode)
    return path, any(call.name == name and call.kind is not Kind.TASK for call in dag.target.tasks)


async def find_workspace(store: Store, root: Path | None, text: str, task: str) -> tuple[str, Path | None]:
    """Give the path of a task, and the folder of the workspace that was kept of it below `root`; None where none is kept."""
    from aether_protocol.execution.workspace import find_kept

    row = await find_run(store, text)
    state = await load(store, row.run_id)
    path = find_task(state, task)
    node = state.find(path)
    kept = find_kept(root, row.run_id, path, node.attempt) if root is not None and isinstance(node, TaskNode) else None
    return path, kept


async def find_suspended(store: Store, run_id: str, task: str) -> tuple[str, dict[str, str]]:
    """Find a suspended task.

    Returns:
        Its path, and the declared types of its inputs, by name.

    Raises:
        UsageError: there is no such task, or it does not wait for an answer.
    """
    state = await load(store, run_id)
    path = find_task(state, task, not_run(state))
    node = state.find(path)
    waiting = suspended_paths(state)
    if node is None or path not in waiting:
        hint = f"suspended: {', '.join(waiting)}" if waiting else "no task of this run is suspended"
        raise UsageError(f"{path} {_why_not(node)}", hint=hint)
    return path, {binding.name: binding.type for binding in node.call.inputs}


def _why_not(node: Node | None) -> str:
    """Why this task run cannot be resumed."""
    if node is None:
        return "has not begun"
    return f"is a {node.kind.name.lower()}, not a task" if isinstance(node, Container) else f"is {node.phase}, not Suspended"
