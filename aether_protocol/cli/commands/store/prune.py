"""`aether prune`: delete runs that ended long ago."""

from __future__ import annotations

from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, show_deleted
from aether_protocol.cli.instants import Span, now_us
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.value_types import OneOf
from aether_protocol.ports.store import RunQuery
from aether_protocol.service.client import Client
from aether_protocol.service.runs.delete import Freed
from aether_protocol.views.phases import PHASE_COLORS

EPILOG = """\b
Examples:
  aether prune --older-than 30d
  aether prune --older-than 7d --phase Succeeded --dry-run

'aether db vacuum' gives the space back to the system."""

BATCH = 500


class PruneOptions(Struct, frozen=True, kw_only=True):
    older_than: Annotated[
        int,
        option("--older-than", type=Span(), required=True, metavar="DURATION", help="Runs that ended longer ago than this."),
    ]
    phases: Annotated[
        tuple[str, ...],
        option("--phase", multiple=True, type=OneOf(list(PHASE_COLORS)), metavar="PHASE",
               help="Only runs that ended so: Succeeded, Failed, ... Several are allowed."),
    ] = ()
    name: Annotated[str | None, option("--name", metavar="NAME", help="Only runs of the workflow with this name.")] = None
    dry_run: Annotated[
        bool,
        option("--dry-run", is_flag=True,
               help="Name the runs on standard output and delete nothing. Artifacts: those that no run names now."),
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(PruneOptions, "prune", epilog=EPILOG)
def command(options: PruneOptions) -> int:
    """Delete runs that ended long ago, with their steps and logs. Runs that have not ended are never touched.

    Artifacts that no run names any more, and that were kept more than an hour ago, are deleted, too.
    """
    before = now_us() - options.older_than
    query = RunQuery(phases=options.phases, name=options.name, closed=True, ended_before=before, limit=BATCH)
    done = ask(options.store, lambda client: prune(client, query, options), writes=not options.dry_run)
    show_deleted(*done, as_json=options.output == "json", dry_run=options.dry_run)
    return FINE


async def prune(client: Client, query: RunQuery, options: PruneOptions) -> tuple[int, Freed]:
    """Delete them in batches, or name them; how many there are, and what became of artifacts."""
    ids = await client.control.prune(query, dry_run=options.dry_run)
    if ids and options.dry_run and options.output == "text":
        click.echo("\n".join(ids))
    return len(ids), await free(client.store, options.store, dry_run=options.dry_run)
