"""`aether wait RUN`: until it has ended, whoever drives it."""

from __future__ import annotations

import asyncio
import time
from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import PHASE_EXITS
from aether_protocol.cli.instants import Span
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson
from aether_protocol.cli.stored import look, told_when_left
from aether_protocol.cli.terminal.streams import let_outcome_decide
from aether_protocol.errors import BusyError, UsageError
from aether_protocol.ports.store import Store
from aether_protocol.scheduler.state import RunState
from aether_protocol.service.runs.find import find_run
from aether_protocol.service.runs.inspect import POLL_S, load

EPILOG = """\b
Examples:
  aether wait latest
  aether wait nightly --timeout 1h -o json

\b
Exit codes: that of the run (0 Succeeded, 1 Failed, 4 Error, 5 Timeout,
6 Cancelled, 7 Suspended with --or-suspended), 8 if it has not ended when
the time is over."""


class WaitOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    timeout: Annotated[
        int | None, option("--timeout", type=Span(), metavar="DURATION", help="Wait no longer than this.")
    ] = None
    or_suspended: Annotated[
        bool, option("--or-suspended", is_flag=True, help="Return also when the run waits for an answer.")
    ] = False
    output: TextOrJson = "text"
    store: StoreOption


@command_with(WaitOptions, "wait", epilog=EPILOG)
def command(options: WaitOptions) -> int:
    """Wait for the end of a run, and print its result.

    RUN is a run's id, the beginning of it, or latest. Waiting drives nothing: another process does.
    """
    from aether_protocol.cli.drive import show_ending
    from aether_protocol.views.report import make_report

    let_outcome_decide()
    phase, state = look(options.store, lambda opened: until_over(opened, options))
    show_ending(make_report(state), options.output)
    return PHASE_EXITS[phase]


async def until_over(store: Store, options: WaitOptions) -> tuple[str, RunState]:
    """(phase, state) at the end."""
    row = await find_run(store, options.run)
    end = None if options.timeout is None else time.monotonic() + options.timeout / 1e6
    async with told_when_left(store, row):
        while not row.closed and not (options.or_suspended and row.phase == "Suspended"):
            if end is not None and time.monotonic() >= end:
                raise BusyError(f"run {row.run_id!r} has not ended: it is {row.phase}")
            await asyncio.sleep(POLL_S)
            now = await store.runs.row(row.run_id)
            if now is None:
                raise UsageError(f"run {row.run_id!r} was deleted")
            row = now
    return row.phase, await load(store, row.run_id)
