"""What is reported of runs that were deleted, and of the artifacts that were deleted with them."""

from __future__ import annotations

import json

import click

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.terminal import messages
from aether_protocol.service.client import StoreControl
from aether_protocol.service.runs.delete import Freed
from aether_protocol.views.text import counted


async def free(store: StoreControl, place: str | None, *, dry_run: bool = False) -> Freed:
    """Delete artifacts that no run names, and report what cannot be deleted on standard error. A server does so itself.

    Args:
        store: whose runs name them.
        place: its URL, or that of a server.
        dry_run: count them only.
    """
    if place is not None and is_server_url(place):
        return Freed()
    freed = await store.free_artifacts(dry_run=dry_run)
    if freed.fault is not None:
        messages.warn(f"artifacts that no run names were not deleted: {freed.fault}")
    return freed


def show_deleted(runs: int, freed: Freed, *, as_json: bool, dry_run: bool = False) -> None:
    """How many runs and artifacts were deleted: an object on standard output, or a note."""
    if as_json:
        record = {"runs": runs, "artifacts": freed.count, "artifactBytes": freed.size, "dryRun": dry_run}
        click.echo(json.dumps(record, indent=2))
    else:
        messages.note(f"{'would delete' if dry_run else 'deleted'} {counted(runs, 'run')}{freed_text(freed)}")


def freed_text(freed: Freed) -> str:
    """Give what is added to the message of a deletion; nothing where there was nothing to free."""
    return f", {counted(freed.count, 'artifact')} ({freed.size} bytes)" if freed.count else ""
