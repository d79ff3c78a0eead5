"""`aether cancel RUN`: cancel a run, wherever it is driven."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.assembly.store_urls import is_server_url
from aether_protocol.cli.command import command_with
from aether_protocol.cli.commands.runs.bulk import BulkRequest, DryRunOption, WhereOption, check_meant, do_all, read_where
from aether_protocol.cli.drive import Driving, Target, drive
from aether_protocol.cli.exits import CANCELLED, FINE
from aether_protocol.cli.options import DrivingOptions, ReasonOption, RunOrSeveral
from aether_protocol.cli.stored import ask_server
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import BusyError, UsageError

if TYPE_CHECKING:
    from aether_protocol.assembly import Engine
    from aether_protocol.service.client import Client, RunControl

EPILOG = """\b
Examples:
  aether cancel latest
  aether cancel nightly --reason 'the source was wrong'
  aether cancel --where name=nightly,phase=Suspended --dry-run

A run that another process drives is cancelled there: the command returns once that is recorded. One that no process drives
is cancelled here, and its hooks run here, too; nothing else of it is started again.

\b
Exit codes: 0 the run is cancelled, 2 it had ended, 8 the process that
drives it does not answer."""


ROUNDS = 3  # of asking the engine that holds the lease: one of another machine that is gone has lost its lease by then


class CancelOptions(Struct, frozen=True, kw_only=True):
    run: RunOrSeveral = None
    where: WhereOption = None
    only_lists: DryRunOption = False
    reason: ReasonOption = ""
    driving: DrivingOptions


@command_with(CancelOptions, "cancel", epilog=EPILOG)
def command(options: CancelOptions) -> int:
    """Cancel a run that has not ended.

    RUN is a run's id, the beginning of it, or latest.
    """
    check_meant(options.run, options.where, dry_run=options.only_lists)
    if options.where is None:
        return cancel_one(options, options.run or "")

    async def there(client: Client, run_id: str) -> None:
        await client.control.cancel(run_id, reason=options.reason)

    return do_all(
        BulkRequest(
            read_where(options.where, closed=False), options.driving.store, options.only_lists, options.driving.output,
            here=lambda run_id: cancel_one(options, run_id), there=there,
        )
    )


def cancel_one(options: CancelOptions, run: str) -> int:
    """Cancel a run of a store or a server."""

    async def begin(engine: Engine, client: Client) -> Target:
        row = await client.runs.get(run)
        if row.closed:
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}")
        return row.run_id if await cancel(engine, client.control, row.run_id, options.reason) else None

    if is_server_url(options.driving.store):
        return cancel_there(options, run)
    code = drive(Driving.by(options.driving), begin)
    return FINE if code == CANCELLED else code


def cancel_there(options: CancelOptions, run: str) -> int:
    """Cancel a run of a server."""
    from aether_protocol.cli.commands.runs.there import refuse_what_is_here_alone

    refuse_what_is_here_alone()

    async def body(client: Client) -> str:
        row = await client.runs.get(run)
        if row.closed:
            raise UsageError(f"run {row.run_id!r} has ended: it is {row.phase}")
        await client.control.cancel(row.run_id, reason=options.reason)
        return row.run_id

    run_id = ask_server(options.driving.store, body)
    messages.note(f"run {run_id} is cancelled by the process that drives it")
    return FINE


async def cancel(engine: Engine, control: RunControl, run_id: str, reason: str) -> bool:
    """Cancel it here (True) or, where another process drives it, there. Raises BusyError where that one does not answer."""
    left = ROUNDS
    await control.mend(run_id)
    while True:
        with contextlib.suppress(BusyError):
            if await engine.recover([run_id], cancel=reason):
                return True
        try:
            await control.cancel(run_id, reason=reason)  # raises for one that has ended meanwhile
        except BusyError:
            left -= 1
            if not left:
                raise
        else:
            messages.note(f"run {run_id} is cancelled by the process that drives it")
            return False
