"""`aether show RUN`: what a run came to, or how far it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.render.report import MAX_LINES, print_report
from aether_protocol.cli.stored import ask
from aether_protocol.errors import UsageError

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.service.runs.overview import WaitingTask
    from aether_protocol.views.report import Report

EPILOG = """\b
Examples:
  aether show latest
  aether show latest main.load                  (one task, with its attempts)
  aether show latest --timeline                 (when each task ran)
  aether show 0195c3f2 -o json                  (the run report)
  cd "$(aether show latest build --workspace)"  (the files of a failed task)"""


class ShowOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    task: Annotated[str | None, argument("[TASK]", required=False)] = None
    timeline: Annotated[
        bool, option("--timeline", is_flag=True, help="Show when each task was ready, ran and waited, as bars.")
    ] = False
    workspace: Annotated[
        bool, option("--workspace", is_flag=True, help="Print the folder of the workspace that was kept of TASK, and no more.")
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ShowOptions, "show", epilog=EPILOG)
def command(options: ShowOptions) -> int:
    """Show a run: its tasks with their times, its outputs, and why it failed or, of a server, waits for a worker.

    RUN is a run's id, the beginning of it, or latest. TASK, a path or name as for 'aether resume', shows that task alone: its
    inputs, outputs and attempts, the end of its log, and its workspace.
    """
    return show(options)


def show(options: ShowOptions) -> int:
    """Print the run, its report, one task of it, or the folder of a workspace."""
    task = options.task
    if options.workspace:
        return _show_workspace(options)
    if task is not None:
        from aether_protocol.cli.commands.runs.look import look_at_task

        if options.timeline:
            raise UsageError("--timeline is of a whole run", hint="leave TASK out")
        look_at_task(options.store, options.run, task, as_json=options.output == "json")
        return FINE
    if options.timeline:
        from aether_protocol.cli.commands.runs.look import look_at_times

        look_at_times(options.store, options.run, as_json=options.output == "json")
        return FINE
    if options.output == "json":
        print_report(*ask(options.store, lambda client: _report(client, options.run)))
        return FINE
    from aether_protocol.assembly.store_urls import is_server_url
    from aether_protocol.cli.render.history import show_reasons, show_run, show_waiting
    from aether_protocol.cli.terminal.messages import warn_unreachable

    found = ask(options.store, lambda client: client.inspect.overview(options.run, lines=MAX_LINES))
    warn_unreachable(found.unreachable, "why tasks wait there is not known")
    show_run(found.row, found.report, found.parameters, found.owner, elsewhere=[one.task["path"] for one in found.reasons])
    show_waiting(found.waiting, of_store=not is_server_url(options.store))
    show_reasons([(one.task, one.logs) for one in found.reasons], found.more, said=found.report["message"])
    return FINE


def _show_workspace(options: ShowOptions) -> int:
    task = options.task
    if task is None:
        raise UsageError("--workspace is that of a task", hint="name the TASK, too")
    kept = ask(options.store, lambda client: client.inspect.workspace(options.run, task))
    if kept.folder is None:
        told = "that of a task which Succeeded goes, and so do empty ones and the oldest"
        hint = f"{told}; AETHER_WORKSPACES names the folder that --workspace named"
        raise UsageError(f"no workspace of {kept.path} is kept", hint=hint)
    click.echo(str(kept.folder))
    return FINE


async def _report(client: Client, run: str) -> tuple[Report, Sequence[WaitingTask]]:
    """The report, and why attempts wait for a worker."""
    report = await client.runs.report(run)
    if report.finished_at is not None:
        return report, ()
    return report, (await client.inspect.overview(run, lines=0, reasons=0)).waiting

