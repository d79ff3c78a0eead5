"""`aether rm RUN...`: delete runs with all that belongs to them."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, told
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import store_option
from aether_protocol.cli.stored import look, workspaces_of
from aether_protocol.ports.store import Store
from aether_protocol.service.runs.delete import Freed, delete_runs
from aether_protocol.views.text import counted

EPILOG = """\b
Examples:
  aether rm 0195c3f2
  aether rm nightly nightly.2
  aether rm abandoned --force                   (a run that has not ended and that nobody drives)"""


@click.command("rm", epilog=EPILOG)
@click.argument("runs", metavar="RUN...", nargs=-1, required=True)
@click.option("--force", is_flag=True, help="Delete runs that have not ended, too; never one that is being driven.")
@store_option
def command(runs: tuple[str, ...], force: bool, store: str) -> int:
    """Delete runs: their steps, logs and results. All of them or, if one may not be deleted, none.

    Artifacts that no run names any more, and that were kept more than an hour ago, are deleted, too.

    RUN is a run's id, the beginning of it, or latest.
    """
    count, freed = look(store, lambda opened: delete_all(opened, runs, force), writes=True)
    click.echo(f"deleted {counted(count, 'run')}{told(freed)}", err=True)
    return FINE


async def delete_all(store: Store, texts: tuple[str, ...], force: bool) -> tuple[int, Freed]:
    count = await delete_runs(store, texts, now_us(), root=workspaces_of(store), force=force)
    return count, await free(store)
