"""`aether import FILE`: take in an exported run."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import MEMORY, store_option
from aether_protocol.cli.paths import STDIN
from aether_protocol.cli.stored import open_at
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import Store
from aether_protocol.service.archive import Archive, read_archive

EPILOG = """\b
Examples:
  aether import run.jsonl
  gunzip < nightly.jsonl.gz | aether import -"""


@click.command("import", epilog=EPILOG)
@click.argument("file", metavar="FILE", type=click.Path())
@store_option
def command(file: str, store: str) -> int:
    """Take in a run that 'aether export' wrote, with its steps and logs. An id that is there already is refused.

    FILE is a file, or - for standard input.
    """
    import asyncio

    if store == MEMORY:
        raise UsageError("the store 'memory' ends with its process: there is no use in an import")
    archive = read_archive(read_lines(file), file)
    try:
        asyncio.run(adopt(open_at(store), archive))
    except UsageError as error:
        hint = "'aether rm' deletes the one that is there; --store names another place"
        raise UsageError(error.message, hint=error.hint or hint) from None
    row = archive.run.row
    click.echo(f"imported run {row.run_id}: {row.phase}", err=True)
    if not row.closed:
        told = f"it has not ended: 'aether resume {row.run_id}' goes on with it, wherever else it may be driven, too"
        click.echo(f"  hint: {told}", err=True)
    return FINE


def read_lines(file: str) -> list[str]:
    try:
        data = sys.stdin.buffer.read() if file == STDIN else Path(file).read_bytes()
    except OSError as error:
        raise PortError(f"cannot read {file!r}: {error.strerror or error}") from None
    return list(io.StringIO(data.decode("utf-8", "replace"), newline="\n"))


async def adopt(store: Store, archive: Archive) -> None:
    try:
        await store.adopt(archive.run)
        await store.write_logs(archive.logs)
    finally:
        await store.close()
