"""`aether import FILE`: take in an exported run."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import MEMORY, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.paths import STDIN
from aether_protocol.cli.stored import ask_new
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location
from aether_protocol.errors import PortError, UsageError

EPILOG = """\b
Examples:
  aether import run.jsonl
  gunzip < nightly.jsonl.gz | aether import -"""


class ImportOptions(Struct, frozen=True, kw_only=True):
    file: Annotated[str, argument("FILE", type=Location())]
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ImportOptions, "import", epilog=EPILOG)
def command(options: ImportOptions) -> int:
    """Take in a run that 'aether export' wrote, with its steps and logs. An id that is there already is refused.

    FILE is a file, or - for standard input.
    """
    if options.store == MEMORY:
        raise UsageError("the store 'memory' ends with its process: there is no use in an import")
    lines = read_lines(options.file)
    row = ask_new(options.store, lambda client: client.store.import_run(lines, options.file))
    if options.output == "json":
        click.echo(json.dumps({"runId": row.run_id, "phase": row.phase, "closed": row.closed}, indent=2))
    hint = f"it has not ended: 'aether resume {row.run_id}' continues it, wherever else it may be driven, too"
    messages.note(f"imported run {row.run_id}: {row.phase}", None if row.closed else hint)
    return FINE


def read_lines(file: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise PortError(f"cannot read {file!r}: {error.strerror or error}") from None
    return list(io.StringIO(data.decode("utf-8", "replace"), newline="\n"))
