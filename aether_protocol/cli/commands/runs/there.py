"""Runs of a server, begun and steered from here: what `run`, `resume`, `cancel` and `retry` do where a server is named.

Law: the server drives; here is only asked, and waited. What is printed on standard output, and the exit code, are those of a
run that is driven here, and so is its progress. Ctrl-C leaves the run to the server. What only makes sense where the run is
driven is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from aether_protocol.cli.drive import choose_view, show_ending, store_option, tell_how_to_answer_at, tell_what_next_at
from aether_protocol.cli.exits import FINE, INTERRUPTED, PHASE_EXITS
from aether_protocol.cli.options import DrivingOptions
from aether_protocol.cli.stored import ask_server
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.terminal.prompt import at_terminal, interrupts
from aether_protocol.cli.watch import LeftError, RunWatch, WatchedRun
from aether_protocol.errors import PortError, UsageError
from aether_protocol.views.forecast import Forecast

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.views.report import Report

Begin = Callable[["Client"], Coroutine[Any, Any, WatchedRun]]

# Options of a run that is driven here, by field: what a server does not take from its clients.
HERE_ALONE: Final = {
    "secrets": "--secrets-file",
    "concurrency": "--concurrency",
    "workspaces": "--workspace",
    "broker": "--broker",
    "durability": "--durability",
    "answers": "--resume",
    "lock": "--lock",
    "dry_run": "--dry-run",
    "at_once": "--concurrency",
}


def refuse_what_is_here_alone(more: Sequence[str] = ()) -> None:
    """Raise UsageError for options that were given and mean nothing to a server."""
    context = click.get_current_context()
    for field, flag in HERE_ALONE.items():
        source = context.get_parameter_source(field)
        if source is click.core.ParameterSource.COMMANDLINE and field not in more:
            raise UsageError(f"{flag} is for a run that is driven here, and not for one of a server", hint=f"leave {flag} out")


def begin_there(driving: DrivingOptions, begin: Begin, *, detach: bool = False) -> int:
    """Begin or continue a run of a server, and see it to its end, or (`detach`) print its id; the exit code.

    Args:
        driving: how it is printed; its store is the server.
        begin: gives the run.
        detach: do not wait.
    """
    refuse_what_is_here_alone()
    if detach:
        click.echo(ask_server(driving.store, begin).run_id)
        return FINE
    forecast = Forecast()
    view = choose_view(driving.progress and not messages.is_quiet(), forecast)
    watch = RunWatch(view, asks=at_terminal(), streams=driving.output == "events", forecast=forecast)
    more = store_option(driving.store)

    async def body(client: Client) -> Report | None:
        with interrupts(watch.interrupted):
            try:
                run = await watch.unless_left(begin(client))
                watch.run_id = run.run_id
                messages.note(f"run {run.run_id} of {driving.store} (Ctrl-C leaves it to the server)")
                return await watch.see(client, run)
            except LeftError:
                return None

    try:
        report = ask_server(driving.store, body, notify=watch.note)
    except PortError:
        if watch.run_id:
            tell_that_it_continues(watch.run_id, driving.store, more)
        raise
    if report is None:
        if watch.run_id:
            tell_that_it_continues(watch.run_id, driving.store, more)
        else:
            messages.note("interrupted before the server has answered: the run may have begun", f"aether ls{more} shows it")
        return INTERRUPTED
    show_ending(report, driving.output)
    if watch.left:
        tell_how_to_answer_at(report.run_id, watch.left, more)
    tell_what_next_at(report, more)
    return PHASE_EXITS[str(report.phase)]


def tell_that_it_continues(run_id: str, url: str, more: str) -> None:
    """What becomes of a run that is left to its server."""
    hints = [f"aether wait {run_id}{more} waits for its end", f"aether cancel {run_id}{more} ends it"]
    messages.note(f"run {run_id} continues at {url}", *hints, color="yellow")
