"""`aether rm RUN...`: delete runs with all that belongs to them."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.freeing import free, show_deleted
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.service.client import Client
from aether_protocol.service.runs.delete import Freed

EPILOG = """\b
Examples:
  aether rm 0195c3f2
  aether rm nightly nightly.2
  aether rm abandoned --force   (a run that has not ended)"""


class RemoveOptions(Struct, frozen=True, kw_only=True):
    runs: Annotated[tuple[str, ...], argument("RUN...", nargs=-1, required=True)]
    force: Annotated[
        bool, option("--force", is_flag=True, help="Delete runs that have not ended, too; never one that is being driven.")
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(RemoveOptions, "rm", epilog=EPILOG)
def command(options: RemoveOptions) -> int:
    """Delete runs: their steps, logs and results. All of them or, if one may not be deleted, none.

    Artifacts that no run names any more, and that were kept more than an hour ago, are deleted, too.

    RUN is a run's id, the beginning of it, or latest.
    """
    count, freed = ask(options.store, lambda client: delete(client, options), writes=True)
    show_deleted(count, freed, as_json=options.output == "json")
    return FINE


async def delete(client: Client, options: RemoveOptions) -> tuple[int, Freed]:
    count = await client.control.delete(options.runs, force=options.force)
    return count, await free(client.store, options.store)
