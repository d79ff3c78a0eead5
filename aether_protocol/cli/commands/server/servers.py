"""`aether server`: the servers of a store, and how the runs are shared among them."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.lazy_group import CommandGroup
from aether_protocol.cli.options import ServerOptions, ToOption, named_server
from aether_protocol.cli.stored import ask_server
from aether_protocol.views.text import printable

LS_EPILOG = """\b
Examples:
  aether server ls
  aether server ls --server https://aether.example.com -o json"""


@click.group("server", cls=CommandGroup)
def command() -> None:
    """Look at the servers that share a store."""


class ServerListOptions(Struct, frozen=True, kw_only=True):
    """What `aether server ls` takes."""

    output: Annotated[str, output_option("text", "json")] = "text"
    to: ToOption = None
    server: ServerOptions


@command_with(ServerListOptions, "ls", epilog=LS_EPILOG)
def ls(options: ServerListOptions) -> int:
    """List the servers of a store: where others reach each, its version, and how many runs it drives.

    Any of them answers.
    """
    asked = options.server
    found = ask_server(named_server(asked.server), lambda client: client.fleet.servers(), asked.token)
    if options.output == "json":
        click.echo(json.dumps(found, indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.table import show_table

    keys = ("name", "address", "version", "schema", "startedAt", "runs")
    cells = [
        (*(printable(str(one[key])) for key in keys), "stopping" if one["stopping"] else "serving")
        for one in found["servers"]
    ]
    show_table(("NAME", "ADDRESS", "VERSION", "SCHEMA", "STARTED", "RUNS", "STATE"), cells, least=("STARTED", "SCHEMA"))
    if found["free"]:
        click.echo(f"{found['free']} runs that no server drives yet")
    return FINE


command.add_command(ls)
