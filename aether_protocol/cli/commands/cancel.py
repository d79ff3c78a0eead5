"""`aether cancel RUN`: cancel a run, wherever it is driven."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from aether_protocol.cli.begun import Begun, Then
from aether_protocol.cli.drive import Driving, drive
from aether_protocol.cli.exits import CANCELLED, FINE
from aether_protocol.cli.options import driving_options, run_argument
from aether_protocol.cli.stored import find_run
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import Store

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine

EPILOG = """\b
Examples:
  aether cancel latest
  aether cancel nightly --quiet

\b
A run that another process drives is cancelled there: the command returns once that is recorded. One that nobody
drives is cancelled here, and its hooks run here, too.
Exit codes: 0 the run is cancelled, 2 it had ended, 8 nobody answers for it."""


@click.command("cancel", epilog=EPILOG)
@run_argument
@driving_options
def command(run: str, **driving: Json) -> int:
    """Cancel a run that has not ended.

    RUN is a run's id, the beginning of it, or latest.
    """

    async def begin(engine: Engine, store: Store) -> Begun:
        row = await find_run(store, run)
        if row.closed:
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}")
        try:
            await engine.recover([row.run_id])
        except BusyError:
            await engine.cancel(row.run_id)
            click.echo(f"run {row.run_id} is cancelled by the process that drives it", err=True)
            return None
        return Then(row.run_id, lambda: engine.cancel(row.run_id))

    code = drive(Driving(**driving), begin)
    return FINE if code == CANCELLED else code
