"""A stored run looked at from outside: its state after any step, its events, how they go on.

Law: nothing here owns or changes a run; what is shown is what the store holds. A run that somebody drives at the same time
is followed by asking the store again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from aether_protocol.engine.records import EventRecord, step_records
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunStore
from aether_protocol.scheduler.codec import decode_step
from aether_protocol.scheduler.commands import Step
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.snapshot import restore
from aether_protocol.scheduler.state import RunState

POLL_S = 0.2
PAGE = 2_000


def advance(state: RunState, line: str) -> Step:
    """Bring `state` one recorded step on."""
    step = decode_step(line, lambda node, name: state.nodes[node].outputs[name])
    replay(state, step)
    return step


async def load(store: RunStore, run_id: str) -> RunState:
    """The state as it is now. Raises UsageError for an unknown run."""
    stored = await store.load(run_id)
    if stored.snapshot is not None:
        state = restore(stored.plan, stored.snapshot)
    else:
        state = RunState(stored.plan)
        state.header = stored.header
    for line in stored.lines:
        advance(state, line)
    return state


async def load_at(store: RunStore, run_id: str, seq: int) -> RunState:
    """The state after step `seq`. Raises UsageError where there is no such step, or its past was not kept."""
    stored = await store.load(run_id)
    if not 0 <= seq <= stored.row.seq:
        raise UsageError(f"run {run_id!r} has no step {seq}", hint=f"its steps are numbered from 1 to {stored.row.seq}")
    state = RunState(stored.plan)
    state.header = stored.header
    while state.seq < seq:
        lines = await store.lines(run_id, state.seq, min(PAGE, seq - state.seq))
        if not lines or lines[0][0] != state.seq + 1:
            raise _not_kept(run_id)
        for _, line in lines:
            if state.seq < seq:
                advance(state, line)
    return state


async def events(store: RunStore, run_id: str, *, follow: bool) -> AsyncIterator[EventRecord]:
    """Every event record of the run so far; with `follow` also those to come, until it is closed."""
    stored = await store.load(run_id)
    state = RunState(stored.plan)
    state.header = stored.header
    goal = stored.row.seq
    while True:
        lines = await store.lines(run_id, state.seq, PAGE)
        if lines and lines[0][0] != state.seq + 1 or (not lines and state.seq < goal):
            raise _not_kept(run_id)
        for _, line in lines:
            for record in step_records(state, advance(state, line)):
                yield record
        if state.closed or (not follow and state.seq >= goal):
            return
        if not lines:
            await asyncio.sleep(POLL_S)


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




def _not_kept(run_id: str) -> UsageError:
    return UsageError(
        f"the steps of run {run_id!r} were not kept", hint="the tier state-action-log keeps them all; snapshot keeps the latest state"
    )
