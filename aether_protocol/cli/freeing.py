"""What is reported of artifacts that were deleted with runs."""

from __future__ import annotations

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.ports.store import Store
from aether_protocol.service.runs.delete import Freed, free_artifacts
from aether_protocol.views.text import counted


async def free(store: Store, *, dry_run: bool = False) -> Freed:
    """Delete artifacts that no run names, as `free_artifacts` does, and report what cannot be deleted on standard error."""
    freed = await free_artifacts(store, now_us(), dry_run=dry_run)
    if freed.fault is not None:
        click.echo(f"artifacts that no run names were not deleted: {freed.fault}", err=True)
    return freed


def told(freed: Freed) -> str:
    """Give what is added to the message of a deletion; nothing where there was nothing to free."""
    return f", {counted(freed.count, 'artifact')} ({freed.size} bytes)" if freed.count else ""
