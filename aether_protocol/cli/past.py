"""A stored run looked at from outside: its state after any step, and its tasks by what people call them.

Law: nothing here owns or changes a run; what is shown is what the store holds.
"""

from __future__ import annotations

from aether_protocol.engine.recovery import rebuild, state_at
from aether_protocol.engine.report import not_run
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunStore
from aether_protocol.scheduler.state import RunState

POLL_S = 0.2
MAX_COMPARED = 2_000  # paths that a misspelt one is compared with


async def load(store: RunStore, run_id: str) -> RunState:
    """The state as it is now. Raises UsageError for an unknown run, PortError for a damaged record."""
    return rebuild(await store.load(run_id))


async def load_at(store: RunStore, run_id: str, seq: int) -> RunState:
    """The state after step `seq`. Raises UsageError where there is no such step, or its past was not kept."""
    return await state_at(store, await store.load(run_id), seq)


def find_task(state: RunState, text: str, *, planned: bool = False) -> str:
    """The path of the task run that `text` means: a path, one without the entrypoint's name, or a name that is there once.

    With `planned`, tasks count too that have not run (yet) in the dags that were opened. Raises UsageError with what is near.
    """
    from difflib import get_close_matches

    root = state.root.call.name if state.root is not None else ""
    paths = [node.path for node in state.nodes if node.hook is None]
    if planned:
        paths += not_run(state)
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
    some = paths[:MAX_COMPARED]
    near = get_close_matches(text, some, 1) or get_close_matches(f"{root}.{text}", some, 1)
    hint = f"did you mean {near[0]!r}?" if near else "'aether show' lists the tasks of a run"
    raise UsageError(f"run {state.header.run_id!r} has no task run {text!r}", hint=hint)
