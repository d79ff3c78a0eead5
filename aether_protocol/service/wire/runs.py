"""Rows of runs as JSON, lists of them, and what is asked of lists."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct
from msgspec.structs import replace

from aether_protocol.diagnostics.suggest import did_you_mean
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import RunQuery, RunSummary
from aether_protocol.ports.store.runs import NEVER
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.wire.values import Instant, read_instant, read_optional
from aether_protocol.views.phases import PHASE_COLORS

RunId = Annotated[str, Meta(description="The id of a run.", examples=["nightly-2026-01-31"])]
Phase = Annotated[str, Meta(description="Running, Suspended, Succeeded, Failed, Error, Timeout, Cancelled, ...")]
Progress = Annotated[
    str, Meta(description="Tasks that have ended, of those known so far.", pattern="^[0-9]+/[0-9]+$", examples=["3/7"])
]

MOST_LISTED: Final = 1_000  # rows to a page


class WorkflowBody(Struct):
    """Which workflow it is a run of."""

    name: str
    namespace: str
    version: str | None


class RunBody(Struct, rename="camel"):
    """A run as lists show it. `closed`: it has ended, and its hooks too. `broken` says why it was set aside."""

    run_id: RunId
    workflow: WorkflowBody
    labels: dict[str, str]
    phase: Phase
    message: str
    progress: Progress
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    duration_seconds: float | None
    closed: bool
    steps: Annotated[int, Meta(description="The number of its last log entry.")]
    digest: Annotated[str, Meta(description="That of the workflow: GET /v1/plans/{digest}.")]
    retry_of: str | None
    tier: Annotated[str, Meta(description="How it is recorded: memory, snapshot or state-action-log.")]
    broken: str | None
    document_version: Annotated[
        int | None, Meta(description="The version of the stored workflow that it was started from by name.")
    ] = None
    asleep: Annotated[bool, Meta(description="It only waits, and no engine has it in memory (passivated).")] = False
    wake_at: Annotated[Instant | None, Meta(description="When it is woken; null where only a request wakes it.")] = None
    trace_id: Annotated[str | None, Meta(description="Of the trace that the run is in (W3C), where it is in one.")] = None
    driven: Annotated[
        bool | None, Meta(description="Of an open run in a list, where that was asked for: whether a process drives it.")
    ] = None


class RunPage(Struct):
    """Runs, newest first. `next` is the `page` that follows; null on the last one."""

    runs: list[RunBody]
    next: str | None


class DeletedBody(Struct):
    """How many runs were deleted."""

    deleted: int


class RunIds(Struct):
    """Ids of runs."""

    runs: list[str]


class MendedBody(Struct):
    """Whether the run was set aside; it is tried once more."""

    mended: bool


def read_row(body: RunBody) -> RunSummary:
    """Give the row that a body was made of (`views.summary.row_json`)."""
    ended, _, known = body.progress.partition("/")
    return RunSummary(
        run_id=body.run_id,
        workflow=body.workflow.name,
        namespace=body.workflow.namespace,
        version=body.workflow.version,
        labels=body.labels,
        phase=body.phase,
        message=body.message,
        created_at=read_instant(body.created_at),
        started_at=read_optional(body.started_at),
        ended_at=read_optional(body.finished_at),
        closed=body.closed,
        seq=body.steps,
        leaves_ended=int(ended),
        leaves_known=int(known),
        digest=body.digest,
        retry_of=body.retry_of,
        tier=body.tier,
        broken=body.broken,
        document_version=body.document_version,
        trace_id=body.trace_id,
        driven=body.driven,
        wake_at=(NEVER if body.wake_at is None else read_instant(body.wake_at)) if body.asleep else None,
    )


# --- what is asked of lists ---


class RunFilter(Struct, rename="camel", kw_only=True):
    """Which runs are meant: all, where nothing is said; the filters all hold."""

    phases: Sequence[str] = ()
    name: str | None = None
    namespace: str | None = None
    labels: Mapping[str, str] = {}
    since: Instant | None = None
    until: Instant | None = None
    ended_before: Instant | None = None
    closed: bool | None = None
    prefix: str = ""
    text: str = ""
    retries: bool = False
    asleep: bool = False
    digest: str | None = None

    def query(self, limit: int | None = None, page: str | None = None) -> RunQuery:
        """Give the query. Raises UsageError for a phase, an instant or a page that is none."""
        for phase in self.phases:
            if phase not in PHASE_COLORS:
                near = did_you_mean(phase, PHASE_COLORS)
                raise UsageError(f"{phase!r} is not a phase", hint=near or f"there are {', '.join(PHASE_COLORS)}")
        return RunQuery(
            phases=self.phases,
            name=self.name,
            namespace=self.namespace,
            labels=self.labels,
            since=_instant("since", self.since),
            until=_instant("until", self.until),
            ended_before=_instant("endedBefore", self.ended_before),
            closed=self.closed,
            limit=limit,
            before=read_cursor(page),
            prefix=self.prefix,
            text=self.text,
            retries=self.retries,
            asleep=self.asleep,
            digest=self.digest,
        )


def filter_of(query: RunQuery) -> RunFilter:
    """Give the filter of a query: all but its page. Raises UsageError for what a server is not asked for."""
    if query.namespaces is not None:
        raise UsageError("a server is asked for the runs of one namespace, or of all that the caller may see", hint="namespace")
    if query.newest_of_each is not None:
        raise UsageError("the newest runs of each workflow are listed, not pruned", hint="leave newest_of_each out")
    return RunFilter(
        phases=query.phases,
        name=query.name,
        namespace=query.namespace,
        labels=query.labels,
        since=None if query.since is None else rfc3339(query.since),
        until=None if query.until is None else rfc3339(query.until),
        ended_before=None if query.ended_before is None else rfc3339(query.ended_before),
        closed=query.closed,
        prefix=query.prefix,
        text=query.text,
        retries=query.retries,
        asleep=query.asleep,
        digest=query.digest,
    )


def query_parameters(query: RunQuery) -> list[tuple[str, str]]:
    """Write a filter as parameters of a URL."""
    given = filter_of(replace(query, newest_of_each=None))
    told: list[tuple[str, Any]] = [("phase", phase) for phase in given.phases]
    told += [("label", f"{key}={value}") for key, value in given.labels.items()]
    told += [("name", given.name), ("namespace", given.namespace), ("since", given.since), ("until", given.until)]
    told += [("endedBefore", given.ended_before), ("prefix", given.prefix or None), ("digest", given.digest)]
    told += [("text", given.text or None)]
    told += [("newestOfEach", None if query.newest_of_each is None else str(query.newest_of_each))]
    flags = {"closed": given.closed, "retries": given.retries or None, "asleep": given.asleep or None}
    told += [(name, str(flag).lower()) for name, flag in flags.items() if flag is not None]
    return [(name, value) for name, value in told if value is not None]


def read_labels(texts: Iterable[str]) -> dict[str, str]:
    """Read labels, KEY=VALUE each. Raises UsageError."""
    labels: dict[str, str] = {}
    for text in texts:
        key, sign, value = text.partition("=")
        if not key or not sign:
            raise UsageError(f"label {text!r} is not KEY=VALUE", hint="for example label=team=data")
        labels[key] = value
    return labels


def cursor(row: RunSummary) -> str:
    """Name the page after a row."""
    return f"{row.created_at}:{row.run_id}"


def read_cursor(text: str | None) -> tuple[int, str] | None:
    """Read what `cursor` wrote. Raises UsageError."""
    if text is None:
        return None
    at, _, run_id = text.partition(":")
    if not (at.isascii() and at.isdigit() and len(at) < 19 and run_id):
        raise UsageError(f"{text!r} is not a page", hint="give `next` of the page before")
    return int(at), run_id


def _instant(name: str, text: str | None) -> int | None:
    try:
        return read_optional(text)
    except ValueError as error:
        raise UsageError(f"{name} is not an instant: {error}", hint="RFC 3339, for example 2026-01-31T12:00:00Z") from None
