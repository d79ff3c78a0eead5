"""`aether watch [RUN]`: the live view of a run that another process drives, or of all that are open."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from msgspec import Struct

from aether_protocol.cli.command import argument, command_with
from aether_protocol.cli.exits import FINE, INTERRUPTED, PHASE_EXITS
from aether_protocol.cli.options import StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal.streams import let_outcome_decide

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.views.report import Report

EPILOG = """\b
Examples:
  aether watch latest
  aether watch 0195c3f2 --server https://aether.example.com
  aether watch                  (all runs that are open, on a terminal)

The view is on standard error, the result of RUN on standard output. Ctrl-C leaves the run as it is.

\b
Exit codes: that of the run (0 Succeeded, 1 Failed, 4 Error, 5 Timeout,
6 Cancelled), 130 if it was left; without RUN 0."""


class WatchOptions(Struct, frozen=True, kw_only=True):
    run: Annotated[str | None, argument("[RUN]", required=False)] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(WatchOptions, "watch", epilog=EPILOG)
def command(options: WatchOptions) -> int:
    """Watch a run to its end, wherever it is driven, or all runs that are open.

    RUN is a run's id, the beginning of it, or latest. Watching drives nothing: another process does.
    """
    if options.run is None:
        return _watch_all(options)
    let_outcome_decide()
    report = ask(options.store, lambda client: _watch(client, options.run or ""))
    if report is None:
        return INTERRUPTED
    from aether_protocol.cli.drive import show_ending

    show_ending(report, options.output)
    return PHASE_EXITS[str(report.phase)]


async def _watch(client: Client, run: str) -> Report | None:
    """See one run; None where the person left."""
    from aether_protocol.cli.drive import choose_view
    from aether_protocol.cli.terminal import messages
    from aether_protocol.cli.terminal.prompt import interrupts
    from aether_protocol.cli.watch import LeftError, RunWatch, WatchedRun
    from aether_protocol.views.forecast import Forecast

    forecast = Forecast()
    view = choose_view(not messages.is_quiet(), forecast)
    watch = RunWatch(view, asks=False, streams=False, stays=True, forecast=forecast)
    with interrupts(watch.interrupted):
        try:
            return await watch.see(client, WatchedRun((await client.runs.get(run)).run_id, is_new=False))
        except LeftError:
            return None


def _watch_all(options: WatchOptions) -> int:
    """Draw a line for each open run, and what is being done in it. Raises UsageError where there is no terminal."""
    from aether_protocol.cli.render.open_runs import OpenRuns
    from aether_protocol.cli.terminal.redraw import check_drawable, redraw

    check_drawable(options.output)
    ask(options.store, lambda client: redraw(OpenRuns(client).draw))
    return FINE
