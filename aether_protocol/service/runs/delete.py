"""Delete runs with all that belongs to them alone: records, logs, workspaces, and artifacts that no other run names (ART-1).

Law: of several runs all are deleted or, if one may not be, none. A run is deleted whatever becomes of its artifacts: what
cannot be deleted now is deleted by the next call.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.errors import AetherError, BusyError, ConflictError
from aether_protocol.ports.store import RunQuery, Store
from aether_protocol.service.runs.find import driven_by, find_run

if TYPE_CHECKING:
    from aether_protocol.engine.artifacts import Collected


class Freed(Struct, frozen=True):
    """The artifacts that were deleted, and why not all of them were."""

    count: int = 0
    size: int = 0  # bytes
    fault: str | None = None


async def delete_runs(store: Store, texts: Sequence[str], *, root: Path | None, force: bool = False) -> int:
    """Delete the runs that `texts` mean (see `find_run`).

    Args:
        store: where the runs are.
        texts: what the caller calls the runs.
        root: the folder below which workspaces of the store's runs lie.
        force: also runs that have not ended, as long as no process drives them.

    Returns:
        How many runs there were.

    Raises:
        UsageError: a run is unknown, or has not ended.
        BusyError: a run is being driven.
    """
    rows = [await find_run(store, text) for text in texts]
    for row in rows:
        if row.closed:
            continue
        if await driven_by(store, row) is not None:
            raise BusyError(f"run {row.run_id!r} is being driven", hint=f"'aether cancel {row.run_id}' first")
        if not force:
            hint = f"--force deletes it all the same; 'aether resume {row.run_id}' continues it"
            raise ConflictError(f"run {row.run_id!r} has not ended: it is {row.phase}", hint=hint)
        held = await store.leases.owner(row.run_id)
        if held is not None:  # by a process that is dead
            await store.leases.release(held.owner)
    ids = [row.run_id for row in rows]
    count = await store.runs.delete(ids)
    _forget_workspaces(root, ids)
    return count


async def prune_runs(
    store: Store, query: RunQuery, *, root: Path | None, dry_run: bool = False
) -> AsyncIterator[tuple[list[str], int]]:
    """Delete the runs that `query` asks for, a page of `query.limit` at a time; with `dry_run` only name them.

    Yields:
        The ids of a page, and how many of these there were.
    """
    while rows := await store.runs.rows(query):
        ids = [row.run_id for row in rows]
        if dry_run:
            yield ids, len(ids)
        else:
            count = await store.runs.delete(ids)
            _forget_workspaces(root, ids)
            yield ids, count
        query.before = (rows[-1].created_at, rows[-1].run_id)


async def free_artifacts(store: Store, now: int, *, dry_run: bool = False) -> Freed:
    """Delete the artifacts that no run of `store` names any more; with `dry_run` only count those that none names now."""
    from aether_protocol.assembly.artifacts import artifacts_of
    from aether_protocol.engine.artifacts import collect

    try:
        collected: Collected = await collect(store, artifacts_of(store), now, dry_run=dry_run)
    except AetherError as error:
        return Freed(fault=error.message)
    return Freed(collected.count, collected.size)


def _forget_workspaces(root: Path | None, run_ids: Iterable[str]) -> None:
    """Remove what was kept of the workspaces of runs that are deleted."""
    from aether_protocol.execution.workspace import forget

    if root is not None:
        for run_id in run_ids:
            forget(root, run_id)
