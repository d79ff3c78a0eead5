"""The change feed: which runs of a store have changed, for readers that follow all of them.

A change may be reported more than once and is never missed, also where two commits cross: a cursor is given out only when
nothing can be committed below it any more.
"""

from __future__ import annotations

from typing import Protocol

from msgspec import Struct

from aether_protocol.ports.store.runs import RunSummary


class Change(Struct, frozen=True):
    """A run that was created, recorded or deleted. `row` is as it is now (None: it was deleted), `cursor` where to go on;
    `namespace` is that of the run, also of one that is deleted."""

    cursor: int
    run_id: str
    row: RunSummary | None
    namespace: str


class ChangeFeed(Protocol):
    """What has changed, by a cursor that only grows. A reader that begins asks for `newest` first, then lists all runs."""

    async def newest(self) -> int:
        """The cursor of the newest change; 0 where there was none."""
        ...

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        """List what has changed since `cursor`, oldest change first, each run once with its newest change."""
        ...

    async def wait(self, cursor: int, seconds: float) -> bool:
        """Return once there is something after `cursor`: True; False after so many seconds without."""
        ...
