"""`aether run`: a workflow from its document to its end, in this process."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from aether_protocol.cli.arguments import read_answers, read_parameters
from aether_protocol.cli.exits import FINE, SUSPENDED
from aether_protocol.cli.options import library_option, limits_option, name_option
from aether_protocol.cli.render.text import printable
from aether_protocol.cli.render.views import LineView, QuietView, View
from aether_protocol.cli.workspace import Workspace
from aether_protocol.expressions.values import Json
from aether_protocol.plan.model import Plan

if TYPE_CHECKING:
    from aether_protocol.cli.session import Ending

EPILOG = """\b
Examples:
  aether run flow.yaml
  aether run flow.yaml -p rows=5 -p region=east
  aether run flow.yaml --params-file params.yaml --output json > report.json
  aether run deploy.yaml --resume 'main.approve={"approved": true}'
  aether run flow.yaml --dry-run

\b
On a terminal a suspended task is answered at the prompt. Ctrl-C cancels the run.
Exit codes: 0 Succeeded, 1 Failed, 2 wrong usage, 3 invalid document, 4 Error, 5 Timeout,
6 Cancelled, 7 left suspended, 130 interrupted."""


@dataclass(frozen=True, slots=True)
class Request:
    """What the command line asked for, read and checked."""

    plan: Plan
    arguments: dict[str, Json]
    answers: dict[str, list[dict[str, Json]]]
    secrets: tuple[str, ...]
    output: str
    watch: bool
    concurrency: int | None


@click.command("run", epilog=EPILOG)
@click.argument("file", metavar="FILE", type=click.Path())
@click.option("-p", "--parameter", "parameters", multiple=True, metavar="NAME=VALUE",
              help="A workflow parameter; the value is read as JSON unless the parameter is declared a string.")
@click.option("--params-file", type=click.Path(exists=True, dir_okay=False), metavar="FILE",
              help="YAML or JSON file with parameters; -p wins.")
@click.option("--secrets-file", "secrets", type=click.Path(exists=True, dir_okay=False), multiple=True, metavar="FILE",
              help="File with secrets (dotenv, YAML or JSON).")
@library_option
@name_option
@limits_option
@click.option("--output", type=click.Choice(["text", "json", "events"]), default="text", show_default=True,
              help="What to print on standard output: a summary, the run report, or every event as a JSON line.")
@click.option("--watch/--quiet", default=True, help="Show progress on standard error (a live view on a terminal), or nothing.")
@click.option("--concurrency", type=click.IntRange(1), metavar="N", help="At most N tasks at once.")
@click.option("--resume", "resumes", multiple=True, metavar="TASK=PAYLOAD",
              help="Answer a task when it suspends: a JSON object, yes or no. Several for one task are used in turn.")
@click.option("--dry-run", is_flag=True, help="Show what would run, with its inputs, and start nothing.")
def command(
    file: str, parameters: tuple[str, ...], name: str | None, library: tuple[str, ...], dry_run: bool, **options: Json
) -> int:
    """Run a workflow to its end.

    FILE is a document, or - for standard input.
    """
    workspace = Workspace(library, options["limits"])
    plan = workspace.plan(workspace.read_one(file), name, strict=True)
    arguments = workspace.read_mapping(options["params_file"]) if options["params_file"] else {}
    arguments |= read_parameters(parameters, plan)
    request = Request(
        plan=plan,
        arguments=arguments,
        answers=read_answers(options["resumes"]),
        secrets=options["secrets"],
        output=options["output"],
        watch=options["watch"],
        concurrency=options["concurrency"],
    )
    if dry_run:
        show_what_would_run(request)
        return FINE
    if not os.environ.get("AETHER_DEBUG"):
        log_without_traces()
    freeze_the_plan()
    return asyncio.run(execute(request))


def show_what_would_run(request: Request) -> None:
    """`--dry-run`. Arguments that do not fit are told as a run would tell them."""
    from aether_protocol.assembly.variables import SystemVariables
    from aether_protocol.cli.preview import preview
    from aether_protocol.cli.render.preview import show_preview
    from aether_protocol.engine.clock import SystemClock
    from aether_protocol.engine.submission import make_header, read_variables
    from aether_protocol.scheduler.events import RunHeader

    bare = RunHeader("dry-run", SystemClock().now(), None, {}, read_variables([SystemVariables()]), 0)
    header = make_header(request.plan, request.arguments, bare)
    entries = preview(request.plan, header)
    show_preview(request.plan, entries, header.parameters, as_json=request.output == "json")


def log_without_traces() -> None:
    """Warnings of the engine as one line each. What broke a run is told by the boundary, once and without a traceback."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("warning: %(message)s"))
    handler.addFilter(lambda record: record.exc_info is None)
    logger = logging.getLogger("aether_protocol")
    logger.handlers[:] = [handler]
    logger.propagate = False


def freeze_the_plan() -> None:
    """What is there by now, the plan above all, stays: leave it out of every later collection."""
    gc.collect()
    gc.freeze()


async def execute(request: Request) -> int:
    """Run it and print how it ended."""
    from aether_protocol.assembly import build_engine
    from aether_protocol.cli.interaction import at_terminal, interrupts
    from aether_protocol.cli.session import Session

    session = Session(
        choose_view(request.watch), request.answers, asks=at_terminal(), streams=request.output == "events"
    )
    with interrupts(session.interrupted):  # without a gap: from before the first task to after the last one's end
        engine = await build_engine(concurrency=request.concurrency, secrets_files=request.secrets)
        try:
            ending = await session.run(engine, request.plan, request.arguments)
            show_ending(ending, request.output)
        finally:
            await session.close(engine)
    return ending.exit_code


def show_ending(ending: Ending, output: str) -> None:
    """The result on standard output, in the form asked for; events were printed as they came."""
    report = ending.report.to_json()
    if output == "json":
        click.echo(json.dumps(report, indent=2, ensure_ascii=False))
    elif output == "text":
        from aether_protocol.cli.render.report import show_report

        show_report(report)
    if ending.exit_code == SUSPENDED:
        tell_how_to_answer(ending.left)


def choose_view(watch: bool) -> View:
    """Nothing, a live view where somebody looks, or lines."""
    if not watch:
        return QuietView()
    if sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
        from aether_protocol.cli.render.live import LiveView

        return LiveView()
    return LineView()


def tell_how_to_answer(paths: list[str]) -> None:
    """A run that was left suspended: what to do about it."""
    click.secho("the run is suspended and nobody answered", fg="yellow", err=True)
    for path in paths:
        click.echo(f"""  hint: run it again with --resume '{printable(path)}={{"approved": true}}'""", err=True)
