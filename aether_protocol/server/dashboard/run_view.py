"""What the page of a run begins with, in one answer: the run, its task runs without their values, and why some of them wait."""

from __future__ import annotations

from typing import Annotated, Any, Final

from litestar import get
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import to_builtins

from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.inspections import overview_of
from aether_protocol.server.runs import Asked, Run
from aether_protocol.service.wire.inspections import RunViewBody, shown_task
from aether_protocol.views.summary import row_json

_OF_REPORT: Final = ("phase", "message", "progress", "outputs", "hooks", "notRun", "warnings")


@get(
    "/v1/runs/{run:str}/view",
    tags=["runs"],
    summary="Read what the page of a run shows",
    opt=VIEWER,
    responses=answers((200, RunViewBody, "The run as it was after the log entry `seq`."), problems=(404,)),
)
async def run_view(
    run: Run,
    client: Asked,
    state: State,
    at: Annotated[int | None, QueryParameter(ge=0, description="As it was after this log entry; the last without.")] = None,
) -> dict[str, Any]:
    """Give a run for its page. What comes after `seq` is in the feed of its events."""
    overview, _ = await overview_of(run, client, state, lines=0, reasons=0)
    step = await client.inspect.step(overview.row.run_id, at)
    report = to_builtins(step.report)
    return {
        **{name: report[name] for name in _OF_REPORT},
        "run": row_json(overview.row),
        "seq": step.seq,
        "parameters": dict(overview.parameters),
        "owner": overview.owner,
        "waiting": to_builtins(overview.waiting),
        "critical": list(step.critical),
        "tasks": [shown_task(one) for one in report["tasks"]],
    }
