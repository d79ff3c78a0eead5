"""`aether show RUN`: what a run came to, or how far it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import click

from aether_protocol.cli.exits import FINE, FINE_PHASES
from aether_protocol.cli.options import report_option, run_argument, store_option
from aether_protocol.cli.past import load
from aether_protocol.cli.stored import find_run, look
from aether_protocol.engine.report import make_report
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine, RunRow, Store

EPILOG = """\b
Examples:
  aether show latest
  aether show 0195c3f2 --output json            (the run report)"""

FAULTY = ("Failed", "Error", "Timeout")
MAX_CULPRITS = 5
TAIL = 2_000  # log pieces of a culprit that are looked at


@dataclass(slots=True)
class Shown:
    """All that is shown. `tails`: the logs of the first tasks that went wrong, `more` the number of the others; `owner` drives
    it, if anybody does."""

    row: RunRow
    report: dict[str, Json]
    parameters: Mapping[str, Json]
    tails: Mapping[str, Sequence[LogLine]]
    more: int
    owner: str | None


@click.command("show", epilog=EPILOG)
@run_argument
@report_option
@store_option
def command(run: str, output: str, store: str) -> int:
    """Show a run: its tasks with their times, its outputs, and why it failed.

    RUN is a run's id, the beginning of it, or latest.
    """
    shown = look(store, lambda opened: gather(opened, run))
    if output == "json":
        click.echo(json.dumps(shown.report, indent=2, ensure_ascii=False))
        return FINE
    from aether_protocol.cli.render.history import show_reasons, show_run

    show_run(shown.row, shown.report, shown.parameters, shown.owner)
    show_reasons(shown.report, shown.tails, shown.more)
    return FINE


async def gather(store: Store, text: str) -> Shown:
    from aether_protocol.cli.stored import driven_by
    from aether_protocol.expressions.copying import shown

    row = await find_run(store, text)
    state = await load(store, row.run_id)
    report = make_report(state).to_json()
    wrong = [] if report["phase"] in FINE_PHASES else culprits(report)
    tails = {path: await tail(store, row.run_id, path) for path in wrong[:MAX_CULPRITS]}
    more = len(wrong) - len(tails)
    return Shown(row, report, shown(state.header.parameters), tails, more, await driven_by(store, row))


def culprits(report: Mapping[str, Json]) -> list[str]:
    """The leaves that went wrong, in document order."""
    return [t["path"] for t in report["tasks"] if t["templateType"] == "task" and t["phase"] in FAULTY]


async def tail(store: Store, run_id: str, path: str) -> list[LogLine]:
    """The end of a task's log."""
    found: list[LogLine] = []
    after = 0
    while lines := await store.read_logs(run_id, path, after):
        found = [*found, *lines][-TAIL:]
        after = lines[-1].seq
    return found
