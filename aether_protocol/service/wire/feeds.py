"""What comes piece by piece, as JSON: logs, log entries of a run, changes of all runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from msgspec import Meta, Struct

from aether_protocol.expressions.values import Json
from aether_protocol.ports.store import Change, LogLine
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.wire.runs import RunBody, RunId, read_row
from aether_protocol.service.wire.values import Instant, read_instant
from aether_protocol.views.summary import row_json

Seq = Annotated[int, Meta(description="The number of a piece; give the last one as `after` to read on.")]


class LogBody(Struct, rename="camel"):
    """A piece of a task's log: one or several lines. `stream` note: what the store says itself (older lines were dropped)."""

    seq: Seq
    run_id: RunId
    path: Annotated[str, Meta(description="The path of the task run; of a hook its name.")]
    node: int
    attempt: int
    stream: Annotated[str, Meta(description="stdout, stderr or note")]
    at: Instant
    text: str


class LogPage(Struct):
    """Pieces of a log, in order. `next` is the `after` that follows, `previous` the `before`; null where there is no more."""

    logs: list[LogBody]
    next: int | None
    previous: int | None


class EventsPage(Struct):
    """Log entries of a run: the records of each (docs/reference/events.md). `next` is the `after` that follows."""

    entries: list[list[dict[str, Any]]]
    next: int | None


class ChangeBody(Struct, rename="camel"):
    """A run has changed: its row as it is now, null once it was deleted."""

    cursor: Annotated[int, Meta(description="The position in the feed; give it as `after` to read on.")]
    run_id: RunId
    namespace: str
    run: RunBody | None


class ChangePage(Struct):
    """Changes, the oldest first, each run once. `cursor` is the `after` that follows."""

    changes: list[ChangeBody]
    cursor: int


def log_json(line: LogLine) -> dict[str, Json]:
    """Write a piece of a log."""
    return {
        "seq": line.seq,
        "runId": line.run_id,
        "path": line.path,
        "node": line.node,
        "attempt": line.attempt,
        "stream": line.stream,
        "at": rfc3339(line.at),
        "text": line.text,
    }


def read_log(body: LogBody) -> LogLine:
    """Give the piece that a body was made of."""
    return LogLine(
        run_id=body.run_id,
        node=body.node,
        path=body.path,
        attempt=body.attempt,
        stream=body.stream,
        text=body.text,
        at=read_instant(body.at),
        seq=body.seq,
    )


def change_json(change: Change) -> dict[str, Json]:
    """Write a change."""
    run = None if change.row is None else row_json(change.row)
    return {"cursor": change.cursor, "runId": change.run_id, "namespace": change.namespace, "run": run}


def read_change(body: ChangeBody) -> Change:
    """Give the change that a body was made of."""
    return Change(body.cursor, body.run_id, None if body.run is None else read_row(body.run), body.namespace)


def log_page(lines: Sequence[LogLine], following: int | None, previous: int | None) -> dict[str, Json]:
    """Write a page of logs."""
    return {"logs": [log_json(line) for line in lines], "next": following, "previous": previous}
