"""`aether cron apply FILE...`: schedules from CronWorkflow documents."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import argument, command_with, option
from aether_protocol.cli.document_inputs import DocumentInputs, told_as
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import LibraryOption, MaxOption, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.render.diagnostics import show_warnings
from aether_protocol.cli.render.schedules import next_text, schedule_json
from aether_protocol.cli.schedules import refuse_memory
from aether_protocol.cli.stored import ask_new
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Location
from aether_protocol.service.schedules.check import AppliedSchedule
from aether_protocol.service.schedules.find import called
from aether_protocol.views.text import printable

if TYPE_CHECKING:
    from aether_protocol.service.client import Client
    from aether_protocol.service.schedules.check import AppliedSchedules

EPILOG = """\b
Examples:
  aether cron apply nightly.yaml
  aether cron apply schedules/ --library templates
  aether cron apply nightly.yaml --replace   (its workflowSpec has changed)

What a schedule runs is resolved here, with the templates that it refers to, and stays so: edit the file and apply it
with --replace to run something else. Times and policies may be changed at any time. What fires from now on counts.

\b
Exit codes: 0 applied, 2 wrong usage, 3 something is invalid and nothing
was applied, 8 another process changes the same schedule, 9 the store
cannot be used."""


class ScheduleApplyOptions(Struct, frozen=True, kw_only=True):
    paths: Annotated[tuple[str, ...], argument("FILE...", nargs=-1, required=True, type=Location())]
    replace: Annotated[
        bool,
        option("--replace", is_flag=True,
               help="Where the workflowSpec differs: make a new schedule of that name, which keeps the history."),
    ] = False
    library: LibraryOption = ()
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption
    max: MaxOption


@command_with(ScheduleApplyOptions, "apply", epilog=EPILOG, moved={"--limit": "--max"})
def command(options: ScheduleApplyOptions) -> int:
    """Make schedules of the CronWorkflow documents in files, or change those that are there. All of them or, if anything is
    wrong with one, none.

    FILE is a document or several, a folder (every aether document in it) or - for standard input. What they refer to is
    looked up in these files, in --library, then in the store. Workflows are left alone.
    """
    refuse_memory(options.store)
    inputs = DocumentInputs(options.library, options.max)
    texts, library = inputs.texts(options.paths)

    async def apply(client: Client) -> AppliedSchedules:
        return await client.schedules.apply(texts, replaces=options.replace, library=library)

    with told_as("nothing was applied"):
        done = ask_new(options.store, apply, inputs.make_workspace)
    show_warnings(done.warnings, inputs.sources)
    for other in done.others:
        messages.note(f"{other.file}: Workflow {other.name} has no schedule and was left alone")
    show(done.applied, as_json=options.output == "json")
    return FINE


def show(done: Sequence[AppliedSchedule], *, as_json: bool) -> None:
    """What was done, on standard output."""
    if as_json:
        told = [{"action": one.what, **schedule_json(one.overview)} for one in done]
        click.echo(json.dumps({"schedules": told}, indent=2, ensure_ascii=False))
        return
    for one in done:
        schedule = one.overview.schedule
        more = "it was suspended and is resumed, " if one.resumed else ""
        click.echo(f"{one.what} {printable(called(schedule))}: {more}next {next_text(schedule, now_us())}")
