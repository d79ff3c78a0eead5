"""A stored run for people: what it came to and why, and what changed between two states.

Law: reads the JSON form of reports and rows of the store, nothing else; what tasks wrote is printed as text, never as more.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING

import click

from aether_protocol.cli.render.logs import tail_lines
from aether_protocol.cli.render.report import is_said_by, show_report
from aether_protocol.cli.render.runs import sleep_text
from aether_protocol.cli.render.times import here
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine, RunSummary
from aether_protocol.service.process_identity import called
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import as_value, counted, one_line, printable

if TYPE_CHECKING:
    from aether_protocol.service.runs.overview import WaitingTask

TAIL_LINES = 8
WAITING_LINES = 20


def show_run(
    row: RunSummary,
    report: Mapping[str, Json],
    parameters: Mapping[str, Json],
    owner: str | None,
    *,
    elsewhere: Collection[str] = (),
) -> None:
    """The run's head and its report; of the tasks `elsewhere` what went wrong follows, by `show_reasons`."""
    click.secho(row.run_id, bold=True)
    for name, text in _head(row, owner, report.get("configuration")):
        click.echo(f"  {name + ':' if name else '':<12} {text}")
    if parameters:
        click.echo("parameters:")
        for key, value in parameters.items():
            click.echo(f"  {printable(key)}: {as_value(value)}")
    show_report(report, elsewhere)
    if not row.closed:
        for task in report["tasks"]:
            if task["phase"] == "Suspended" and task["templateType"] == "task":
                command = f"aether resume {row.run_id} {shlex.quote(printable(task['path']))} -p NAME=VALUE"
                click.echo(f"{printable(task['path'])} waits for an answer: {command}")


def show_waiting(waiting: Sequence[WaitingTask], *, of_store: bool) -> None:
    """Why attempts wait for a worker, a line for each. `of_store`: as far as the store knows it, and not their server."""
    for one in waiting[:WAITING_LINES]:
        click.echo(printable(f"{one.path} waits for a worker: {one.reason}"))
    if len(waiting) > WAITING_LINES:
        click.echo(f"({counted(len(waiting) - WAITING_LINES, 'more task')} wait)")
    if waiting and of_store:
        click.echo("(this is what the store knows; 'aether show --server URL' says more)")


def show_reasons(reasons: Sequence[tuple[Mapping[str, Json], Sequence[LogLine]]], more: int, *, said: str = "") -> None:
    """Why it did not succeed: the tasks that went wrong, each with its message, unless the run `said` that, and the end of its
    log; `more` of them are not shown."""
    for task, lines in reasons:
        click.secho(f"why: {printable(task['path'])} {task['phase']}", fg=PHASE_COLORS[task["phase"]], bold=True)
        if task["message"] and not is_said_by(task["message"], said):
            click.echo(f"  {one_line(task['message'], 500)}")
        for line in tail_lines(lines, TAIL_LINES):
            click.echo(f"  | {printable(line)}")
    if more:
        click.echo(f"({counted(more, 'more task')} went wrong)")


def _head(row: RunSummary, owner: str | None, configuration: Mapping[str, Json] | None) -> list[tuple[str, str]]:
    head = [("created", here(row.created_at)), ("steps", f"{row.seq} ({row.tier})"), ("digest", row.digest[:16])]
    if row.labels:
        head.append(("labels", one_line(", ".join(f"{key}={value}" for key, value in row.labels.items()))))
    if configuration is not None:
        profile = "" if configuration["profile"] is None else f" (profile {printable(configuration['profile'])})"
        head.append(("settings", f"{configuration['digest'][:16]}{profile}"))
    if row.retry_of is not None:
        head.append(("retry of", row.retry_of))
    if row.broken is not None:
        head.append(("set aside", f"it broke its engine again and again: {one_line(row.broken, 500)}"))
        head.append(("", f"'aether resume {row.run_id}' tries once more"))
    elif row.wake_at is not None:
        head.append(("driven by", f"no process: it is {sleep_text(row.wake_at)}"))
    elif not row.closed:
        driver = "no process ('aether resume' continues it)" if owner is None else one_line(called(owner))
        head.append(("driven by", driver))
    return head


def show_changes(title: str, changes: Sequence[Mapping[str, Json]]) -> None:
    """What differs, a line for each thing; `changes` as `views.diff` makes them."""
    click.secho(title, bold=True)
    if not changes:
        click.echo("  no difference")
    for change in changes:
        place = f"{printable(change['path'])} " if change["path"] else ""
        click.echo(f"  {place}{printable(change['field'])}: ", nl=False)
        click.secho(_side(change, "before"), fg="red", nl=False)
        click.echo(" -> ", nl=False)
        click.secho(_side(change, "after"), fg="green")


def _side(change: Mapping[str, Json], side: str) -> str:
    if side not in change:
        return "(none)"
    value = change[side]
    if change["field"] == "digest" and isinstance(value, str):
        return value[:16]
    bare = change["field"] in ("phase", "message", "progress") and value
    return one_line(value, 120) if bare else as_value(value, 120)
