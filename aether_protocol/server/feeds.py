"""What comes piece by piece: logs and events of a run, and changes of all runs; as pages, and followed as events (SSE)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from functools import partial
from typing import Annotated, Any, Final

from litestar import Request, get
from litestar.datastructures import State
from litestar.params import QueryParameter
from msgspec import Struct

from aether_protocol.ports.store import Change, LogLine
from aether_protocol.server.access import VIEWER, caller_of
from aether_protocol.server.answers import EVENT_STREAM, answers
from aether_protocol.server.runs import Asked, Run
from aether_protocol.server.sse import PAUSE_S, EventStreamResponse, OpenStreams, message, messages, resume_point, written
from aether_protocol.service.client import Client
from aether_protocol.service.wire.feeds import ChangePage, EventsPage, LogPage, change_json, log_json, log_page
from aether_protocol.service.wire.runs import MOST_LISTED
from aether_protocol.views.event_feed import EventEntry, EventRecord

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
    has_tail = tail is not None and sum(one.text.count("\n") for one in found) >= tail  # else all of it is here
    previous = found[0].seq if found and has_tail else None
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
    return EventStreamResponse(messages(feed.batches(), lambda lines: written(lines, _log_seq, log_json)), _streams(state))


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
            entries.append([*entry])
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
    return EventStreamResponse(messages(feed.batches(), _entry_message), _streams(state))


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
    found = await client.store.changes(after, wait_s=wait_s)
    return {"changes": [change_json(one) for one in found.changes], "cursor": found.cursor}


@get("/v1/changes/follow", tags=["events"], summary="Follow all runs (SSE)", opt=VIEWER, responses=_STREAM)
async def follow_changes(
    client: Asked,
    request: Request[Any, Any, Any],
    state: State,
    after: Annotated[int | None, QueryParameter(ge=0, description="The cursor before; from now on without.")] = None,
) -> EventStreamResponse:
    """Send each change: `data` is a list of changes, `id` the cursor of the last one."""
    start = resume_point(request, after)
    if start is None:
        start = (await client.store.changes()).cursor
    shared: SharedChanges = state.changes
    changes = shared.follow(client, caller_of(request).namespaces("viewer"), start)
    return EventStreamResponse(messages(changes, lambda several: several), _streams(state))


class ChangesRead(Struct, gc=False):
    """Messages of changes, and the cursor of the last one."""

    cursor: int
    messages: Sequence[bytes]


class ChangesLook:
    """A look at what changes next, and how many readers wait for it."""

    def __init__(self, task: asyncio.Task[ChangesRead]) -> None:
        self.task = task
        self.readers = 0


class SharedChanges:
    """The changes of a store, for its readers. Those at the same cursor that see the same namespaces wait for the same look at
    the store, and get the same messages: however many readers there are, each change is read and written once."""

    def __init__(self) -> None:
        self._looks: dict[tuple[frozenset[str] | None, int], ChangesLook] = {}

    def __len__(self) -> int:
        """How many looks there are now."""
        return len(self._looks)

    async def follow(
        self, client: Client, seen: frozenset[str] | None, after: int
    ) -> AsyncGenerator[Sequence[bytes], None]:
        """Give messages as something changes.

        Args:
            client: of one who sees these namespaces.
            seen: the namespaces; None: all.
            after: the cursor before.
        """
        while True:
            look = self._looks.get((seen, after))
            if look is None:
                look = self._looks[seen, after] = ChangesLook(asyncio.create_task(self._look(client, after)))
                look.task.add_done_callback(partial(self._looked, (seen, after)))
            look.readers += 1
            try:
                read = await asyncio.shield(look.task)
            finally:
                look.readers -= 1
                if not look.readers:
                    look.task.cancel()
            if read.messages:
                yield read.messages
            after = read.cursor

    @staticmethod
    async def _look(client: Client, after: int) -> ChangesRead:
        await asyncio.sleep(PAUSE_S)  # what changes meanwhile goes together, each run once
        found = await client.store.changes(after, wait_s=STREAM_WAIT_S)
        return ChangesRead(found.cursor, [*written(found.changes, _change_cursor, change_json)])

    def _looked(self, place: tuple[frozenset[str] | None, int], look: asyncio.Task[ChangesRead]) -> None:
        self._looks.pop(place, None)
        if not look.cancelled():
            look.exception()  # each reader has it


def _streams(state: State) -> OpenStreams:
    streams: OpenStreams = state.streams
    return streams


def _log_seq(piece: LogLine) -> int:
    return piece.seq


def _entry_seq(record: EventRecord) -> int:
    seq: int = record["seq"]
    return seq


def _entry_message(entry: Sequence[EventRecord]) -> tuple[bytes]:
    assert isinstance(entry, EventEntry)  # of a run of this process or its store
    return (message(entry.seq, entry.json()),)


def _change_cursor(change: Change) -> int:
    return change.cursor


ROUTES: Final = (read_logs, follow_logs, read_events, follow_events, read_changes, follow_changes)
