"""`aether report RUN`: a run as a page in one file."""

from __future__ import annotations

from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, option, output_option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.instants import now_us
from aether_protocol.cli.options import RunArgument, StoreOption, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.terminal import messages
from aether_protocol.cli.value_types import Number
from aether_protocol.scheduler.timing import rfc3339

EPILOG = """\b
Examples:
  aether report latest --to report.html
  aether report nightly --to nightly.html --server https://aether.example.com
  aether report latest --log-lines 20 > latest.html

The page needs no script and nothing from another place: it can be sent, or kept as an artifact of a CI. Secrets are masked in
it as everywhere."""


class ReportOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    log_lines: Annotated[
        int,
        option("--log-lines", type=Number(0), metavar="N", default=200, show_default=True,
               help="How many lines of each task's log are shown, at most 32 KiB of each; 0: none."),
    ] = 200
    output: Annotated[str, output_option("html", help="What to write it as.", to=True)] = "html"
    to: ToOption = None
    store: StoreOption


@command_with(ReportOptions, "report", epilog=EPILOG)
def command(options: ReportOptions) -> int:
    """Write a run as an HTML page: why it failed, its graph, its timeline, its tasks with their logs, its inputs and outputs.

    RUN is a run's id, the beginning of it, or latest. One that has not ended is shown as it is now, and of one that is damaged
    what can be read.
    """
    from aether_protocol.service.runs.page import gather_page
    from aether_protocol.views.html.run_page import run_page

    now = rfc3339(now_us())
    page = ask(options.store, lambda client: gather_page(client, options.run, now, log_lines=options.log_lines))
    for fault in page.faults:
        messages.warn(f"not in the page: {fault}")
    click.echo(run_page(page), nl=False)
    return FINE
