"""The store over HTTP: what it is, its check, and runs that are moved out of it, into it, or deleted."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Annotated, Any, ClassVar, Final

from litestar import Controller, Request, get, post, put
from litestar.params import JSONBody, QueryParameter
from litestar.response import Stream
from msgspec import to_builtins

from aether_protocol.errors import UsageError
from aether_protocol.server.access import ADMIN, OPERATOR, VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked, Run
from aether_protocol.service.wire.inspections import (
    ChangedBody,
    FindingsBody,
    FreedBody,
    StoreBody,
    findings_json,
    store_json,
)
from aether_protocol.service.wire.requests import DeleteBody, DryRunBody, PruneBody
from aether_protocol.service.wire.runs import DeletedBody, RunBody, RunIds
from aether_protocol.views.summary import row_json

JSON_LINES: Final = "application/jsonl"
MOST_ARCHIVE_BYTES: Final = 2**30


class StoreController(Controller):
    """The store itself."""

    path = "/v1/store"
    tags: ClassVar[list[str]] = ["store"]  # type: ignore[misc]

    @get("/", summary="Say what the store is", opt=ADMIN, responses=answers((200, StoreBody, "What it holds.")))
    async def info(self, client: Asked) -> dict[str, Any]:
        return store_json(await client.store.info())

    @get(
        "/check",
        summary="Read everything, and report what is wrong",
        opt=ADMIN,
        responses=answers((200, FindingsBody, "What was found.")),
    )
    async def check(self, client: Asked) -> dict[str, Any]:
        return findings_json(await client.store.check())

    @post(
        "/free-artifacts",
        status_code=200,
        summary="Delete artifacts that no run names",
        opt=ADMIN,
        responses=answers((200, FreedBody, "What was deleted.")),
    )
    async def free_artifacts(self, data: JSONBody[DryRunBody], client: Asked) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.store.free_artifacts(dry_run=data.dry_run))
        return told

    @post(
        "/vacuum",
        status_code=200,
        summary="Return unused space to the system",
        opt=ADMIN,
        responses=answers((200, ChangedBody, "Its size in bytes.")),
    )
    async def vacuum(self, client: Asked) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.store.vacuum())
        return told

    @post(
        "/migrate",
        status_code=200,
        summary="Bring the store up to date",
        opt=ADMIN,
        responses=answers((200, ChangedBody, "The version of its schema.")),
    )
    async def migrate(self, client: Asked) -> dict[str, Any]:
        told: dict[str, Any] = to_builtins(await client.store.migrate())
        return told

    @post(
        "/delete",
        status_code=200,
        summary="Delete runs, all of them or none",
        opt=OPERATOR,
        responses=answers((200, DeletedBody, "How many there were."), problems=(404, 409)),
    )
    async def delete(self, data: JSONBody[DeleteBody], client: Asked) -> dict[str, Any]:
        return {"deleted": await client.control.delete(data.runs, force=data.force)}

    @post(
        "/prune",
        status_code=200,
        summary="Delete the ended runs that fit",
        opt=OPERATOR,
        responses=answers((200, RunIds, "The runs.")),
    )
    async def prune(self, data: JSONBody[PruneBody], client: Asked) -> dict[str, Any]:
        return {"runs": list(await client.control.prune(data.query(), dry_run=data.dry_run))}

    @get(
        "/archives/{run:str}",
        summary="Export a run",
        opt=VIEWER,
        responses=answers((200, str, "The lines of an archive."), problems=(404,), media_type=JSON_LINES),
    )
    async def export(self, run: Run, client: Asked) -> Stream:
        run_id = (await client.runs.get(run)).run_id
        return Stream(_lines(client.store.export(run_id)), media_type=JSON_LINES)

    @put(
        "/archives",
        status_code=201,
        summary="Import a run",
        opt=ADMIN,
        request_max_body_size=MOST_ARCHIVE_BYTES,
        responses=answers((201, RunBody, "The run."), problems=(409, 413)),
    )
    async def import_run(
        self,
        request: Request[Any, Any, Any],
        client: Asked,
        name: Annotated[str, QueryParameter(description="How errors call the archive.")] = "the archive",
    ) -> dict[str, Any]:
        """Take the lines that an export gave, as `application/octet-stream`."""
        lines: list[str] = []
        rest = b""
        async for chunk in request.stream():
            *whole, rest = (rest + chunk).split(b"\n")
            lines += [_text(line, name) for line in whole]
        if rest:
            lines.append(_text(rest, name))
        return row_json(await client.store.import_run(lines, name))


def _text(line: bytes, name: str) -> str:
    try:
        return f"{line.decode()}\n"
    except UnicodeDecodeError:
        raise UsageError(f"{name!r} is not an exported run", hint="'aether export RUN' writes one") from None


async def _lines(lines: AsyncIterator[str]) -> AsyncGenerator[bytes, None]:
    async for line in lines:
        yield line.encode()
