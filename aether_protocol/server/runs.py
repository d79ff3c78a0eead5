"""Runs over HTTP: begin, list, read, answer, end and delete them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from typing import Annotated, Any, ClassVar

from litestar import Controller, Request, Response, delete, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter, SkipValidation
from litestar.response import ServerSentEvent
from msgspec import Struct, field, to_builtins

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.server.access import OPERATOR, VIEWER
from aether_protocol.server.problems import ApiError
from aether_protocol.service.client import Client
from aether_protocol.views.summary import row_json

LONGEST_WAIT_S = 60.0
MOST_LISTED = 1000

Asked = NamedDependency[SkipValidation[Client]]  # see `access.client_for`


class SubmitRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Begin a run.

    `document` is a Workflow, as JSON or as text (YAML). `idempotencyKey`: the same key and content give the first run.
    """

    document: dict[str, Any] | str
    parameters: dict[str, Any] = field(default_factory=dict)
    run_id: str | None = None
    idempotency_key: str | None = None


class ReasonRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Why something is asked for."""

    reason: str = ""


class ResumeRequest(Struct, forbid_unknown_fields=True, kw_only=True):
    """Answer a suspended task, named by its path or name."""

    task: str
    payload: dict[str, Any] | None = None
    reason: str = ""


class RetryRequest(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Run again what did not succeed. `from` names the task from which all runs again."""

    start: str | None = field(default=None, name="from")
    run_id: str | None = None
    reason: str = ""


class RunController(Controller):
    """What can be asked of runs."""

    path = "/v1/runs"
    tags: ClassVar[list[str]] = ["runs"]  # type: ignore[misc]

    @post("/", summary="Begin a run", opt=OPERATOR)
    async def submit(self, data: JSONBody[SubmitRequest], client: Asked) -> Response[dict[str, Any]]:
        run_id = data.run_id
        if data.idempotency_key is not None:
            if run_id is not None:
                raise UsageError("runId and idempotencyKey cannot be given both", hint="the key names the run")
            run_id = _keyed(data.idempotency_key)
            first = await _first(client, run_id, data)
            if first is not None:
                return Response(row_json(first), status_code=200)
        made = await client.control.submit(data.document, data.parameters, run_id=run_id)
        return Response(row_json(await client.runs.get(made)), status_code=201)

    @get("/", summary="List runs, newest first", opt=VIEWER)
    async def list_runs(
        self,
        client: Asked,
        phase: Annotated[list[str] | None, QueryParameter()] = None,
        name: Annotated[str | None, QueryParameter()] = None,
        namespace: Annotated[str | None, QueryParameter()] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED)] = 50,
        page: Annotated[str | None, QueryParameter()] = None,
    ) -> dict[str, Any]:
        query = RunQuery(
            phases=phase or (), name=name, namespace=namespace, limit=limit + 1, before=_read_cursor(page)
        )
        rows = await client.runs.list(query)
        following = _cursor(rows[limit - 1]) if len(rows) > limit else None
        return {"runs": [row_json(row) for row in rows[:limit]], "next": following}

    @get("/{run:str}", summary="Read a run's row", opt=VIEWER)
    async def read(self, run: FromPath[str], client: Asked) -> dict[str, Any]:
        return row_json(await client.runs.get(run))

    @get("/{run:str}/report", summary="Read a run with all of its tasks", opt=VIEWER)
    async def report(
        self, run: FromPath[str], client: Asked, at: Annotated[int | None, QueryParameter()] = None
    ) -> dict[str, Any]:
        return (await client.runs.report(run, at=at)).to_json()

    @get("/{run:str}/result", summary="Wait for the end of a run, and read its report", opt=VIEWER)
    async def result(
        self, run: FromPath[str], client: Asked, wait: Annotated[str, QueryParameter()] = "0s"
    ) -> Response[dict[str, Any]]:
        timeout_s = min(_duration(wait), LONGEST_WAIT_S)
        try:
            report = await client.runs.wait(run, timeout_s=timeout_s)
        except BusyError:
            return Response(row_json(await client.runs.get(run)), status_code=202)
        return Response(report.to_json(), status_code=200)

    @post("/{run:str}/cancel", status_code=202, summary="Cancel a run", opt=OPERATOR)
    async def cancel(self, run: FromPath[str], data: JSONBody[ReasonRequest], client: Asked) -> dict[str, Any]:
        await client.control.cancel(run, reason=data.reason)
        return row_json(await client.runs.get(run))

    @post("/{run:str}/resume", status_code=202, summary="Answer a suspended task", opt=OPERATOR)
    async def resume(self, run: FromPath[str], data: JSONBody[ResumeRequest], client: Asked) -> dict[str, Any]:
        await client.control.resume(run, data.task, data.payload, reason=data.reason)
        return row_json(await client.runs.get(run))

    @post("/{run:str}/retry", summary="Run again what did not succeed", opt=OPERATOR)
    async def retry(self, run: FromPath[str], data: JSONBody[RetryRequest], client: Asked) -> dict[str, Any]:
        made = await client.control.retry(run, data.start, new_id=data.run_id, reason=data.reason)
        return row_json(await client.runs.get(made))

    @delete("/{run:str}", summary="Delete a run that has ended", opt=OPERATOR)
    async def remove(self, run: FromPath[str], client: Asked) -> None:
        await client.control.delete([run])

    @get("/{run:str}/logs", summary="Read what tasks wrote", opt=VIEWER)
    async def logs(
        self,
        run: FromPath[str],
        client: Asked,
        path: Annotated[str | None, QueryParameter()] = None,
        after: Annotated[int, QueryParameter(ge=0)] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED)] = MOST_LISTED,
    ) -> dict[str, Any]:
        lines = []
        async for line in client.runs.logs(run, path, after=after):
            lines.append(to_builtins(line))
            if len(lines) == limit:
                break
        return {"logs": lines, "next": lines[-1]["seq"] if len(lines) == limit else None}

    @get("/{run:str}/events", summary="Follow what happens in a run (SSE)", opt=VIEWER)
    async def events(self, run: FromPath[str], client: Asked, request: Request[Any, Any, Any]) -> ServerSentEvent:
        after = request.headers.get("last-event-id", "0")
        await client.runs.get(run)
        return ServerSentEvent(_events(client, run, int(after) if after.isdecimal() else 0))


async def _events(client: Client, run: str, after: int) -> AsyncIterator[dict[str, Any]]:
    """One message a log entry, named by its number."""
    async for record in client.runs.events(run, after=after, follow=True):
        yield {"id": str(record["seq"]), "event": "event", "data": json.dumps(record, separators=(",", ":"))}


def _keyed(key: str) -> str:
    """The id of the run that an idempotency key names."""
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:24]}"


async def _first(client: Client, run_id: str, data: SubmitRequest) -> RunSummary | None:
    """The run that the key named before; None: there is none. Raises ApiError (409) where its content is another."""
    try:
        first = await client.runs.get(run_id)
    except UsageError:
        return None
    if first.run_id != run_id:
        return None
    raise ApiError(409, "idempotency-key", f"the key named run {run_id!r} before")


def _duration(text: str) -> float:
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise UsageError(f"wait={text!r} is not a duration: {error}") from None


def _cursor(row: RunSummary) -> str:
    return f"{row.created_at}:{row.run_id}"


def _read_cursor(text: str | None) -> tuple[int, str] | None:
    if text is None:
        return None
    at, _, run_id = text.partition(":")
    if not (at.isascii() and at.isdigit() and run_id):
        raise UsageError(f"{text!r} is not a page", hint="give `next` of the page before")
    return int(at), run_id
