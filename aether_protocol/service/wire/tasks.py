"""Tasks over all runs as JSON."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.runs.tasks import RunTasks, TasksFound
from aether_protocol.service.wire.inspections import shown_task
from aether_protocol.service.wire.reports import ShownTask
from aether_protocol.service.wire.runs import RunBody, cursor
from aether_protocol.service.wire.values import Instant
from aether_protocol.views.summary import row_json


class FoundTaskBody(ShownTask, rename="camel", kw_only=True):
    """A task run without its values. `reason`: why it does not go on, in words; empty of one that runs or has ended."""

    reason: str


class RunTasksBody(Struct):
    """The task runs that were found in a run. `more`: it is so long that not all of its tasks were looked at."""

    run: RunBody
    tasks: list[FoundTaskBody]
    more: bool


class TasksBody(Struct, rename="camel"):
    """Task runs over all runs, by run, newest run first."""

    runs: list[RunTasksBody]
    looked_at: Annotated[int, Meta(description="How many runs were looked at.")]
    since: Annotated[Instant | None, Meta(description="When the oldest of these was made; null: there are no older ones.")]
    next: Annotated[str | None, Meta(description="The `page` that follows; null on the last one.")]
    unreachable: Annotated[list[str], Meta(description="Servers that did not answer why tasks wait.")]


def tasks_json(found: TasksFound, unreachable: set[str]) -> dict[str, Any]:
    """Write a page as `TasksBody`."""
    last = found.last
    return {
        "runs": [_of_run(one) for one in found.runs],
        "lookedAt": found.looked_at,
        "since": None if last is None else rfc3339(last.created_at),
        "next": None if last is None else cursor(last),
        "unreachable": sorted(unreachable),
    }


def _of_run(one: RunTasks) -> dict[str, Any]:
    tasks = [{**shown_task(found.task), "reason": found.reason} for found in one.tasks]
    return {"run": row_json(one.row), "tasks": tasks, "more": one.more}
