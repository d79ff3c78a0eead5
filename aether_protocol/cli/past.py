"""A stored run looked at from outside: its state after any step, and its tasks by what people call them.

Law: nothing here owns or changes a run; what is shown is what the store holds.
"""

from __future__ import annotations

import gc

from aether_protocol.engine.recovery import rebuild, state_at
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunStore
from aether_protocol.scheduler.state import RunState

POLL_S = 0.2


async def load(store: RunStore, run_id: str) -> RunState:
    """The state as it is now. Raises UsageError for an unknown run, PortError for a damaged record."""
    gc.disable()  # nothing of what a run is made of is garbage, and to look for some takes a tenth of the time
    try:
        return rebuild(await store.load(run_id))
    finally:
        gc.freeze()
        gc.enable()


async def load_at(store: RunStore, run_id: str, seq: int) -> RunState:
    """The state after step `seq`. Raises UsageError where there is no such step, or its past was not kept."""
    return await state_at(store, await store.load(run_id), seq)


def find_task(state: RunState, text: str) -> str:
    """The path of the task run that `text` means: a path, one without the entrypoint's name, or a name that is there once.

    Raises UsageError with what is near.
    """
    from difflib import get_close_matches

    root = state.root.call.name if state.root is not None else ""
    for path in (text, f"{root}.{text}"):
        if state.find(path) is not None:
            return path
    paths = [node.path for node in state.nodes if node.hook is None]
    named = [path for path in paths if path.rpartition(".")[2] == text]
    if len(named) == 1:
        return named[0]
    if named:
        shown = ", ".join(named[:5])
        raise UsageError(f"{text!r} is the name of several task runs", hint=f"{shown}{', ...' if len(named) > 5 else ''}")
    near = get_close_matches(text, paths, 1) or get_close_matches(f"{root}.{text}", paths, 1)
    hint = f"did you mean {near[0]!r}?" if near else "'aether show' lists the tasks of a run"
    raise UsageError(f"run {state.header.run_id!r} has no task run {text!r}", hint=hint)
