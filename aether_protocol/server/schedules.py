"""Schedules over HTTP: applied, listed, suspended, fired at will, and what became of their fires."""

from __future__ import annotations

import time
from itertools import islice
from typing import Annotated, Any, ClassVar

from litestar import Controller, delete, get, post
from litestar.params import FromPath, JSONBody, QueryParameter

from aether_protocol.errors import UsageError
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.server.access import AUTHOR, OPERATOR, VIEWER
from aether_protocol.server.answers import answers
from aether_protocol.server.runs import Asked
from aether_protocol.service.schedules.times import fires_of
from aether_protocol.service.wire.documents import read_texts
from aether_protocol.service.wire.requests import read_libraries
from aether_protocol.service.wire.runs import MOST_LISTED
from aether_protocol.service.wire.schedules import (
    AppliedSchedulesBody,
    ApplySchedulesBody,
    BackfillBody,
    BackfillPage,
    FirePage,
    NextBody,
    ScheduleBody,
    SchedulePage,
    ScheduleRemovedBody,
    SuspendBody,
    SuspendedPage,
    TriggerBody,
    TriggeredBody,
    applied_schedules_json,
    backfill_json,
    fire_json,
    overview_json,
    schedule_json,
)
from aether_protocol.service.wire.values import read_instant

Namespace = Annotated[FromPath[str], "its namespace"]
Schedule = Annotated[FromPath[str], "its name"]

_UNKNOWN = (404,)
_ONE = "/{namespace:str}/{schedule:str}"


class ScheduleController(Controller):
    """What can be asked of schedules."""

    path = "/v1/schedules"
    tags: ClassVar[list[str]] = ["schedules"]  # type: ignore[misc]

    @post(
        "/",
        status_code=200,
        summary="Apply CronWorkflows, all or none",
        opt=AUTHOR,
        responses=answers((200, AppliedSchedulesBody, "What became of each."), problems=(409, 413, 422)),
    )
    async def apply(self, data: JSONBody[ApplySchedulesBody], client: Asked) -> dict[str, Any]:
        done = await client.schedules.apply(
            read_texts(data.documents), replaces=data.replace, library=read_libraries(data.library)
        )
        return applied_schedules_json(done)

    @get("/", summary="List schedules", opt=VIEWER, responses=answers((200, SchedulePage, "By namespace and name.")))
    async def list_schedules(
        self,
        client: Asked,
        namespace: Annotated[str | None, QueryParameter(description="Only of this namespace.")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = 50,
        page: Annotated[str | None, QueryParameter(description="`next` of the page before.")] = None,
    ) -> dict[str, Any]:
        space, slash, name = (page or "/").partition("/")
        if not slash:
            raise UsageError(f"{page!r} is not a page", hint="give `next` of the page before")
        after = None if page is None else (space, name)
        found = await client.schedules.list(namespace, after=after, limit=limit + 1)
        last = found[limit - 1].schedule if len(found) > limit else None
        following = None if last is None else f"{last.namespace}/{last.name}"
        return {"schedules": [overview_json(one) for one in found[:limit]], "next": following}

    @post(
        "/suspend",
        status_code=200,
        summary="Suspend schedules, or let them continue",
        opt=AUTHOR,
        responses=answers((200, SuspendedPage, "How each stands."), problems=(404, 409)),
    )
    async def suspend(self, data: JSONBody[SuspendBody], client: Asked) -> dict[str, Any]:
        done = await client.schedules.suspend(data.names, suspend=data.suspend)
        return {"schedules": [{"schedule": schedule_json(one.schedule), "changed": one.changed} for one in done]}

    @get(
        _ONE, summary="Read a schedule", opt=VIEWER, responses=answers((200, ScheduleBody, "With its runs."), problems=_UNKNOWN)
    )
    async def read(self, namespace: Namespace, schedule: Schedule, client: Asked) -> dict[str, Any]:
        return overview_json(await client.schedules.get(f"{namespace}/{schedule}"))

    @delete(
        _ONE,
        status_code=200,
        summary="Remove a schedule; its runs stay",
        opt=AUTHOR,
        responses=answers((200, ScheduleRemovedBody, "False where another was first."), problems=_UNKNOWN),
    )
    async def remove(self, namespace: Namespace, schedule: Schedule, client: Asked) -> dict[str, Any]:
        return {"removed": await client.schedules.remove(f"{namespace}/{schedule}")}

    @get(
        f"{_ONE}/fires",
        summary="Read what became of its fires, newest first",
        opt=VIEWER,
        responses=answers((200, FirePage, "A page of fires."), problems=_UNKNOWN),
    )
    async def fires(
        self,
        namespace: Namespace,
        schedule: Schedule,
        client: Asked,
        before: Annotated[int | None, QueryParameter(ge=0, description="`next` of the page before.")] = None,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many to a page.")] = 100,
    ) -> dict[str, Any]:
        found = await client.schedules.history(f"{namespace}/{schedule}", before=before, limit=limit + 1)
        following = found[limit - 1].id if len(found) > limit else None
        return {"fires": [fire_json(one) for one in found[:limit]], "next": following}

    @get(
        f"{_ONE}/next",
        summary="Read when it fires next, as if it were not suspended",
        opt=VIEWER,
        responses=answers((200, NextBody, "Instants, soonest first."), problems=_UNKNOWN),
    )
    async def next_fires(
        self,
        namespace: Namespace,
        schedule: Schedule,
        client: Asked,
        limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many.")] = 10,
    ) -> dict[str, Any]:
        found = (await client.schedules.get(f"{namespace}/{schedule}")).schedule
        after = max(found.seen, time.time_ns() // 1_000)  # what is past without a scheduler is late, not ahead
        return {"fires": [rfc3339(at) for at in islice(fires_of(found.settings, after), limit)]}

    @post(
        f"{_ONE}/trigger",
        summary="Begin a run of it now",
        opt=OPERATOR,
        responses=answers((201, TriggeredBody, "The run."), problems=(404, 409, 422)),
    )
    async def trigger(
        self, namespace: Namespace, schedule: Schedule, client: Asked, data: JSONBody[TriggerBody]
    ) -> dict[str, Any]:
        return {"runId": await client.schedules.trigger(f"{namespace}/{schedule}", texts=data.parameter_texts)}

    @post(
        f"{_ONE}/backfill",
        status_code=200,
        summary="Begin runs of fires that have not run",
        opt=OPERATOR,
        responses=answers((200, BackfillPage, "All fires of that time; those that are left out say why."), problems=(404, 409)),
    )
    async def backfill(
        self, namespace: Namespace, schedule: Schedule, data: JSONBody[BackfillBody], client: Asked
    ) -> dict[str, Any]:
        try:
            first, last = read_instant(data.first), read_instant(data.last)
        except ValueError as error:
            raise UsageError(f"from or until is not an instant: {error}", hint="for example 2026-01-31T12:00:00Z") from None
        done = await client.schedules.backfill(
            f"{namespace}/{schedule}", first, last, again=data.again, dry_run=data.dry_run
        )
        return {"fires": [backfill_json(one) for one in done]}
