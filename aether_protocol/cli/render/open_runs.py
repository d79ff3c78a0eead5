"""All runs that are open, a few lines each: how far they are, what is being done, and how long it may still take.

Law: what is drawn costs what fits on the terminal; a run is looked into only while it is small.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

import click

from aether_protocol.cli.instants import now_us
from aether_protocol.cli.render.live import EMPTY, FULL
from aether_protocol.cli.render.marks import mark
from aether_protocol.cli.render.report import is_bad
from aether_protocol.cli.render.runs import COLORS, phase_of
from aether_protocol.cli.terminal.color import colored
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import RunQuery
from aether_protocol.scheduler.timing import SECOND
from aether_protocol.service.runs.estimates import learn_from_earlier
from aether_protocol.service.runs.listing import ListedRun, list_runs, short_ids
from aether_protocol.views.forecast import Forecast
from aether_protocol.views.phases import PHASE_COLORS
from aether_protocol.views.text import counted, cut, duration, one_line

if TYPE_CHECKING:
    from aether_protocol.service.client import Client

MOST_TASKS: Final = 500  # of a larger run only the counts are shown
NOW: Final = ("Suspended", "Running", "Ready", "Created")
LINES: Final = 4  # of tasks of one run


class OpenRuns:
    """Draws them, again and again."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._forecasts: dict[str, Forecast] = {}

    async def draw(self, columns: int, height: int) -> str:
        """A text of at most so many columns and lines."""
        listed = await list_runs(self._client.runs, RunQuery(closed=False, limit=height + 1), now_us())
        if not listed:
            return "no run is open"
        short = await short_ids(self._client.runs, [one.row.run_id for one in listed])
        lines: list[str] = []
        for number, one in enumerate(listed):
            left = height - len(lines) - min(len(listed) - number - 1, 1)
            if left < 1:
                lines.append(f"and {counted(len(listed) - number, 'more run')}, or more")
                break
            tasks = await self._tasks(one)
            lines.append(await self._line(one, short.get(one.row.run_id, one.row.run_id), columns, tasks))
            shown = [_task(task, columns) for task in _under_way(tasks)]
            lines += shown[: max(left - (len(listed) - number), 0)]
        return "\n".join(lines)

    async def _line(self, one: ListedRun, name: str, columns: int, tasks: Sequence[Mapping[str, Json]]) -> str:
        """How far a run is: how many of its tasks succeeded, as far as these say, and how many did not."""
        row, phase = one.row, phase_of(one)
        elapsed = (now_us() - row.created_at) / SECOND
        forecast = self._forecasts.get(row.run_id)
        if forecast is None:
            forecast = self._forecasts[row.run_id] = Forecast()
            await learn_from_earlier(self._client.runs, row, forecast)
        width = 10 if columns >= 60 else 5
        full = width * row.leaves_ended // max(row.leaves_known, 1)
        bad = sum(is_bad(task) for task in tasks)
        parts = [f"{FULL * full}{EMPTY * (width - full)} {row.leaves_ended - bad}/{row.leaves_known}"]
        parts += [f"{mark('Failed')} {bad}"] if bad else []
        parts.append(duration(elapsed))
        parts += [forecast.run_text(elapsed)] if columns >= 60 else []
        head = f"{mark(phase, '!')} {phase}" if columns >= 60 else mark(phase, "!")
        text = cut("  ".join([name, one_line(row.workflow, 40 if columns >= 60 else 12), head, *filter(None, parts)]), columns)
        return text.replace(head, click.style(head, fg=COLORS[phase]), 1) if colored() else text

    async def _tasks(self, one: ListedRun) -> Sequence[Mapping[str, Json]]:
        """The task runs of a run that is not large."""
        if one.row.leaves_known > MOST_TASKS:
            return ()
        tasks: list[Mapping[str, Json]] = []
        tasks += (await self._client.inspect.overview(one.row.run_id, lines=MOST_TASKS, reasons=0)).report["tasks"]
        return tasks


def _under_way(tasks: Sequence[Mapping[str, Json]]) -> list[Mapping[str, Json]]:
    """What is being done: the first of it."""
    found = [task for task in tasks if task["templateType"] == "task" and task["phase"] in NOW]
    return sorted(found, key=lambda task: NOW.index(task["phase"]))[:LINES]


def _task(task: Mapping[str, Json], columns: int) -> str:
    parts = [f"    {mark(task['phase'])} {one_line(task['path'])}"]
    if task.get("item"):
        parts.append(task["item"])
    if task["phase"] != "Running":
        parts.append(task["phase"])
    if task["message"]:
        parts.append(one_line(task["message"]))
    text = cut("  ".join(parts), columns)
    return click.style(text, fg=PHASE_COLORS[task["phase"]]) if colored() else text
