"""What many runs came to over time, which `aether stats` counts the same way."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final, Literal

from litestar import get
from litestar.params import QueryParameter
from msgspec.structs import replace

from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked
from aether_protocol.service.runs.statistics import gather_statistics
from aether_protocol.service.wire.runs import RunFilter, read_labels
from aether_protocol.service.wire.statistics import InsightsBody

DAYS: Final = 30  # that are counted, where nothing is said
MOST_RUNS: Final = 50_000  # that are counted for one answer: about two seconds, of which others have their turns
_DAY_US: Final = 86_400_000_000


@get(
    "/v1/insights",
    tags=["runs"],
    summary="Count runs over time: how many, how long, how often they fail, which take longer than is usual",
    opt=VIEWER,
    responses=answers((200, InsightsBody, "As `aether stats -o json`.")),
)
async def insights(
    *,
    client: Asked,
    since: Annotated[
        str | None, QueryParameter(description="Only runs made then or later (RFC 3339); by default of 30 days.")
    ] = None,
    until: Annotated[str | None, QueryParameter(description="Only runs made before (RFC 3339).")] = None,
    workflow: Annotated[str | None, QueryParameter(description="Only of this workflow.")] = None,
    namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
    label: Annotated[list[str] | None, QueryParameter(description="Only with these labels, KEY=VALUE each.")] = None,
    by: Annotated[
        Literal["hour", "day", "week"] | None,
        QueryParameter(description="How long periods are; by default hours of up to 3 days, days of up to 400, else weeks."),
    ] = None,
    tasks_of: Annotated[
        int, QueryParameter(name="tasksOf", ge=0, le=100, description="Of how many of the newest runs tasks are counted.")
    ] = 20,
) -> dict[str, Any]:
    """Count runs. Of more than MOST_RUNS the newest are counted, and `countedFrom` says since when."""
    asked = RunFilter(name=workflow, namespace=namespace, labels=read_labels(label or ()), since=since, until=until).query()
    now = time.time_ns() // 1_000
    query = asked if asked.since is not None else replace(asked, since=(asked.until or now) - DAYS * _DAY_US)
    found = await gather_statistics(client.runs, query, now, task_runs=tasks_of, period=by, most=MOST_RUNS)
    return found.to_json()
