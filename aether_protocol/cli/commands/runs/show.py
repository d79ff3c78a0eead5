"""`aether show RUN`: what a run came to, or how far it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.exits import FINE, FINE_PHASES
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.render.report import MAX_LINES, print_report
from aether_protocol.cli.stored import ask, look, workspaces_of
from aether_protocol.errors import UsageError
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine, RunSummary, Store
from aether_protocol.service.runs.find import driven_by, find_run
from aether_protocol.service.runs.inspect import find_workspace, load
from aether_protocol.views.report import faults, make_excerpt

EPILOG = """\b
Examples:
  aether show latest
  aether show 0195c3f2 -o json                  (the run report)
  cd "$(aether show latest build --workspace)"  (the files of a failed task)"""

MAX_CULPRITS = 5
TAIL = 2_000  # log pieces of a culprit that are looked at


class Shown(Struct):
    """All that is shown. `reasons`: the first tasks that went wrong, with their logs; `more`: the number of the others;
    `owner` drives it, if anybody does."""

    row: RunSummary
    report: dict[str, Json]
    parameters: Mapping[str, Json]
    reasons: Sequence[tuple[Mapping[str, Json], Sequence[LogLine]]]
    more: int
    owner: str | None


class ShowOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    task: Annotated[str | None, argument("[TASK]", required=False)] = None
    workspace: Annotated[
        bool, option("--workspace", is_flag=True, help="Print the folder of the workspace that was kept of TASK, and no more.")
    ] = False
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ShowOptions, "show", epilog=EPILOG)
def command(options: ShowOptions) -> int:
    """Show a run: its tasks with their times, its outputs, and why it failed.

    RUN is a run's id, the beginning of it, or latest. TASK, a path or name as for 'aether resume', is for --workspace alone.
    """
    return show(options)


def show(options: ShowOptions) -> int:
    """Print the run, its report, or the folder of a workspace."""
    task = options.task
    if options.workspace or task is not None:
        if task is None or not options.workspace:
            hint = "'aether logs RUN TASK' shows the log of a task"
            raise UsageError("--workspace and TASK belong together", hint=hint)
        path, found = look(options.store, lambda opened: find_workspace(opened, workspaces_of(opened), options.run, task))
        if found is None:
            told = "that of a task which Succeeded goes, and so do empty ones and the oldest"
            hint = f"{told}; AETHER_WORKSPACES names the folder that --workspace named"
            raise UsageError(f"no workspace of {path} is kept", hint=hint)
        click.echo(str(found))
        return FINE
    if options.output == "json":
        print_report(ask(options.store, lambda client: client.runs.report(options.run)))
        return FINE
    from aether_protocol.cli.render.history import show_reasons, show_run

    shown = look(options.store, lambda opened: gather(opened, options.run))
    show_run(shown.row, shown.report, shown.parameters, shown.owner)
    show_reasons(shown.reasons, shown.more)
    return FINE


async def gather(store: Store, text: str) -> Shown:
    """What people look at first; of a long run that is little."""
    from aether_protocol.expressions.json_copy import redacted

    row = await find_run(store, text)
    state = await load(store, row.run_id)
    culprits, count = ([], 0) if str(state.phase) in FINE_PHASES else faults(state, MAX_CULPRITS)
    reasons = [(task.to_json(), await tail(store, row.run_id, task.path)) for task in culprits]
    told = make_excerpt(state, MAX_LINES), redacted(state.header.parameters)
    return Shown(row, *told, reasons, count - len(culprits), await driven_by(store, row))


async def tail(store: Store, run_id: str, path: str) -> list[LogLine]:
    """The end of a task's log."""
    found: list[LogLine] = []
    after = 0
    while lines := await store.logs.read(run_id, path, after):
        found = [*found, *lines][-TAIL:]
        after = lines[-1].seq
    return found
