"""Artifacts of deleted runs: freed where no other run names them (ART-1).

Law: a run is deleted whatever becomes of its artifacts: what cannot be freed now is freed by whoever comes next.
"""

from __future__ import annotations

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.engine.artifacts import Collected, collect
from aether_protocol.errors import AetherError
from aether_protocol.ports.store import Store
from aether_protocol.views.text import counted


async def free(store: Store, *, dry_run: bool = False) -> Collected:
    """Delete the artifacts that no run of `store` names any more; with `dry_run` only count those that none names now."""
    from aether_protocol.assembly.stores import artifacts_of

    try:
        return await collect(store, artifacts_of(store), now_us(), dry_run=dry_run)
    except AetherError as error:
        click.echo(f"artifacts that no run names were not deleted: {error.message}", err=True)
        return Collected()


def told(freed: Collected) -> str:
    """What is added to the message of a deletion; nothing where there was nothing to free."""
    return f", {counted(freed.count, 'artifact')} ({freed.size} bytes)" if freed.count else ""
