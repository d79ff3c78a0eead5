"""Closer looks at runs over HTTP: overviews, steps, what differs, what waits for an answer, who drives; and their plans."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, ClassVar

from litestar import Controller, Request, Response, get
from litestar.datastructures import State
from litestar.params import FromPath, QueryParameter
from msgspec import to_builtins
from msgspec.structs import replace

from aether_protocol.errors import NotFoundError
from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import FOR_EVER, NOT_CHANGED, answers, tagged
from aether_protocol.server.runs import Asked, Run, waiting_of_run
from aether_protocol.service.client import Client
from aether_protocol.service.documents.parameters import WorkflowParameters
from aether_protocol.service.runs.overview import RunOverview, WaitingTask
from aether_protocol.service.runs.plans import PlanDocuments, PlanLayout
from aether_protocol.service.wire.inspections import (
    DifferencesBody,
    DriverBody,
    OverviewBody,
    PlaceBody,
    QuestionBody,
    StepBody,
    SuspendedBody,
    WorkspaceBody,
    differences_json,
    overview_json,
    step_json,
    workspace_json,
)
from aether_protocol.service.wire.runs import RunBody
from aether_protocol.views.summary import row_json

PlanDigest = Annotated[FromPath[str], "`digest` of a run"]
Task = Annotated[str, QueryParameter(description="A task, by its path or name; a hook by its name.")]


async def overview_of(
    run: str, client: Client, state: State, *, lines: int, reasons: int
) -> tuple[RunOverview, Sequence[str]]:
    """Give the overview of a run, with what the servers know of why its tasks wait, and the names of those not reached."""
    overview = await client.inspect.overview(run, lines=lines, reasons=reasons)
    if overview.row.closed:
        return overview, ()
    found = await waiting_of_run(state, overview.row.run_id)
    if found.attempts or not found.unreachable:  # else what the store knows has to do
        waiting = [WaitingTask(one.path, one.attempt, one.code, one.reason) for one in found.attempts]
        overview = replace(overview, waiting=waiting)
    return overview, found.unreachable


class InspectionController(Controller):
    """What people look at."""

    path = "/v1/runs"
    tags: ClassVar[list[str]] = ["runs"]  # type: ignore[misc]
    opt: ClassVar[dict[str, Any]] = dict(VIEWER)  # type: ignore[misc]

    @get(
        "/{run:str}/overview",
        summary="Read what a run came to, and why",
        responses=answers((200, OverviewBody, "What people look at first."), problems=(404,)),
    )
    async def overview(
        self,
        run: Run,
        client: Asked,
        state: State,
        lines: Annotated[int, QueryParameter(ge=0, le=10_000, description="Task runs up to which the report is whole.")] = 60,
        reasons: Annotated[int, QueryParameter(ge=0, le=100, description="Failed tasks that come with their logs.")] = 5,
    ) -> dict[str, Any]:
        overview, unreachable = await overview_of(run, client, state, lines=lines, reasons=reasons)
        told = overview_json(overview)
        return told if overview.row.closed else {**told, "unreachable": list(unreachable)}

    @get(
        "/{run:str}/step",
        summary="Read a run as it was after a log entry",
        responses=answers((200, StepBody, "The run as it was."), problems=(404,)),
    )
    async def step(
        self,
        run: Run,
        client: Asked,
        at: Annotated[int | None, QueryParameter(ge=0, description="The number of the log entry; the last without.")] = None,
    ) -> dict[str, Any]:
        return step_json(await client.inspect.step(run, at))

    @get(
        "/{run:str}/compare/{other:str}",
        summary="Compare two runs",
        responses=answers((200, DifferencesBody, "What differs."), problems=(404,)),
    )
    async def compare(self, run: Run, other: Run, client: Asked) -> dict[str, Any]:
        return differences_json(await client.inspect.compare(run, other))

    @get(
        "/{run:str}/compare-steps",
        summary="Compare a run with itself at another log entry",
        responses=answers((200, DifferencesBody, "What differs."), problems=(404,)),
    )
    async def compare_steps(
        self,
        run: Run,
        client: Asked,
        after: Annotated[int, QueryParameter(ge=0, description="The log entry that is compared with `before`.")],
        before: Annotated[int | None, QueryParameter(ge=0, description="The first one; the last of the run without.")] = None,
    ) -> dict[str, Any]:
        return differences_json(await client.inspect.compare_steps(run, before, after))

    @get(
        "/{run:str}/log-place",
        summary="Find where the logs of a task are",
        responses=answers((200, PlaceBody, "The path that its log pieces have."), problems=(404,)),
    )
    async def log_place(self, run: Run, client: Asked, task: Task) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.inspect.log_place(run, task))
        return told

    @get(
        "/{run:str}/question",
        summary="Find a suspended task, and what it asks for",
        responses=answers((200, QuestionBody, "The task."), problems=(404, 409)),
    )
    async def question(self, run: Run, client: Asked, task: Task) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.inspect.question(run, task))
        return told

    @get(
        "/{run:str}/workspace",
        summary="Find the workspace that was kept of a task",
        responses=answers((200, WorkspaceBody, "The folder, on the server's machine."), problems=(404,)),
    )
    async def workspace(self, run: Run, client: Asked, task: Task) -> dict[str, Any]:
        return workspace_json(await client.inspect.workspace(run, task))

    @get(
        "/{run:str}/newest",
        summary="Find a run by its exact id, or the newest of its retries",
        responses=answers((200, RunBody, "The run."), problems=(404,)),
    )
    async def newest(self, run: Run, client: Asked) -> dict[str, Any]:
        row = await client.inspect.newest(run)
        if row is None:
            raise NotFoundError(f"run {run!r} is unknown, and it has no retries")
        return row_json(row)

    @get(
        "/{run:str}/suspended",
        summary="List the tasks that wait for an answer",
        responses=answers((200, SuspendedBody, "Their paths."), problems=(404,)),
    )
    async def suspended(self, run: Run, client: Asked) -> dict[str, Any]:
        return {"suspended": list(await client.runs.suspended(run))}

    @get(
        "/{run:str}/driver",
        summary="Say which engine drives a run",
        responses=answers((200, DriverBody, "The engine."), problems=(404,)),
    )
    async def driver(self, run: Run, client: Asked) -> dict[str, Any]:
        return {"driver": await client.runs.driver(run)}


class PlanController(Controller):
    """Plans of the runs that the caller sees, by their digests. What a digest names never changes."""

    path = "/v1/plans"
    tags: ClassVar[list[str]] = ["plans"]  # type: ignore[misc]
    opt: ClassVar[dict[str, Any]] = dict(VIEWER)  # type: ignore[misc]

    @get(
        "/{plan:str}",
        summary="Read the documents of a plan",
        responses=answers((200, PlanDocuments, "To be kept for ever; its digest is the ETag."), NOT_CHANGED, problems=(404,)),
    )
    async def read(self, plan: PlanDigest, client: Asked, request: Request[Any, Any, Any]) -> Response[Any]:
        return tagged(request, plan, to_builtins(await client.plans.get(plan)), FOR_EVER)

    @get(
        "/{plan:str}/layout",
        summary="Read where the boxes of a plan's picture lie",
        responses=answers((200, PlanLayout, "To be kept for ever; its digest is the ETag."), NOT_CHANGED, problems=(404,)),
    )
    async def layout(
        self,
        plan: PlanDigest,
        client: Asked,
        request: Request[Any, Any, Any],
        depth: Annotated[int | None, QueryParameter(ge=0, description="Dags and loops below it are closed boxes.")] = None,
        folded: Annotated[bool, QueryParameter(description="Loops are closed boxes, but those of `open`.")] = False,
        opened: Annotated[
            list[str] | None, QueryParameter(name="open", max_items=200, description="Paths of loops that are open.")
        ] = None,
    ) -> Response[Any]:
        open_loops = frozenset(opened or ()) if folded else None
        shown = await client.plans.layout(plan, depth=depth, open_loops=open_loops)
        return tagged(request, plan, to_builtins(shown), FOR_EVER)

    @get(
        "/{plan:str}/parameters",
        summary="Read what a run of the same plan takes",
        responses=answers((200, WorkflowParameters, "To be kept for ever."), NOT_CHANGED, problems=(404,)),
    )
    async def takes(self, plan: PlanDigest, client: Asked, request: Request[Any, Any, Any]) -> Response[Any]:
        return tagged(request, plan, to_builtins(await client.plans.parameters(plan)), FOR_EVER)
