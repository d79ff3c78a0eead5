"""The report of a run as text. The JSON form is `Report.to_json()` itself.

Law: this reads the JSON form, or an excerpt of it that is long enough (MAX_LINES), and nothing else, so text can never know
what JSON does not hold.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import click

from aether_protocol.cli.exits import FINE_PHASES
from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.terminal.streams import say, wrapped
from aether_protocol.expressions.values import Json
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.report import Report
from aether_protocol.views.text import as_value, counted, duration, one_line

if TYPE_CHECKING:
    from aether_protocol.service.runs.overview import WaitingTask

MAX_LINES = 60  # of tasks; of a longer run only what did not succeed is listed


def print_report(report: Report, waiting: Sequence[WaitingTask] = ()) -> None:
    """The JSON form, on standard output; with the attempts that wait for a worker, where there are any."""
    from aether_protocol.cli.render.pretty import pretty

    told = report.to_json()
    if waiting:
        told["waiting"] = [
            {"path": one.path, "attempt": one.attempt, "code": one.code, "reason": one.reason} for one in waiting
        ]
    click.echo(pretty(told))


def show_report(report: Mapping[str, Json], elsewhere: Collection[str] = ()) -> None:
    """On standard output: how it ended, the tasks, the outputs. What went wrong is said once: of the tasks `elsewhere` there,
    of one whose message is the run's with that, of others in their lines."""
    phase = report["phase"]
    tail = f" in {duration(report['durationSeconds'])}" if report.get("durationSeconds") is not None else ""
    head = f"{mark(phase)} {phase}"
    first, *more = wrapped(f"{head}  {one_line(report['workflow']['name'])}{tail}, {_progress(report)}", further=2)
    click.secho(head, fg=PHASE_COLORS[phase], bold=True, nl=False)
    click.echo("\n".join([first[len(head) :], *more]))
    if report["message"]:
        say(one_line(report["message"], 500), "  ", further=0)
    if report.get("traceId"):
        click.echo(f"  trace {one_line(report['traceId'])}")
    _tasks(report, elsewhere)
    for hook in report["hooks"]:
        if hook["phase"] not in FINE_PHASES:
            _line(1, f"hook {hook['hook']}", hook)
    for warning in report.get("warnings", ()):
        say(f"note: {one_line(_warning(warning))}", "  ", color="yellow")
    if report["outputs"]:
        click.echo("outputs:")
        for name, value in report["outputs"].items():
            say(f"{name}: {as_value(value)}", "  ")


def _progress(report: Mapping[str, Json]) -> str:
    """How many tasks Succeeded, or were Skipped, of those that are known."""
    ended, _, known = report["progress"].partition("/")
    bad = report["leftOut"]["bad"] if report.get("leftOut") else sum(map(is_bad, report["tasks"]))
    return f"{int(ended) - bad}/{known} tasks succeeded" if bad else f"{ended}/{known} tasks"


def is_bad(task: Mapping[str, Json]) -> bool:
    """Whether a task has ended, and neither Succeeded nor was Skipped."""
    return task["templateType"] == "task" and task["finishedAt"] is not None and task["phase"] not in FINE_PHASES


def is_said_by(message: str, by: str) -> bool:
    """Whether a task's message is the end of the run's, which is shown before."""
    return bool(by) and by.endswith(message)


def _tasks(report: Mapping[str, Json], elsewhere: Collection[str]) -> None:
    tasks, not_run = report["tasks"], report["notRun"]
    left = report.get("leftOut") or {"tasks": 0, "notRun": 0}  # of an excerpt
    listed = tasks
    if left["tasks"] + left["notRun"] + len(tasks) + len(not_run) > MAX_LINES:
        listed = [task for task in tasks if task["phase"] not in FINE_PHASES][:MAX_LINES]
    reasons = [task["message"] for task in listed if task["templateType"] == "task" and task["message"]]
    for task in listed:
        item = f" {task['item']}" if task.get("item") else ""
        is_said = task["path"] in elsewhere or is_said_by(task["message"], report["message"])
        shown = {**task, "message": ""} if is_said else task
        _line(task["depth"] + 1, task["path"].rpartition(".")[2] + item, shown, reasons)
    more = left["tasks"] + len(tasks) - len(listed)
    if more:
        click.echo(f"  ({counted(more, 'more task')}; -o json has them all)")
    verdict = "did not run" if report["finishedAt"] is not None else "has not run yet"
    for path in not_run[:MAX_LINES]:
        click.secho(f"  {mark('Created')} {one_line(path)} {verdict}", fg=PHASE_COLORS["Skipped"])
    missing = left["notRun"] + len(not_run)
    if missing > MAX_LINES:
        click.echo(f"  ({missing - MAX_LINES} more: {verdict})")


def _line(depth: int, name: str, task: Mapping[str, Json], reasons: Sequence[str] = ()) -> None:
    """A task; of a dag or loop the message is left out where one of `reasons`, of a task below it, is its end."""
    phase = task["phase"]
    parts = [f"{mark(phase)} {one_line(name)}"]
    if phase != "Succeeded":
        parts.append(phase)
    if task["startedAt"] and task["finishedAt"]:
        took = datetime.fromisoformat(task["finishedAt"]) - datetime.fromisoformat(task["startedAt"])
        parts.append(duration(took.total_seconds()))
    elif phase == "Succeeded" and task.get("templateType") == "task":  # it never started here: a retry reused it
        parts.append("(reused)")
    if task.get("retries"):
        parts.append(f"({counted(task['retries'], 'retry')})")
    if task["message"] and (task.get("templateType") == "task" or not task["message"].endswith(tuple(reasons))):
        parts.append(f"- {one_line(task['message'], 120)}")
    first, *more = wrapped("  ".join(parts), "  " * depth)
    shown = mark(phase)
    click.secho(first[: first.index(shown) + len(shown)], fg=PHASE_COLORS[phase], nl=False)
    click.echo("\n".join([first[first.index(shown) + len(shown) :], *more]))


def _warning(warning: Json) -> str:
    if isinstance(warning, dict):
        path, message = warning.get("path"), warning.get("message", "")
        return f"{path}: {message}" if path else str(message)
    return str(warning)
