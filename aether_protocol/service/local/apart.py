"""Read a large run apart from the event loop: in a thread, by a connection of its own that can only read."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import TypeVar

from aether_protocol.assembly.stores import open_store
from aether_protocol.engine.recovery import load_state
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

    with collector_off:
        return asyncio.run(_read(file, run_id, make, at))


class _CollectorOff:
    """Leave the collector of garbage off while anything is read apart, here or in another thread.

    Nothing that a run is made of is garbage, and a whole collection holds up every thread for as long as it looks at all of it.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._readers = 0
        self._was_on = False

    def __enter__(self) -> None:
        with self._lock:
            if not self._readers:
                self._was_on = gc.isenabled()
                gc.disable()
            self._readers += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._readers -= 1
            if not self._readers and self._was_on:
                gc.enable()


collector_off = _CollectorOff()


async def _read(file: Path, run_id: str, make: Callable[[RunState], _View], at: int | None) -> _View:
    store = open_store(f"sqlite:{file}", reads_only=True)
    try:
        return make(await load_state(store, run_id, at))
    finally:
        await store.close()


def make_apart(state: RunState, make: Callable[[RunState], _View]) -> _View:
    """Make something of a state that does not change any more, in the thread that calls this."""
    with collector_off:
        return make(state)
