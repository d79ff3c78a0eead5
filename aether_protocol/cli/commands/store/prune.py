"""`aether prune`: delete runs that ended long ago."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, told
from aether_protocol.cli.instants import Span, now_us
from aether_protocol.cli.options import store_option
from aether_protocol.cli.stored import look, workspaces_of
from aether_protocol.ports.store import RunQuery, Store
from aether_protocol.service.runs.delete import Freed, prune_runs
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import counted

EPILOG = """\b
Examples:
  aether prune --older-than 30d
  aether prune --older-than 7d --phase Succeeded --dry-run

\b
'aether db vacuum' gives the space back to the system."""

BATCH = 500


@click.command("prune", epilog=EPILOG)
@click.option("--older-than", type=Span(), required=True, metavar="DURATION", help="Runs that ended longer ago than this.")
@click.option("--phase", "phases", multiple=True, type=click.Choice(list(PHASE_COLORS), case_sensitive=False),
              help="Only runs that ended so; may be given several times.")
@click.option("--name", help="Only runs of the workflow with this name.")
@click.option("--dry-run", is_flag=True,
              help="Name the runs on standard output and delete nothing. Artifacts: those that none names now.")
@store_option
def command(older_than: int, phases: tuple[str, ...], name: str | None, dry_run: bool, store: str) -> int:
    """Delete runs that ended long ago, with their steps and logs. Runs that have not ended are never touched.

    Artifacts that no run names any more, and that were kept more than an hour ago, are deleted, too.
    """
    query = RunQuery(phases=phases, name=name, closed=True, ended_before=now_us() - older_than, limit=BATCH)
    count, freed = look(store, lambda opened: prune_all(opened, query, dry_run), writes=not dry_run)
    click.echo(f"{'would delete' if dry_run else 'deleted'} {counted(count, 'run')}{told(freed)}", err=True)
    return FINE


async def prune_all(store: Store, query: RunQuery, dry_run: bool) -> tuple[int, Freed]:
    count = 0
    async for ids, deleted in prune_runs(store, query, now_us(), root=workspaces_of(store), dry_run=dry_run):
        count += deleted
        if dry_run:
            click.echo("\n".join(ids))
    return count, await free(store, dry_run=dry_run)
