"""Runs of a server, begun and steered from here: what `run`, `resume`, `cancel` and `retry` do where a server is named.

Law: the server drives; here is only asked, and waited. What is printed on standard output, and the exit code, are those of a
run that is driven here. Ctrl-C leaves the run as it is. What only makes sense where the run is driven is refused.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Final

import click

from aether_protocol.cli.drive import show_ending, tell_how_to_answer_at, tell_what_next_at
from aether_protocol.cli.exits import FINE, PHASE_EXITS
from aether_protocol.cli.options import DrivingOptions
from aether_protocol.cli.stored import ask_server, told_when_left
from aether_protocol.cli.terminal import messages
from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.views.report import Report

# Options of a run that is driven here, by field: what a server does not take from its clients.
HERE_ALONE: Final = {
    "secrets": "--secrets-file",
    "concurrency": "--concurrency",
    "workspaces": "--workspace",
    "durability": "--durability",
    "answers": "--resume",
    "lock": "--lock",
    "dry_run": "--dry-run",
}


def refuse_what_is_here_alone(more: Sequence[str] = ()) -> None:
    """Raise UsageError for options that were given and mean nothing to a server."""
    context = click.get_current_context()
    for field, flag in HERE_ALONE.items():
        source = context.get_parameter_source(field)
        if source is click.core.ParameterSource.COMMANDLINE and field not in more:
            raise UsageError(f"{flag} is for a run that is driven here, and not for one of a server", hint=f"leave {flag} out")


def begin_there(driving: DrivingOptions, begin: Callable[[Client], Awaitable[str]], *, detach: bool = False) -> int:
    """Begin or continue a run of a server, and see it to its end, or (`detach`) print its id; the exit code.

    Args:
        driving: how it is printed; its store is the server.
        begin: gives the id of the run.
        detach: do not wait.
    """
    refuse_what_is_here_alone()
    if detach:
        click.echo(ask_server(driving.store, begin))
        return FINE

    async def body(client: Client) -> Report:
        run_id = await begin(client)
        messages.note(f"run {run_id} of {driving.store} (Ctrl-C leaves it to the server)")
        async with told_when_left(client.runs, run_id):
            if driving.output == "events":
                from aether_protocol.cli.render.events import print_events

                await print_events(client.runs.events(run_id, follow=True))
            report = await client.runs.wait(run_id, or_suspended=True)
        if report.phase == "Suspended":
            tell_how_to_answer_at(report.run_id, await client.runs.suspended(run_id))
        return report

    report = ask_server(driving.store, body)
    show_ending(report, driving.output)
    tell_what_next_at(report)
    return PHASE_EXITS[str(report.phase)]
