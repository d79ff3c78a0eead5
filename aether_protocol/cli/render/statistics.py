"""Statistics over runs as tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import click

from aether_protocol.cli.render.table import show_table
from aether_protocol.cli.terminal.streams import shows
from aether_protocol.views.statistics import Statistics, WorkflowStatistics
from aether_protocol.views.text import duration, one_line

LEVELS: Final = "▁▂▃▄▅▆▇█"
MOST_TASKS: Final = 30
MOST_LONGER: Final = 10
HEADINGS: Final = ("WORKFLOW", "RUNS", "FAILED", "RATE", "MEDIAN", "P95", "LONGEST", "TREND", "OVER TIME")


def show_statistics(found: Statistics, *, in_detail: bool) -> None:
    """A line for each workflow; `in_detail` the slowest runs and the tasks, too."""
    names = {one.workflow for one in found.workflows.values()}
    several = len({one.namespace for one in found.workflows.values()}) > 1 or len(names) < len(found.workflows)
    rows = [_workflow(one, several=several) for one in found.most_run()]
    colors = ["red" if one.failed else None for one in found.most_run()]
    show_table(HEADINGS, rows, colors=colors, column=2, least=("OVER TIME", "LONGEST", "TREND", "P95", "FAILED"))
    _show_longer(found)
    if not in_detail:
        return
    for one in found.most_run():
        click.echo()
        slowest = [(duration(took), run_id) for took, run_id in sorted(one.slowest, reverse=True)]
        show_table(("TOOK", "SLOWEST RUNS"), slowest)
    if found.tasks:
        click.echo()
        tasks = [
            (one_line(task.path, 60), str(task.runs), str(task.failed), str(task.retries), _span(task.durations.quantile(0.5)),
             _span(task.durations.quantile(0.95)), _span(task.durations.longest_s))
            for task in found.slowest_tasks()[:MOST_TASKS]
        ]
        headings = ("TASK", "RUNS", "FAILED", "RETRIES", "MEDIAN", "P95", "LONGEST")
        show_table(headings, tasks, least=("LONGEST", "RETRIES", "P95", "FAILED"))


def _show_longer(found: Statistics) -> None:
    """The runs that take longer than is usual, the newest of those that are open first."""
    if not found.longer:
        return
    click.echo()
    newest = sorted(found.longer, reverse=True)[:MOST_LONGER]
    rows = [(duration(one.took_s), duration(one.usual_s), one.phase, one_line(one.workflow, 40), one.run_id) for one in newest]
    show_table(("TOOK", "USUAL", "PHASE", "LONGER THAN USUAL", "RUN"), rows, least=("USUAL", "PHASE"))
    if found.longer_count > len(newest):
        click.echo(f"and {found.longer_count - len(newest)} more")


def _workflow(one: WorkflowStatistics, *, several: bool) -> tuple[str, ...]:
    rate, trend = one.failure_rate, one.trend
    return (
        one_line(f"{one.namespace}/{one.workflow}" if several else one.workflow, 40),
        str(one.runs),
        str(one.failed),
        "" if rate is None else f"{rate:.0%}",
        _span(one.durations.quantile(0.5)),
        _span(one.durations.quantile(0.95)),
        _span(one.durations.longest_s if one.durations.count else None),
        "" if trend is None else f"{trend:+.0%}",
        _curve([span.durations.quantile(0.5) for span in one.spans]),
    )


def _span(seconds: float | None) -> str:
    return "" if seconds is None else duration(seconds)


def _curve(values: Sequence[float | None]) -> str:
    """The medians over time as a line of bars; empty where an encoding has none."""
    known = [value for value in values if value is not None]
    if not known or not shows(LEVELS, err=False):
        return ""
    top = max(known) or 1.0
    return "".join(" " if value is None else LEVELS[min(int(value / top * 7.99), 7)] for value in values)
