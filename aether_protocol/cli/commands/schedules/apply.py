"""`aether cron apply FILE...`: schedules from CronWorkflow documents."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence

import click

from aether_protocol.cli.document_inputs import DocumentInputs
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import library_option, limits_option, report_option, store_option
from aether_protocol.cli.render.diagnostics import show_diagnostics
from aether_protocol.cli.render.schedules import next_text, schedule_json
from aether_protocol.cli.schedules import refuse_memory
from aether_protocol.cli.stored import open_at
from aether_protocol.documents.source import Limits
from aether_protocol.service.schedules.apply import AppliedSchedule, apply_all, check_now, check_stored, read_schedules, refuse
from aether_protocol.service.schedules.find import called
from aether_protocol.views.text import printable

EPILOG = """\b
Examples:
  aether cron apply nightly.yaml
  aether cron apply schedules/ --library templates
  aether cron apply nightly.yaml --replace      (its workflowSpec has changed)

\b
What a schedule runs is resolved here, with the templates that it refers to, and stays so: edit the file and apply it
with --replace to run something else. Times and policies may be changed at any time. What fires from now on counts.
Exit codes: 0 applied, 2 wrong usage, 3 something is invalid and nothing was applied, 8 somebody else changes
the same schedule, 9 the store cannot be used."""


@click.command("apply", epilog=EPILOG)
@click.argument("paths", nargs=-1, required=True, metavar="FILE...", type=click.Path())
@click.option("--replace", "replaces", is_flag=True,
              help="Where the workflowSpec differs: make a new schedule of that name, which keeps the history.")
@library_option
@limits_option
@report_option
@store_option
def command(
    paths: tuple[str, ...], replaces: bool, library: tuple[str, ...], limits: Limits, output: str, store: str
) -> int:
    """Make schedules of the CronWorkflow documents in files, or change those that are there. All of them or, if anything is
    wrong with one, none.

    FILE is a document or several, a folder (every aether document in it) or - for standard input. What they refer to is
    looked up in these files, in --library, then in the store. Workflows are left alone.
    """
    refuse_memory(store)
    inputs = DocumentInputs(library, limits, store, writes=True)
    files = list(dict.fromkeys(file for several in inputs.read(paths) for file in several))
    inputs.reach(files)
    reading = read_schedules(inputs.workspace, files, paths)
    now = now_us()
    for candidate in reading.candidates:
        reading.diagnostics += check_now(candidate, now)
    refuse(reading.diagnostics, inputs.sources)

    async def go() -> list[AppliedSchedule]:
        opened = open_at(store)
        try:
            changes, found = await check_stored(opened, reading.candidates, now, replaces=replaces)
            refuse([*reading.diagnostics, *found], inputs.sources)
            return await apply_all(opened, reading.candidates, changes)
        finally:
            await opened.close()

    done = asyncio.run(go())
    show_diagnostics(sorted(set(reading.diagnostics)), inputs.sources)
    for other in reading.others:
        click.echo(f"{other.file}: Workflow {printable(str(other.name))} has no schedule and was left alone", err=True)
    tell(done, as_json=output == "json")
    return FINE


def tell(done: Sequence[AppliedSchedule], *, as_json: bool) -> None:
    if as_json:
        told = [{"action": one.what, **schedule_json(one.overview)} for one in done]
        click.echo(json.dumps({"schedules": told}, indent=2, ensure_ascii=False))
        return
    for one in done:
        schedule = one.overview.schedule
        more = "it was suspended and goes on, " if one.resumed else ""
        click.echo(f"{one.what} {printable(called(schedule))}: {more}next {next_text(schedule, now_us())}")
