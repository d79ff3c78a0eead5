"""Runs over HTTP: begin, list, read, answer, end and delete them."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final

from litestar import Controller, Response, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, HeaderParameter, JSONBody, QueryParameter, SkipValidation
from msgspec import UNSET, to_builtins
from msgspec.structs import replace

from aether_protocol.adapters.brokers.fleet_view import WaitingAttempt
from aether_protocol.errors import BusyError, PortError, UsageError
from aether_protocol.expressions.durations import parse_duration
from aether_protocol.server.access import OPERATOR, VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.parts import parts_of
from aether_protocol.server.relay.whole_fleet import WaitingFound
from aether_protocol.server.worker_calls import fleet_of
from aether_protocol.service.client import Client
from aether_protocol.service.documents.texts import DocumentText, RecordedPlan, StoredWorkflow
from aether_protocol.service.runs.overview import WaitingTask
from aether_protocol.service.wire.inspections import ReadRunBody
from aether_protocol.service.wire.reports import ReportBody, TaskPage
from aether_protocol.service.wire.requests import ResumeBody, RetryBody, SubmitBody, WhyBody, read_libraries
from aether_protocol.service.wire.runs import MOST_LISTED, MendedBody, RunBody, RunFilter, RunPage, cursor, read_labels
from aether_protocol.service.wire.values import read_optional
from aether_protocol.views.report import TaskReport
from aether_protocol.views.summary import row_json

LONGEST_WAIT_S: Final = 60.0
MOST_WAITING: Final = 100  # attempts that wait, of which a row says why

Asked = NamedDependency[SkipValidation[Client]]  # see `access.client_for`
Run = Annotated[FromPath[str], "a run's id, the beginning of one, or latest"]
Answer = Response[dict[str, Any]]
Traceparent = Annotated[
    str | None, HeaderParameter(name="traceparent", description="The W3C trace context of the span that the run is begun in.")
]

_UNKNOWN: Final = (404,)


class RunController(Controller):
    """What can be asked of runs."""

    path = "/v1/runs"
    tags: ClassVar[list[str]] = ["runs"]  # type: ignore[misc]

    @post(
        "/",
        summary="Begin a run",
        opt=OPERATOR,
        responses=answers(
            (201, RunBody, "The run that begins."),
            (200, RunBody, "The run that the idempotency key named before."),
            problems=(404, 409, 413, 422),
        ),
    )
    async def submit(
        self,
        data: JSONBody[SubmitBody],
        client: Asked,
        key_header: Annotated[str | None, HeaderParameter(name="Idempotency-Key", description="As `idempotencyKey`.")] = None,
        traceparent: Traceparent = None,
    ) -> Answer:
        key = data.idempotency_key if data.idempotency_key is not None else key_header
        if key_header not in (None, key):
            raise UsageError("idempotencyKey and the header Idempotency-Key differ", hint="give one of them")
        given: dict[str, Any] = {
            "run_id": data.run_id,
            "scheduled_time": _instant("scheduledTime", data.scheduled_time),
            "workflow": data.workflow,
            "library": read_libraries(data.library),
            "texts": data.parameter_texts,
            "trace_context": traceparent,
            "spellings": data.parameter_spellings,
        }
        if key is None:
            run_id = await client.control.submit(_source(data), data.parameters, **given)
            return await _row(client, run_id, 201, "was begun")
        once = await client.control.submit_once(key, _source(data), data.parameters, **given)
        return await _row(client, once.run_id, 201 if once.is_new else 200, "was begun")

    @get("/", summary="List runs, newest first", opt=VIEWER, responses=answers((200, RunPage, "A page of runs.")))
    async def list_runs(
        self,
        *,
        client: Asked,
        phase: Annotated[list[str] | None, QueryParameter(description="Only in these phases.")] = None,
        name: Annotated[str | None, QueryParameter(description="Only of this workflow.")] = None,
        namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
        label: Annotated[list[str] | None, QueryParameter(description="Only with these labels, KEY=VALUE each.")] = None,
        since: Annotated[str | None, QueryParameter(description="Only made then or later (RFC 3339).")] = None,
        until: Annotated[str | None, QueryParameter(description="Only made before (RFC 3339).")] = None,
        ended_before: Annotated[str | None, QueryParameter(name="endedBefore", description="Only ended before.")] = None,
        closed: Annotated[bool | None, QueryParameter(description="Only those that have ended, or that have not.")] = None,
        prefix: Annotated[str, QueryParameter(description="Only those whose id begins so.")] = "",
        text: Annotated[str, QueryParameter(description="Only with this in the id, the workflow's name or the message.")] = "",
        retries: Annotated[bool, QueryParameter(description="Only those that retry another one.")] = False,
        asleep: Annotated[bool, QueryParameter(description="Only passivated ones, the one that is due next first.")] = False,
        digest: Annotated[str | None, QueryParameter(description="Only of the plan with this digest.")] = None,
        newest_of_each: Annotated[
            int | None, QueryParameter(name="newestOfEach", ge=1, description="Of each workflow only so many, the newest.")
        ] = None,
        drivers: Annotated[bool, QueryParameter(description="Say of each open run whether a process drives it.")] = False,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = 50,
        page: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
    ) -> dict[str, Any]:
        wanted = RunFilter(
            phases=phase or (),
            name=name,
            namespace=namespace,
            labels=read_labels(label or ()),
            since=since,
            until=until,
            ended_before=ended_before,
            closed=closed,
            prefix=prefix,
            text=text,
            retries=retries,
            asleep=asleep,
            digest=digest,
        )
        query = replace(wanted.query(limit + 1, page), newest_of_each=newest_of_each)
        rows = await client.runs.list(query, driven=drivers)
        following = cursor(rows[limit - 1]) if len(rows) > limit else None
        return {"runs": [row_json(row) for row in rows[:limit]], "next": following}

    @get(
        "/{run:str}",
        summary="Read a run's row, and why tasks wait",
        opt=VIEWER,
        responses=answers((200, ReadRunBody, "The run."), problems=_UNKNOWN),
    )
    async def read(self, run: Run, client: Asked, state: State) -> dict[str, Any]:
        row = await client.runs.get(run)
        found = WaitingFound() if row.closed else await waiting_of_run(state, row.run_id)
        waiting = found.attempts
        shown = [WaitingTask(one.path, one.attempt, one.code, one.reason) for one in waiting[:MOST_WAITING]]
        more = {"waiting": to_builtins(shown), "waitingCount": len(waiting), "unreachable": list(found.unreachable)}
        return {**row_json(row), **more}

    @get(
        "/{run:str}/tasks",
        summary="Read the tasks of a run",
        opt=VIEWER,
        responses=answers((200, TaskPage, "Its task runs as they are now, in document order."), problems=_UNKNOWN),
    )
    async def tasks(
        self,
        run: Run,
        client: Asked,
        state: State,
        *,
        phase: Annotated[list[str] | None, QueryParameter(description="Only in these phases.")] = None,
        path: Annotated[str | None, QueryParameter(description="Only the task run there.")] = None,
        at: Annotated[int | None, QueryParameter(ge=0, description="As they were after this log entry.")] = None,
        after: Annotated[int, QueryParameter(ge=0, description="How many to leave out.")] = 0,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = MOST_LISTED,
    ) -> dict[str, Any]:
        report = await client.runs.report(run, at=at)
        found = [task for task in report.tasks if (not phase or task.phase in phase) and path in (None, task.path)]
        upto = after + limit
        waiting = WaitingFound() if report.finished_at is not None else await waiting_of_run(state, report.run_id)
        waits = {one.path: one for one in waiting.attempts}
        shown = [_listed(task, waits.get(task.path)) for task in found[after:upto]]
        return {"tasks": shown, "next": upto if upto < len(found) else None, "unreachable": list(waiting.unreachable)}

    @get(
        "/{run:str}/report",
        summary="Read a run with all of its tasks",
        opt=VIEWER,
        responses=answers((200, ReportBody, "The run report."), problems=_UNKNOWN),
    )
    async def report(
        self,
        run: Run,
        client: Asked,
        at: Annotated[int | None, QueryParameter(ge=0, description="As it was after this log entry.")] = None,
    ) -> dict[str, Any]:
        return (await client.runs.report(run, at=at)).to_json()

    @get(
        "/{run:str}/result",
        summary="Wait for the end of a run, and read its report",
        opt=VIEWER,
        responses=answers(
            (200, ReportBody, "It has ended."), (202, RunBody, "It has not ended: ask again."), problems=_UNKNOWN
        ),
    )
    async def result(
        self,
        run: Run,
        client: Asked,
        wait: Annotated[str, QueryParameter(description="How long to wait at most, up to 60s.", examples=[])] = "0s",
        or_suspended: Annotated[bool, QueryParameter(name="orSuspended", description="Or until it needs an answer.")] = False,
    ) -> Answer:
        timeout_s = min(_duration(wait), LONGEST_WAIT_S)
        try:
            report = await client.runs.wait(run, or_suspended=or_suspended, timeout_s=timeout_s)
        except BusyError:
            return await _row(client, run, 202)
        return Response(report.to_json(), status_code=200)

    @post(
        "/{run:str}/cancel",
        status_code=202,
        summary="Cancel a run",
        opt=OPERATOR,
        responses=answers((202, RunBody, "It is recorded; hooks may still run."), problems=(404, 409)),
    )
    async def cancel(self, run: Run, data: JSONBody[WhyBody], client: Asked) -> Answer:
        run_id = (await client.runs.get(run)).run_id
        await client.control.cancel(run_id, reason=data.reason)
        return await _row(client, run_id, 202, "is cancelled")

    @post(
        "/{run:str}/resume",
        status_code=202,
        summary="Answer a suspended task",
        opt=OPERATOR,
        responses=answers((202, RunBody, "The answer is recorded."), problems=(404, 409, 413)),
    )
    async def resume(self, run: Run, data: JSONBody[ResumeBody], client: Asked) -> Answer:
        run_id = (await client.runs.get(run)).run_id
        await client.control.resume(run_id, data.task, data.payload, reason=data.reason)
        return await _row(client, run_id, 202, "has its answer")

    @post(
        "/{run:str}/retry",
        summary="Run again what did not succeed",
        opt=OPERATOR,
        responses=answers((201, RunBody, "The new run."), problems=(404, 409)),
    )
    async def retry(
        self, run: Run, data: JSONBody[RetryBody], client: Asked, traceparent: Traceparent = None
    ) -> Answer:
        made = await client.control.retry(
            run, data.start, new_id=data.run_id, reason=data.reason, trace_context=traceparent
        )
        return await _row(client, made, 201, "was begun")

    @post(
        "/{run:str}/mend",
        status_code=200,
        summary="Let a run that was set aside be tried once more",
        opt=OPERATOR,
        responses=answers((200, MendedBody, "Whether it was set aside."), problems=_UNKNOWN),
    )
    async def mend(self, run: Run, client: Asked) -> dict[str, Any]:
        return {"mended": await client.control.mend(run)}

    @delete(
        "/{run:str}",
        summary="Delete a run that has ended",
        opt=OPERATOR,
        responses=answers((204, None, "It is deleted."), problems=(404, 409)),
    )
    async def remove(
        self,
        run: Run,
        client: Asked,
        force: Annotated[bool, QueryParameter(description="Also an unfinished one that no engine drives.")] = False,
    ) -> None:
        await client.control.delete([run], force=force)


async def waiting_of_run(state: State, run_id: str) -> WaitingFound:
    """What of a run waits for a worker, and why, at whichever server it is driven."""
    parts = parts_of(state)
    return WaitingFound() if parts.workers is None else await fleet_of(parts).waiting(run_id)


def _listed(task: TaskReport, waits: WaitingAttempt | None) -> dict[str, Any]:
    shown: dict[str, Any] = task.to_json()
    return shown if waits is None else {**shown, "waiting": {"code": waits.code, "reason": waits.reason}}


async def _row(client: Client, run: str, status: int, done: str = "") -> Answer:
    """The row of a run; `done`: what has been done to it, which is said where its row cannot be read."""
    try:
        row = await client.runs.get(run)
    except (PortError, BusyError) as error:
        if done:
            hint = f"it is done, and need not be asked for again; GET /v1/runs/{run} once the store answers"
            raise PortError(f"run {run!r} {done}, and cannot be read now: {error.message}", hint=hint) from error
        raise
    return Response(row_json(row), status_code=status)


def _duration(text: str) -> float:
    if text in ("0", "0s"):
        return 0.0
    try:
        return parse_duration(text) / 1_000_000
    except ValueError as error:
        raise UsageError(f"wait={text!r} is not a duration: {error}", hint="for example wait=30s") from None


def _instant(name: str, text: str | None) -> int | None:
    try:
        return read_optional(text)
    except ValueError as error:
        raise UsageError(f"{name} is not an instant: {error}", hint="RFC 3339, for example 2026-01-31T12:00:00Z") from None


def _source(data: SubmitBody) -> dict[str, Any] | str | DocumentText | StoredWorkflow | RecordedPlan:
    """What is to be run: a document, the name of a stored one, or the plan of a run. Raises UsageError."""
    if [data.document is UNSET, data.name is None, data.plan is None].count(False) != 1:
        hint = "document, name or plan, one of them"
        raise UsageError("give a document, the name of a stored workflow, or the plan of a run", hint=hint)
    if data.plan is not None:
        return RecordedPlan(data.plan)
    if data.name is not None:
        return StoredWorkflow(data.name if data.version is None else f"{data.name}@{data.version}")
    if data.version is not None:
        raise UsageError("a version is that of a stored workflow", hint="give its name in place of a document")
    assert data.document is not UNSET
    if isinstance(data.document, str) and data.file is not None:
        return DocumentText(data.file, data.document)
    return data.document
