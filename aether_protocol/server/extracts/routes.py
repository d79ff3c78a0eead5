"""What is made of runs for other uses, over HTTP: what a retry would do, and the artifacts of a run."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar, Final
from urllib.parse import quote

from litestar import Controller, get
from litestar.params import FromPath, QueryParameter
from litestar.response import Stream
from msgspec import to_builtins

from aether_protocol.errors import NotFoundError
from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked, Run
from aether_protocol.service.client import Client
from aether_protocol.service.wire.inspections import ArtifactsBody, SummaryBody
from aether_protocol.views.retry import RetryPreview

YAML: Final = "application/yaml"
_BYTES: Final = "application/octet-stream"


class ExtractController(Controller):
    """What runs are good for once they have ended."""

    path = "/v1/runs"
    tags: ClassVar[list[str]] = ["runs"]  # type: ignore[misc]
    opt: ClassVar[dict[str, Any]] = dict(VIEWER)  # type: ignore[misc]

    @get(
        "/{run:str}/retry-preview",
        summary="Read what a retry would keep, and what would run again",
        responses=answers((200, RetryPreview, "What a retry does with each task."), problems=(404, 409)),
    )
    async def retry_preview(
        self,
        run: Run,
        client: Asked,
        start: Annotated[
            str | None, QueryParameter(name="from", description="The task, by path or name, from which all runs again.")
        ] = None,
    ) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.extracts.retry_preview(run, start))
        return told

    @get(
        "/{run:str}/summary",
        summary="Read what a task says to people",
        responses=answers((200, SummaryBody, "Its AETHER_SUMMARY, in Markdown."), problems=(404,)),
    )
    async def summary(
        self, run: Run, client: Asked, task: Annotated[str, QueryParameter(description="A task, by its path or name.")]
    ) -> dict[str, Any]:
        return {"summary": await client.extracts.summary(run, task)}

    @get(
        "/{run:str}/case",
        summary="Read a run as a case file, which tests its document",
        media_type=YAML,
        responses=answers((200, str, "The case, in YAML."), problems=(404, 409), media_type=YAML),
    )
    async def case(self, run: Run, client: Asked) -> str:
        return await client.extracts.case(run)

    @get(
        "/{run:str}/artifacts",
        summary="List the artifacts of a run",
        responses=answers((200, ArtifactsBody, "What its tasks left, and what they fetched."), problems=(404,)),
    )
    async def artifacts(self, run: Run, client: Asked) -> dict[str, Any]:
        return {"artifacts": [to_builtins(one) for one in await client.extracts.artifacts(run)]}

    @get(
        "/{run:str}/artifacts/{digest:str}",
        summary="Get the content of an artifact of a run",
        media_type=_BYTES,
        responses=answers((200, bytes, "The content, as a file to be saved."), problems=(404,), media_type=_BYTES),
    )
    async def artifact(
        self, run: Run, digest: Annotated[FromPath[str], "`digest` of the artifact"], client: Asked
    ) -> Stream:
        run_id = (await client.runs.get(run)).run_id
        found = next((one for one in await client.extracts.artifacts(run_id) if one.digest == digest), None)
        if found is None:
            raise NotFoundError(f"run {run_id!r} has no artifact {digest[:80]!r}")
        if not found.kept:
            raise NotFoundError(f"the content of artifact {found.name!r} is not kept any more")
        headers = {
            "content-disposition": f"attachment; filename*=UTF-8''{quote(found.file, safe='')}",
            "content-length": str(found.size),
            "etag": f'"{digest}"',
        }
        return Stream(_pieces(client, run_id, digest), media_type=_BYTES, headers=headers)


async def _pieces(client: Client, run_id: str, digest: str) -> AsyncIterator[bytes]:
    async for piece in client.extracts.artifact(run_id, digest):
        yield piece
