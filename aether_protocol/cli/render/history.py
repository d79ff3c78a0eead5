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
from aether_protocol.cli.terminal.streams import say
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import LogLine, RunSummary
from aether_protocol.service.process_identity import called
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import as_value, counted, duration, one_line, printable

if TYPE_CHECKING:
    from aether_protocol.service.runs.overview import WaitingTask
    from aether_protocol.views.diff import TaskDurations
    from aether_protocol.views.retry import RetryPreview

TAIL_LINES = 8
WAITING_LINES = 20
DURATION_LINES = 10


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
        say(f"{name + ':' if name else '':<12} {text}", "  ", further=13)
    if parameters:
        click.echo("parameters:")
        for key, value in parameters.items():
            say(f"{printable(key)}: {as_value(value)}", "  ")
    show_report(report, elsewhere)
    if not row.closed:
        for task in report["tasks"]:
            if task["phase"] == "Suspended" and task["templateType"] == "task":
                command = f"aether resume {row.run_id} {shlex.quote(printable(task['path']))} -p NAME=VALUE"
                say(f"{printable(task['path'])} waits for an answer: {command}")


def show_waiting(waiting: Sequence[WaitingTask], *, of_store: bool) -> None:
    """Why attempts wait for a worker, a line for each. `of_store`: as far as the store knows it, and not their server."""
    for one in waiting[:WAITING_LINES]:
        say(printable(f"{one.path} waits for a worker: {one.reason}"))
    if len(waiting) > WAITING_LINES:
        click.echo(f"({counted(len(waiting) - WAITING_LINES, 'more task')} wait)")
    if waiting and of_store:
        click.echo("(this is what the store knows; 'aether show --server URL' says more)")


def show_reasons(reasons: Sequence[tuple[Mapping[str, Json], Sequence[LogLine]]], more: int, *, said: str = "") -> None:
    """Why it did not succeed: the tasks that went wrong, each with its message, unless the run `said` that, and the end of its
    log; `more` of them are not shown."""
    for task, lines in reasons:
        say(f"why: {printable(task['path'])} {task['phase']}", color=PHASE_COLORS[task["phase"]], bold=True)
        if task["message"] and not is_said_by(task["message"], said):
            say(one_line(task["message"], 500), "  ", further=0)
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


def show_retry(preview: RetryPreview) -> None:
    """What a retry would do, a line for each task."""
    whence = "" if preview.start is None else f" from {preview.start}"
    kept, again = len(preview.kept), len(preview.again)
    title = f"a retry of {preview.run_id}{whence} keeps {counted(kept, 'task')} and runs {counted(again, 'task')} again"
    click.secho(printable(title), bold=True)
    for word, tasks in (("keeps", preview.kept), ("runs", preview.again)):
        for task in tasks:
            click.echo(f"  {word:<6}", nl=False)
            click.secho(f"{task.phase or 'not run':<10}", fg=PHASE_COLORS.get(task.phase or ""), nl=False)
            click.echo(f" {printable(task.path)}")


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


def show_durations(durations: Sequence[TaskDurations]) -> None:
    """How long tasks took in both runs: those whose durations differ most, first."""
    both = [one for one in durations if one.before is not None and one.after is not None]
    both.sort(key=lambda one: -abs((one.after or 0) - (one.before or 0)))
    for one in both[:DURATION_LINES]:
        before, after = one.before or 0.0, one.after or 0.0
        click.echo(f"  {printable(one.path)} took {duration(before)} -> {duration(after)}")
    if len(both) > DURATION_LINES:
        click.echo(f"  (and {counted(len(both) - DURATION_LINES, 'more task')}; -o json has all)")


def _side(change: Mapping[str, Json], side: str) -> str:
    if side not in change:
        return "(none)"
    value = change[side]
    if change["field"] == "digest" and isinstance(value, str):
        return value[:16]
    bare = change["field"] in ("phase", "message", "progress") and value
    return one_line(value, 120) if bare else as_value(value, 120)
