"""`aether replay RUN`: the state of a run after any of its steps."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import ask
from aether_protocol.cli.value_types import Number
from aether_protocol.service.client import Client
from aether_protocol.service.runs.overview import RunDifferences

EPILOG = """\b
Examples:
  aether replay latest --at 12             (how it was after step 12)
  aether replay latest --at 12 --diff 20   (what steps 13 to 20 changed)

Steps are numbered from 1; `seq` of an event is the number of its step."""


class ReplayOptions(Struct, frozen=True, kw_only=True):
    run: RunArgument
    at: Annotated[
        int | None, option("--at", type=Number(0), metavar="SEQ", help="The step; the last one if left out.")
    ] = None
    diff: Annotated[
        int | None, option("--diff", type=Number(0), metavar="SEQ", help="Show what differs at this step instead.")
    ] = None
    output: TextOrJson = "text"
    to: ToOption = None
    store: StoreOption


@command_with(ReplayOptions, "replay", epilog=EPILOG, not_a_file=(Number(0), "--at"))
def command(options: ReplayOptions) -> int:
    """Show a run as it was after one of its steps, or what changed between two of them.

    Nothing is executed: the state is made again from the recorded steps. RUN is a run's id, the beginning of it, or latest.
    """
    if options.diff is not None:
        show_differences(options, options.diff)
        return FINE
    found = ask(options.store, lambda client: client.inspect.step(options.run, options.at))
    if options.output == "json":
        from aether_protocol.cli.render.pretty import pretty

        click.echo(pretty(found.report))
    else:
        from aether_protocol.cli.render.report import show_report
        from aether_protocol.cli.render.times import here

        click.echo(f"{found.report['runId']} after step {found.seq} ({here(found.at)})")
        show_report(found.report)
    return FINE


def show_differences(options: ReplayOptions, other: int) -> None:
    """Show what changed between two steps."""

    async def body(client: Client) -> tuple[str, RunDifferences]:
        run_id = (await client.runs.get(options.run)).run_id
        return run_id, await client.inspect.compare_steps(run_id, options.at, other)

    run_id, found = ask(options.store, body)
    if options.output == "json":
        shown = {"runId": run_id, "from": int(found.before), "to": other, "changes": found.changes}
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        from aether_protocol.cli.render.history import show_changes

        show_changes(f"{run_id}: step {found.before} -> {other}", found.changes)
