"""What many runs came to as JSON: what `aether stats -o json` prints and `GET /v1/insights` answers (`views.statistics`)."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct, field

from aether_protocol.service.wire.runs import Phase, RunId
from aether_protocol.service.wire.values import Instant

Seconds = Annotated[float | None, Meta(description="Right within 2 %; null of none.")]
ByPhase = Annotated[dict[str, int], Meta(description="How many runs, by phase.")]


class SpreadBody(Struct):
    """How long they took, in seconds."""

    median: Seconds
    p95: Seconds
    mean: Seconds
    longest: Seconds


class SpanBody(Struct, rename="camel"):
    """One of 14 equal parts of the time."""

    begin: Annotated[Instant, Meta(description="When it begins.")] = field(name="from")
    runs: int
    failed: int
    median_seconds: Seconds


class SlowRunBody(Struct, rename="camel"):
    """One of the slowest runs."""

    run_id: RunId
    seconds: float


class WorkflowStatisticsBody(Struct, rename="camel"):
    """The runs of one workflow. `seconds` are of those that Succeeded; a cancelled one is neither good nor bad."""

    workflow: str
    namespace: str
    runs: int
    open: int
    phases: ByPhase
    failure_rate: Annotated[float | None, Meta(description="Of those that ended well or badly: 0.1 is one of ten.")]
    seconds: SpreadBody
    trend: Annotated[float | None, Meta(description="By how much the later half of the time is slower: 0.1 is 10 %.")]
    usual_seconds: Annotated[float | None, Meta(description="What 95 % of its last 50 runs that Succeeded do not pass.")]
    spans: list[SpanBody]
    slowest: list[SlowRunBody]


class TaskStatisticsBody(Struct):
    """One task of a workflow, all iterations of a loop together."""

    workflow: str
    namespace: str
    path: str
    runs: int
    failed: int
    retries: int
    seconds: SpreadBody


class LongerRunBody(Struct, rename="camel"):
    """A run that takes, or took, longer than `usualSeconds`."""

    run_id: RunId
    workflow: str
    namespace: str
    phase: Phase
    open: bool
    created_at: Instant
    seconds: float
    usual_seconds: float


class PeriodBody(Struct, rename="camel"):
    """The runs that were made in one period; `Open` counts those that have not ended."""

    begin: Annotated[Instant, Meta(description="When it begins (UTC).")] = field(name="from")
    runs: int
    phases: ByPhase
    median_seconds: Seconds
    p95_seconds: Seconds


class InsightsBody(Struct, rename="camel"):
    """What the runs that were made from `since` up to `until` came to."""

    since: Instant
    until: Instant
    workflows: Annotated[list[WorkflowStatisticsBody], Meta(description="That with the most runs first.")]
    tasks: Annotated[list[TaskStatisticsBody], Meta(description="Of the newest runs that have ended; the slowest first.")]
    longer: Annotated[list[LongerRunBody], Meta(description="Open ones first, then the newest; 50 at most.")]
    longer_count: int
    period: Annotated[str, Meta(description="hour, day or week")]
    periods: list[PeriodBody]
    counted_from: Annotated[Instant | None, Meta(description="Older runs are too many, and not counted; null: all are.")]
