"""The workflows that are known, with their newest runs: what the first page shows."""

from __future__ import annotations

from typing import Annotated, Any

from litestar import get
from litestar.params import QueryParameter

from aether_protocol.errors import UsageError
from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked
from aether_protocol.service.runs.workflows import NEWEST, list_workflows
from aether_protocol.service.wire.runs import MOST_LISTED
from aether_protocol.service.wire.workflows import WorkflowPage, workflow_json


@get(
    "/v1/workflows",
    tags=["runs"],
    summary="List workflows with their newest runs",
    opt=VIEWER,
    responses=answers((200, WorkflowPage, "Those that have runs, are stored, or are run by a schedule.")),
)
async def workflows(
    client: Asked,
    namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
    newest: Annotated[int, QueryParameter(ge=1, le=100, description="How many runs come with each.")] = NEWEST,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = 200,
    page: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
) -> dict[str, Any]:
    """Give a page of them, by namespace and name."""
    space, slash, name = (page or "/").partition("/")
    if not slash:
        raise UsageError(f"{page!r} is not a page", hint="give `next` of the page before")
    after = None if page is None else (space, name)
    found = await list_workflows(client, namespace, newest=newest, after=after, limit=limit + 1)
    last = found[limit - 1] if len(found) > limit else None
    following = None if last is None else f"{last.namespace}/{last.name}"
    return {"workflows": [workflow_json(one) for one in found[:limit]], "next": following}
