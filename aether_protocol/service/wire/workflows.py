"""Workflows that are known, as JSON: their newest runs, and what begins one."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from aether_protocol.expressions.values import Json
from aether_protocol.service.runs.workflows import KnownWorkflow
from aether_protocol.service.wire.runs import Phase, RunId
from aether_protocol.service.wire.values import Instant, optional_instant
from aether_protocol.views.summary import row_json

_OF_RUN = ("runId", "phase", "message", "createdAt", "finishedAt", "durationSeconds", "closed", "steps", "broken")


class NewestRunBody(Struct, rename="camel"):
    """One of the newest runs of a workflow; GET /v1/runs/{run} says more."""

    run_id: RunId
    phase: Phase
    message: str
    created_at: Instant
    finished_at: Instant | None
    duration_seconds: float | None
    closed: bool
    steps: Annotated[int, Meta(description="The number of its last log entry.")]
    broken: str | None


class WorkflowScheduleBody(Struct, rename="camel"):
    """When a schedule begins runs of a workflow."""

    schedule: str
    timezone: str
    suspend: bool
    next_fire_at: Annotated[Instant | None, Meta(description="Null where there is none, and of a suspended one.")]


class KnownWorkflowBody(Struct, rename="camel"):
    """A workflow with its newest runs, newest first. The figures are of these: `succeeded` of the `judged` that ended well or
    badly (a cancelled one did neither), and the median of what those took that Succeeded."""

    name: str
    namespace: str
    document_version: Annotated[int | None, Meta(description="The newest version of the stored Workflow of that name.")]
    schedule: Annotated[WorkflowScheduleBody | None, Meta(description="The CronWorkflow of that name.")]
    runs: list[NewestRunBody]
    succeeded: int
    judged: int
    success_rate: Annotated[float | None, Meta(description="`succeeded` of `judged`, 0 to 1; null of none.")]
    median_seconds: float | None


class WorkflowPage(Struct):
    """Workflows by namespace and name. `next` is the `page` that follows; null on the last one."""

    workflows: list[KnownWorkflowBody]
    next: str | None = None


def workflow_json(known: KnownWorkflow) -> dict[str, Json]:
    """Write a workflow."""
    schedule: dict[str, Json] | None = None
    if known.schedule is not None:
        settings = known.schedule.settings
        schedule = {
            "schedule": settings.schedule,
            "timezone": settings.timezone,
            "suspend": settings.suspend,
            "nextFireAt": optional_instant(known.next_at),
        }
    rows = [row_json(row) for row in known.runs]
    return {
        "name": known.name,
        "namespace": known.namespace,
        "documentVersion": known.version,
        "schedule": schedule,
        "runs": [{name: row[name] for name in _OF_RUN} for row in rows],
        "succeeded": known.succeeded,
        "judged": known.judged,
        "successRate": known.succeeded / known.judged if known.judged else None,
        "medianSeconds": known.median_s,
    }
