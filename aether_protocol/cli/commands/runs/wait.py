"""`aether wait RUN`: until it has ended, whichever process drives it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import PHASE_EXITS
from aether_protocol.cli.instants import Span
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask, told_when_left, until_left
from aether_protocol.cli.terminal.streams import let_outcome_decide
from aether_protocol.errors import BusyError
from aether_protocol.service.client import RunReader
from aether_protocol.views.report import Report

EPILOG = """\b
Examples:
  aether wait latest
  aether wait nightly --timeout 1h -o json
  aether wait nightly --or-undriven || aether resume nightly

\b
Exit codes: that of the run (0 Succeeded, 1 Failed, 4 Error, 5 Timeout,
6 Cancelled, 7 Suspended with --or-suspended), 8 if it has not ended when
the time is over, or no process drives it with --or-undriven."""


class WaitOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    timeout: Annotated[
        int | None, option("--timeout", type=Span(), metavar="DURATION", help="Wait no longer than this.")
    ] = None
    or_suspended: Annotated[
        bool, option("--or-suspended", is_flag=True, help="Return also when the run waits for an answer.")
    ] = False
    or_undriven: Annotated[
        bool,
        option("--or-undriven", is_flag=True, help="Return also when no process drives the run, as after its own was killed."),
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(WaitOptions, "wait", epilog=EPILOG)
def command(options: WaitOptions) -> int:
    """Wait for the end of a run, and print its result.

    RUN is a run's id, the beginning of it, or latest. Waiting drives nothing: another process does.
    """
    from aether_protocol.cli.drive import show_ending

    let_outcome_decide()
    report = ask(options.store, lambda client: until_over(client.runs, options))
    show_ending(report, options.output)
    return PHASE_EXITS[str(report.phase)]


async def until_over(runs: RunReader, options: WaitOptions) -> Report:
    run_id = (await runs.get(options.run)).run_id
    timeout_s = None if options.timeout is None else options.timeout / 1_000_000
    if options.or_undriven:
        return await unless_undriven(runs, run_id, options.or_suspended, timeout_s)
    async with told_when_left(runs, run_id):
        return await runs.wait(run_id, or_suspended=options.or_suspended, timeout_s=timeout_s)


async def unless_undriven(runs: RunReader, run_id: str, or_suspended: bool, timeout_s: float | None) -> Report:
    """Wait as `RunReader.wait` does. Raises BusyError also where no process drives the run."""
    waiting = asyncio.ensure_future(runs.wait(run_id, or_suspended=or_suspended, timeout_s=timeout_s))
    leaving = asyncio.ensure_future(until_left(runs, run_id))
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done() and await leaving:
            phase = (await runs.get(run_id)).phase
            hint = f"'aether resume {run_id}' continues it"
            raise BusyError(f"run {run_id!r} has not ended: it is {phase}, and no process drives it", hint=hint)
        return await waiting
    finally:
        for task in (waiting, leaving):
            task.cancel()
        await asyncio.gather(waiting, leaving, return_exceptions=True)
