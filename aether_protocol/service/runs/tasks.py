"""Tasks over all runs: what runs, what waits and why, what failed.

Law: a page looks at a bounded number of runs, newest first, and at a bounded number of the tasks of each; nothing is kept of
tasks beside their runs, so that to run one costs nothing for this. Tasks are looked for in runs that are open, and those that
failed in runs that failed themselves, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct
from msgspec.structs import replace

from aether_protocol.errors import NotFoundError, UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.service.runs.overview import RunOverview

if TYPE_CHECKING:
    from aether_protocol.service.client import RunInspector, RunReader

OPEN: Final = ("Created", "Ready", "Running", "Suspended")
ENDED_BADLY: Final = ("Failed", "Error", "Timeout", "Cancelled")
SHOWN: Final = (*OPEN, *ENDED_BADLY[:3])  # where nothing is said; a cancelled task is asked for by name
OF_A_RUN: Final = 60  # task runs, containers among them, that are looked at

Reasons = Mapping[str, str]  # why attempts wait for a worker, by path
Waits = Callable[[str], Awaitable[Reasons]]  # of a run, by its id


class TasksWanted(Struct, frozen=True, kw_only=True):
    """Which task runs: in one of these phases, with this text in their path."""

    phases: Collection[str] = SHOWN
    text: str = ""

    def fits(self, task: Mapping[str, Any]) -> bool:
        """Whether a task of a report is one of them; what only holds others together is none."""
        return task["templateType"] == "task" and task["phase"] in self.phases and self.text in task["path"].lower()


class FoundTask(Struct, frozen=True, gc=False):
    """A task as in a report; `reason`: why it does not go on, in words, of one that waits."""

    task: Mapping[str, Any]
    reason: str


class RunTasks(Struct, frozen=True):
    """The tasks that were found in a run. `more`: it has more than were looked at."""

    row: RunSummary
    tasks: Sequence[FoundTask]
    more: bool


class TasksFound(Struct, frozen=True):
    """A page: the runs in which something was found, of `looked_at` runs. `last`: the oldest of these, where there are more."""

    runs: Sequence[RunTasks]
    looked_at: int
    last: RunSummary | None


def read_wanted(phases: Sequence[str], text: str) -> TasksWanted:
    """Say which tasks are wanted. Raises UsageError for phases that are not looked for."""
    for phase in phases:
        if phase not in (*OPEN, *ENDED_BADLY):
            hint = f"one of {', '.join((*OPEN, *ENDED_BADLY))}; a run has all of its tasks"
            raise UsageError(f"tasks in phase {phase!r} are not looked for over all runs", hint=hint)
    return TasksWanted(phases=tuple(phases) or SHOWN, text=text.lower())


async def find_tasks(
    runs: RunReader, inspect: RunInspector, query: RunQuery, wanted: TasksWanted, waits: Waits
) -> TasksFound:
    """Find the tasks of a page of runs.

    Args:
        runs: where runs are listed.
        inspect: where they are looked at.
        query: which runs, and how many to a page at most.
        wanted: which of their tasks.
        waits: says why attempts of a run wait for a worker; it is asked of runs with tasks that do.
    """
    assert query.limit is not None
    rows = await _rows(runs, query, wanted)
    page = rows[: query.limit]
    found = await tasks_of(inspect, page, wanted, waits)
    return TasksFound(found, len(page), page[-1] if len(rows) > len(page) else None)


async def _rows(runs: RunReader, query: RunQuery, wanted: TasksWanted) -> list[RunSummary]:
    """The runs that may have such tasks, newest first: one more than the page holds, where there are more."""
    phases = [phase for phase in (*OPEN, *ENDED_BADLY) if phase in OPEN or phase in wanted.phases]
    return [*await runs.list(replace(query, phases=phases, limit=(query.limit or 0) + 1))]


async def tasks_of(
    inspect: RunInspector, rows: Sequence[RunSummary], wanted: TasksWanted, waits: Waits
) -> list[RunTasks]:
    """Find the tasks of these runs; one without any, or that was deleted meanwhile, is left out."""
    found = []
    for row in rows:
        await asyncio.sleep(0)  # a store may answer without a turn of the event loop, which has more to do
        try:
            overview = await inspect.overview(row.run_id, lines=OF_A_RUN, reasons=0)
        except NotFoundError:
            continue
        told: list[Mapping[str, Any]] = overview.report["tasks"]
        tasks = [task for task in told if wanted.fits(task)]
        if not tasks:
            continue
        reasons = dict[str, str]()
        if not overview.row.closed and any(task["phase"] == "Ready" for task in tasks):
            reasons = {**await waits(row.run_id)} or {one.path: one.reason for one in overview.waiting}
        shown = [FoundTask(task, _reason(task, overview, reasons)) for task in tasks]
        found.append(RunTasks(overview.row, shown, "leftOut" in overview.report and len(told) >= OF_A_RUN))
    return found


def _reason(task: Mapping[str, Any], overview: RunOverview, reasons: Reasons) -> str:
    """Why a task does not go on; empty of one that runs or has ended."""
    row, phase = overview.row, task["phase"]
    if phase not in OPEN:
        return ""
    if row.broken is not None:
        return f"its run was set aside: {row.broken}"
    if overview.owner is None and row.wake_at is None and phase != "Suspended":
        return "no process drives its run: it continues when one takes it up"
    if phase == "Suspended":
        return task["message"] or "waits for an answer"
    if phase == "Created":
        return f"is tried again: {task['message']}" if task["retries"] and task["message"] else "has yet to begin"
    return (reasons.get(task["path"]) or "is about to be given to a worker") if phase == "Ready" else ""
