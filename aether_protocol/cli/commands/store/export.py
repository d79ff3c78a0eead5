"""`aether export RUN`: a run as one file."""

from __future__ import annotations

import os
import stat
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import click

from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import run_argument, store_option
from aether_protocol.cli.paths import STDIN
from aether_protocol.cli.stored import look
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import Store
from aether_protocol.service.archive import archive_lines
from aether_protocol.service.runs.find import find_run

Write = Callable[[str], object]

EPILOG = """\b
Examples:
  aether export latest -o run.jsonl
  aether export nightly | gzip > nightly.jsonl.gz

\b
The file holds the plan, every step and the logs: 'aether import' takes it in elsewhere, with all that 'aether show',
'replay' and 'diff' tell. Secrets are not in it. Contents of artifacts are not in it either."""


@click.command("export", epilog=EPILOG)
@run_argument
@click.option("-o", "--output", "target", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE",
              help="Where to; standard output if it is - or left out.")
@store_option
def command(run: str, target: Path | None, store: str) -> int:
    """Write a run to a file.

    RUN is a run's id, the beginning of it, or latest.
    """
    if target is not None and str(target) == STDIN:
        target = None
    if target is None and sys.stdout.isatty():
        raise UsageError("an exported run is nothing for a terminal", hint="-o FILE writes it to a file")
    if target is None:
        run_id = look(store, lambda opened: export(opened, run, lambda line: click.echo(line, nl=False)))
        click.echo(f"exported run {run_id}", err=True)
        return FINE
    try:
        run_id = write_file(target, lambda write: look(store, lambda opened: export(opened, run, write)))
    except OSError as error:
        raise PortError(f"cannot write {str(target)!r}: {error.strerror or error}") from None
    click.echo(f"exported run {run_id} to {target}", err=True)
    return FINE


async def export(store: Store, text: str, write: Write) -> str:
    row = await find_run(store, text)
    async for line in archive_lines(store, row.run_id):
        write(line)
    return row.run_id


def write_file(target: Path, fill: Callable[[Write], str]) -> str:
    """Let `fill` write; a file that is not whole never has the name. What is no plain file (a pipe, a device) is written to."""
    if target.exists() and not target.is_file():
        with target.open("w", encoding="ascii", newline="\n") as stream:
            return fill(stream.write)
    target = target.resolve()  # a link stays one
    number, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with open(number, "w", encoding="ascii", newline="\n") as file:
            done = fill(file.write)
        if target.exists():  # a new one is its owner's alone
            os.chmod(name, stat.S_IMODE(target.stat().st_mode))
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
    return done

