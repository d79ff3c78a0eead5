"""Release what ended processes of this machine hold, without waiting for their leases to end.

Law: only a process that is provably gone loses what it holds (see `process_identity`).
"""

from __future__ import annotations

import contextlib
from pathlib import Path

from aether_protocol.engine.leases import LEASE_S
from aether_protocol.ports.store import Store
from aether_protocol.service.process_identity import is_alive, is_dead


async def release_dead_owners(store: Store) -> None:
    """Release runs and locks of dead processes of this machine.

    Where the clock was set back under a living process, its lease is renewed by the clock as it is now, so that it is not
    taken for one that a wrong clock wrote.
    """
    ttl = round(LEASE_S * 1_000_000)
    for lease in await store.leases.owners():
        if is_dead(lease.owner):
            await store.leases.release(lease.owner)
        elif lease.left > ttl and is_alive(lease.owner):
            await store.leases.renew(lease.owner, ttl, {})


async def remove_shared_folders(store: Store, root: Path | None) -> None:
    """Remove the shared folders, below the workspaces at `root`, of runs that Succeeded: their process was killed just after
    it had recorded the end."""
    from aether_protocol.execution.folders import remove

    for folder in _shared_folders(root) if root is not None else ():
        row = await store.runs.row(folder.parent.name)
        if row is not None and row.closed and row.phase == "Succeeded":
            remove(folder)
            with contextlib.suppress(OSError):  # what was kept of its attempts stays
                folder.parent.rmdir()


def _shared_folders(root: Path) -> list[Path]:
    from aether_protocol.execution.workspace import SHARED

    return list(root.glob(f"*/{SHARED}"))
