"""`aether worker drain NAME`: a worker gets no more work, and ends once what it has is done."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import ServerOptions, TextOrJson, ToOption, named_server
from aether_protocol.cli.stored import ask_server
from aether_protocol.cli.terminal.messages import warn_unreachable
from aether_protocol.cli.value_types import Number

EPILOG = """\b
Examples:
  aether worker drain gpu-3
  aether worker drain gpu-3 --grace 60"""


class DrainOptions(Struct, frozen=True, kw_only=True):
    name: Annotated[str, argument("NAME")]
    grace: Annotated[
        float,
        option("--grace", type=Number(0, 86_400, fraction=True), default=600, show_default=True, metavar="SECONDS",
               help="How long its tasks may continue; what has not ended goes to another worker."),
    ] = 600
    output: TextOrJson = "text"
    to: ToOption = None
    server: ServerOptions


@command_with(DrainOptions, "drain", epilog=EPILOG)
def command(options: DrainOptions) -> int:
    """Give the worker NAME no more work, at whichever server of the store it is; it ends by itself once what it carries out has
    ended."""
    asked = options.server
    done = ask_server(named_server(asked.server), lambda client: client.fleet.drain(options.name, options.grace), asked.token)
    warn_unreachable(done["unreachable"], "a worker of that name there may get more work")
    if options.output == "json":
        click.echo(json.dumps(done, indent=2, ensure_ascii=False))
        return FINE
    several = "" if done["drained"] == 1 else f" ({done['drained']} of that name)"
    click.echo(f"{options.name} is being drained{several}")
    return FINE
