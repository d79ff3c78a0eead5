"""Tasks over all runs: what runs, what waits and why, what failed, by pages of runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

from litestar import get
from litestar.datastructures import State
from litestar.params import QueryParameter

from aether_protocol.errors import NotFoundError
from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked, waiting_of_run
from aether_protocol.service.runs.tasks import TasksFound, find_tasks, read_wanted, tasks_of
from aether_protocol.service.wire.runs import RunFilter, read_labels
from aether_protocol.service.wire.tasks import TasksBody, tasks_json

MOST_RUNS: Final = 100  # that a page looks at


@get(
    "/v1/tasks",
    tags=["runs"],
    summary="Read tasks over all runs: those that run, wait or failed",
    opt=VIEWER,
    responses=answers((200, TasksBody, "Tasks of open runs, and of runs that failed, newest run first.")),
)
async def list_tasks(
    *,
    client: Asked,
    state: State,
    phase: Annotated[
        list[str] | None, QueryParameter(description="Only in these phases; by default all that are open or went wrong.")
    ] = None,
    task: Annotated[str, QueryParameter(description="Only tasks with this text in their path.")] = "",
    name: Annotated[str | None, QueryParameter(description="Only of this workflow.")] = None,
    namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
    label: Annotated[list[str] | None, QueryParameter(description="Only of runs with these labels, KEY=VALUE each.")] = None,
    since: Annotated[str | None, QueryParameter(description="Only of runs made then or later (RFC 3339).")] = None,
    until: Annotated[str | None, QueryParameter(description="Only of runs made before (RFC 3339).")] = None,
    run: Annotated[list[str] | None, QueryParameter(description="Only of these runs, whose ids are whole.")] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_RUNS, description="How many runs a page looks at.")] = 30,
    page: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """Give a page of tasks. With `run` the tasks of these runs, which is what a page asks for whose runs have changed."""
    wanted = read_wanted(phase or (), task)
    away = set[str]()

    async def waits(run_id: str) -> Mapping[str, str]:
        found = await waiting_of_run(state, run_id)
        away.update(found.unreachable)
        return {one.path: one.reason for one in found.attempts}

    if run:
        rows = [row for one in run[:MOST_RUNS] if (row := await _row(client, one)) is not None]
        return tasks_json(TasksFound(await tasks_of(client.inspect, rows, wanted, waits), len(rows), None), away)
    asked = RunFilter(name=name, namespace=namespace, labels=read_labels(label or ()), since=since, until=until)
    return tasks_json(await find_tasks(client.runs, client.inspect, asked.query(limit, page), wanted, waits), away)


async def _row(client: Asked, run: str) -> Any:
    try:
        return await client.runs.get(run)
    except NotFoundError:
        return None  # it was deleted
