"""Read a large run apart from the event loop: in a thread, by a connection of its own that can only read."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import Final, TypeVar

from aether_protocol.assembly.stores import open_store
from aether_protocol.engine.recovery import load_state
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.snapshot import restore
from aether_protocol.scheduler.state import RunState

_View = TypeVar("_View")


def read_apart(file: Path, run_id: str, make: Callable[[RunState], _View], at: int | None) -> _View:
    """Make something of the stored state of a run, in the thread that calls this.

    Args:
        file: that of the store.
        run_id: which run.
        make: gets the state.
        at: as it was after this step; None: as it is now.
    """

    with considerate:
        return asyncio.run(_read(file, run_id, make, at))


FREED_AT_ONCE: Final = 256  # nodes
SWITCH_S: Final = 0.001  # Python's own is 5 ms: so late would an event loop be at each of its beats


class _Considerate:
    """Let other threads come to their work while anything is read apart, here or in another thread: they wait for SWITCH_S at
    most, and not for the collector of garbage.

    Nothing that a run is made of is garbage, and a whole collection holds up every thread for as long as it looks at all of it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._was_on = False
        self._interval = SWITCH_S

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._was_on = gc.isenabled()
                self._interval = sys.getswitchinterval()
                gc.disable()
                sys.setswitchinterval(min(self._interval, SWITCH_S))
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers:
                sys.setswitchinterval(self._interval)
                if self._was_on:
                    gc.enable()


considerate = _Considerate()


async def _read(file: Path, run_id: str, make: Callable[[RunState], _View], at: int | None) -> _View:
    store = open_store(f"sqlite:{file}", reads_only=True)
    try:
        state = await load_state(store, run_id, at)
        try:
            return make(state)
        finally:
            _free(state)
    finally:
        await store.close()


def _free(state: RunState) -> None:
    """Free the nodes of a state that nothing else has: all at once would hold up every thread."""
    nodes = state.nodes
    while nodes:
        del nodes[-FREED_AT_ONCE:]


def make_apart(state: RunState, make: Callable[[RunState], _View]) -> _View:
    """Make something of a state that does not change any more, in the thread that calls this."""
    with considerate:
        return make(state)


def make_of_copy(plan: Plan, copy: str, make: Callable[[RunState], _View]) -> _View:
    """Make something of the copy of a state, as `snapshot` writes it, in the thread that calls this."""
    with considerate:
        state = restore(plan, copy)
        try:
            return make(state)
        finally:
            _free(state)
