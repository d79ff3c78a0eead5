"""`aether rm RUN...`: delete runs with all that belongs to them."""

from __future__ import annotations

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, told
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import store_option
from aether_protocol.cli.stored import driven_by, find_run, forget_workspaces, look
from aether_protocol.engine.artifacts import Collected
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.store import Store
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


async def delete_all(store: Store, texts: tuple[str, ...], force: bool) -> tuple[int, Collected]:
    return await delete(store, texts, force), await free(store)


async def delete(store: Store, texts: tuple[str, ...], force: bool) -> int:
    rows = [await find_run(store, text) for text in texts]
    for row in rows:
        if row.closed:
            continue
        if await driven_by(store, row) is not None:
            raise BusyError(f"run {row.run_id!r} is being driven", hint=f"'aether cancel {row.run_id}' first")
        if not force:
            hint = f"--force deletes it all the same; 'aether resume {row.run_id}' goes on with it"
            raise UsageError(f"run {row.run_id!r} has not ended: it is {row.phase}", hint=hint)
        held = await store.owner(row.run_id)
        if held is not None:  # by a process that is dead
            await store.release(held[0])
    ids = [row.run_id for row in rows]
    count = await store.delete(ids, now_us())
    forget_workspaces(store, ids)
    return count
