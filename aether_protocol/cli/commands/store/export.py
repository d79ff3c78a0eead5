"""`aether export RUN`: a run as one file, or as a case that tests its document."""

from __future__ import annotations

import sys
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import RunArgument, StoreOption, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.target import STANDARD
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import UsageError
from aether_protocol.service.client import Client

EPILOG = """\b
Examples:
  aether export latest --to run.jsonl
  aether export nightly | gzip > nightly.jsonl.gz
  aether export latest -o case --to nightly.case.yaml

The file holds the plan, every step and the logs: 'aether import' takes it in elsewhere, with all that 'aether show',
'replay' and 'diff' print. Secrets are not in it. Contents of artifacts are not in it either.

With '-o case' it is a unit test of the document: what each attempt gave is played
again on a virtual clock, and 'aether test' holds what comes of it against the run."""


class ExportOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    output: Annotated[str, output_option("jsonl", "case", to=True)] = "jsonl"
    to: ToOption = None
    store: StoreOption


@command_with(ExportOptions, "export", epilog=EPILOG)
def command(options: ExportOptions) -> int:
    """Write a run to a file, or as a case file.

    RUN is a run's id, the beginning of it, or latest.
    """
    if options.output == "case":
        click.echo(ask(options.store, lambda client: client.extracts.case(options.run)), nl=False)
        return FINE
    to_file = options.to is not None and str(options.to) != STANDARD
    if not to_file and sys.stdout.isatty():
        raise UsageError("an exported run is nothing for a terminal", hint="--to PATH writes it to a file")
    run_id = ask(options.store, lambda client: export(client, options.run))
    messages.note(f"exported run {run_id}" + (f" to {options.to}" if to_file else ""))
    return FINE


async def export(client: Client, text: str) -> str:
    """Print it; the run's id."""
    run_id = (await client.runs.get(text)).run_id
    async for line in client.store.export(run_id):
        click.echo(line, nl=False)
    return run_id
