"""`aether replay RUN`: the state of a run after any of its steps."""

from __future__ import annotations

import json
from typing import Annotated

import click
from msgspec import Struct

from aether_protocol.cli.command import command_with, option
from aether_protocol.cli.exits import FINE
from aether_protocol.cli.options import RunArgument, StoreOption, TextOrJson, ToOption
from aether_protocol.cli.stored import look
from aether_protocol.cli.value_types import Number
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import Store
from aether_protocol.service.runs.find import find_run
from aether_protocol.service.runs.inspect import load_at
from aether_protocol.views.report import make_report

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
    at, state, later = look(options.store, lambda opened: gather(opened, options.run, options.at, options.diff))
    if options.diff is not None and later is not None:
        from aether_protocol.views.diff import differences

        changes = differences(state, later)
        if options.output == "json":
            told = {"runId": state["runId"], "from": at[0], "to": options.diff, "changes": changes}
            click.echo(json.dumps(told, indent=2, ensure_ascii=False))
        else:
            from aether_protocol.cli.render.history import show_changes

            show_changes(f"{state['runId']}: step {at[0]} -> {options.diff}", changes)
    elif options.output == "json":
        from aether_protocol.cli.render.pretty import pretty

        click.echo(pretty(state))
    else:
        from aether_protocol.cli.render.report import show_report
        from aether_protocol.cli.render.times import here

        click.echo(f"{state['runId']} after step {at[0]} ({here(at[1])})")
        show_report(state)
    return FINE


async def gather(
    store: Store, text: str, to: int | None, other: int | None
) -> tuple[tuple[int, int], dict[str, Json], dict[str, Json] | None]:
    """(step, its instant), the report then, and the other report."""
    row = await find_run(store, text)
    state = await load_at(store, row.run_id, row.seq if to is None else to)
    later = None if other is None else make_report(await load_at(store, row.run_id, other)).to_json()
    return (state.seq, state.now or row.created_at), make_report(state).to_json(), later
