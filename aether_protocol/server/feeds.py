"""What comes piece by piece: logs and events of a run, and changes of all runs; as pages, and followed as events (SSE)."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import QueryParameter

from aether_protocol.ports.store import Change, LogLine
from aether_protocol.server.access import VIEWER
from aether_protocol.server.answers import EVENT_STREAM, answers
from aether_protocol.server.runs import Asked, Run
from aether_protocol.server.sse import EventStreamResponse, OpenStreams, messages, resume_point
from aether_protocol.service.client import Client
from aether_protocol.service.wire.feeds import ChangePage, EventsPage, LogPage, change_json, log_json, log_page
from aether_protocol.service.wire.runs import MOST_LISTED
from aether_protocol.views.event_feed import EventRecord

LONGEST_WAIT_S: Final = 30.0  # that a page of changes waits
STREAM_WAIT_S: Final = 20.0  # between two looks whether there is still a reader

_STREAM: Final = answers((200, str, "Server-sent events, one message each."), problems=(404,), media_type=EVENT_STREAM)

After = Annotated[int, QueryParameter(ge=0, description="The number of the last piece that is known already.")]
Path = Annotated[str | None, QueryParameter(description="Only of the task run there, and of those below it.")]
Search = Annotated[str | None, QueryParameter(description="Only lines that contain this text.")]
Follow = Annotated[bool, QueryParameter(description="Until the run has ended; else what is there.")]


@get(
    "/v1/runs/{run:str}/logs",
    tags=["logs"],
    summary="Read what tasks wrote",
    opt=VIEWER,
    responses=answers((200, LogPage, "Pieces of the logs, in order."), problems=(404,)),
)
async def read_logs(
    *,
    run: Run,
    client: Asked,
    path: Path = None,
    after: After = 0,
    before: Annotated[int | None, QueryParameter(ge=0, description="Only pieces with a smaller number.")] = None,
    tail: Annotated[int | None, QueryParameter(ge=0, le=100_000, description="The last pieces with so many lines.")] = None,
    search: Search = None,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many pieces at most.")] = MOST_LISTED,
) -> dict[str, Any]:
    """Give a page of the logs: from a piece on (`after`), or the end of them (`tail`, and `before` to go further back)."""
    feed = client.runs.logs(run, path, after=after, before=before, tail=tail, search=search)
    found: list[LogLine] = []
    more = False
    try:
        async for piece in feed:
            if len(found) == limit:
                more = True
                break
            found.append(piece)
    finally:
        await feed.aclose()
    following = found[-1].seq if more else None
    previous = found[0].seq if tail is not None and found else None
    return log_page(found, following, previous)


@get(
    "/v1/runs/{run:str}/logs/follow",
    tags=["logs"],
    summary="Follow what tasks write (SSE)",
    opt=VIEWER,
    responses=_STREAM,
)
async def follow_logs(
    *,
    run: Run,
    client: Asked,
    request: Request[Any, Any, Any],
    state: State,
    path: Path = None,
    after: After = 0,
    before: Annotated[int | None, QueryParameter(ge=0, description="With follow=false: only pieces before.")] = None,
    tail: Annotated[int | None, QueryParameter(ge=0, le=100_000, description="Begin with so many lines.")] = None,
    search: Search = None,
    follow: Follow = True,
) -> EventStreamResponse:
    """Send each piece as it comes: `data` is a list of pieces, `id` the number of the last one."""
    start = resume_point(request, after) or 0
    run_id = (await client.runs.get(run)).run_id
    wanted = tail if start == after else None  # what is resumed is known up to there
    feed = client.runs.logs(run_id, path, after=start, before=before, tail=wanted, search=search, follow=follow)
    return EventStreamResponse(messages(feed.batches(), _log_seq, log_json), _streams(state))


@get(
    "/v1/runs/{run:str}/events",
    tags=["events"],
    summary="Read what happened in a run",
    opt=VIEWER,
    responses=answers((200, EventsPage, "Log entries, in order."), problems=(404,)),
)
async def read_events(
    run: Run,
    client: Asked,
    after: After = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=MOST_LISTED, description="How many log entries at most.")] = 200,
) -> dict[str, Any]:
    """Give a page of log entries, each with all of its records."""
    feed = client.runs.events(run, after=after).batches()
    entries: list[Sequence[EventRecord]] = []
    more = False
    try:
        async for entry in feed:
            if len(entries) == limit:
                more = True
                break
            entries.append(entry)
    finally:
        await feed.aclose()
    return {"entries": entries, "next": _entry_seq(entries[-1][-1]) if more else None}


@get(
    "/v1/runs/{run:str}/events/follow",
    tags=["events"],
    summary="Follow what happens in a run (SSE)",
    opt=VIEWER,
    responses=_STREAM,
)
async def follow_events(
    run: Run, client: Asked, request: Request[Any, Any, Any], state: State, after: After = 0, follow: Follow = True
) -> EventStreamResponse:
    """Send each log entry as it is stored: `data` is the list of its records, `id` its number."""
    start = resume_point(request, after) or 0
    run_id = (await client.runs.get(run)).run_id
    feed = client.runs.events(run_id, after=start, follow=follow)
    return EventStreamResponse(messages(feed.batches(), _entry_seq), _streams(state))


@get(
    "/v1/changes",
    tags=["events"],
    summary="Read which runs have changed",
    opt=VIEWER,
    responses=answers((200, ChangePage, "Changes, the oldest first; each run once, as it is now.")),
)
async def read_changes(
    client: Asked,
    after: Annotated[int | None, QueryParameter(ge=0, description="The cursor before; only the newest without.")] = None,
    wait_s: Annotated[
        float, QueryParameter(name="waitSeconds", ge=0, le=LONGEST_WAIT_S, description="How long to wait for one.")
    ] = 0.0,
) -> dict[str, Any]:
    """Give what has changed since a cursor; wait for a change where there is none yet."""
    changes = await client.store.changes(after, wait_s=wait_s)
    return {"changes": [change_json(one) for one in changes], "cursor": changes[-1].cursor if changes else after or 0}


@get("/v1/changes/follow", tags=["events"], summary="Follow all runs (SSE)", opt=VIEWER, responses=_STREAM)
async def follow_changes(
    client: Asked,
    request: Request[Any, Any, Any],
    state: State,
    after: Annotated[int | None, QueryParameter(ge=0, description="The cursor before; from now on without.")] = None,
) -> EventStreamResponse:
    """Send each change: `data` is a list of changes, `id` the cursor of the last one."""
    start = resume_point(request, after)
    return EventStreamResponse(messages(_changes(client, start), _change_cursor, change_json), _streams(state))


async def _changes(client: Client, after: int | None) -> AsyncGenerator[Sequence[Change], None]:
    if after is None:
        newest = await client.store.changes()
        after = newest[-1].cursor if newest else 0
    while True:
        changes = await client.store.changes(after, wait_s=STREAM_WAIT_S)
        if changes:
            yield changes
            after = changes[-1].cursor


def _streams(state: State) -> OpenStreams:
    streams: OpenStreams = state.streams
    return streams


def _log_seq(piece: LogLine) -> int:
    return piece.seq


def _entry_seq(record: EventRecord) -> int:
    seq: int = record["seq"]
    return seq


def _change_cursor(change: Change) -> int:
    return change.cursor


ROUTES: Final = (read_logs, follow_logs, read_events, follow_events, read_changes, follow_changes)
