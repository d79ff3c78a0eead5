"""Schedules and their fires, as JSON: what is sent to change them, and what is answered."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct, convert, field, to_builtins

from aether_protocol.cron.settings import CronSettings, encode_settings
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.expressions.values import Json
from aether_protocol.ports.store.schedules import FireRecord, StoredSchedule
from aether_protocol.scheduler.timing import rfc3339
from aether_protocol.service.documents.changes import Action, LeftOutDocument
from aether_protocol.service.documents.parameters import WorkflowParameters
from aether_protocol.service.schedules.backfill import BackfillFire
from aether_protocol.service.schedules.check import AppliedSchedule, AppliedSchedules
from aether_protocol.service.schedules.find import ScheduleOverview
from aether_protocol.service.schedules.suspend import SuspendedSchedule
from aether_protocol.service.wire.documents import LeftOutDocumentBody
from aether_protocol.service.wire.problems import DiagnosticBody
from aether_protocol.service.wire.requests import LibraryBody, TextBody
from aether_protocol.service.wire.runs import RunBody, read_row
from aether_protocol.service.wire.values import Instant, optional_instant, read_instant, read_optional
from aether_protocol.views.summary import row_json

ScheduleName = Annotated[str, Meta(description="NAME or NAMESPACE/NAME.", examples=["ops/nightly"])]


class ApplySchedulesBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Apply CronWorkflows: all of them or none. `replace`: another workflowSpec makes a new schedule of that name."""

    documents: list[TextBody]
    library: list[LibraryBody] = field(default_factory=list)
    replace: bool = False


class SuspendBody(Struct, forbid_unknown_fields=True, kw_only=True):
    """Suspend schedules, or let them continue with the next fire from now: all of them or none."""

    names: list[ScheduleName]
    suspend: bool = True


class BackfillBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Record runs of fires that have not run. `again`: also of those whose run was deleted; `dryRun`: record none."""

    first: Instant = field(name="from")
    last: Instant = field(name="until")
    again: bool = False
    dry_run: bool = False


class SettingsBody(Struct, rename="camel"):
    """When a schedule fires and what is kept of it, with the names of documents."""

    schedule: str
    timezone: str
    start_at: Instant | None
    end_at: Instant | None
    concurrency_policy: str
    starting_deadline_seconds: int | None
    successful_jobs_history_limit: int
    failed_jobs_history_limit: int
    suspend: bool


class ScheduleBody(SettingsBody, rename="camel", kw_only=True):
    """A schedule with its runs that are kept. `version` grows with every change, `generation` counts those of this name."""

    name: str
    namespace: str
    generation: int
    version: int
    spec: Annotated[str, Meta(description="The sha256 of its workflowSpec, in hex.")]
    document: Annotated[str, Meta(description="The CronWorkflow, as JSON text.")]
    applied_at: Instant
    changed_at: Instant
    seen_at: Annotated[Instant, Meta(description="Every fire up to then has been dealt with.")]
    last_fire_at: Instant | None
    next_fire_at: Instant | None
    runs: list[RunBody] = field(default_factory=list)
    takes: Annotated[
        WorkflowParameters | None, Meta(description="The parameters of its runs; null in lists.")
    ] = None


class TriggerBody(Struct, rename="camel", forbid_unknown_fields=True, kw_only=True):
    """Begin a run of a schedule. `parameterTexts`: values of parameters, as people write them."""

    parameter_texts: dict[str, str] = field(default_factory=dict)


class SchedulePage(Struct):
    """Schedules by namespace and name. `next` is the `page` that follows; null on the last one."""

    schedules: list[ScheduleBody]
    next: str | None = None


class AppliedScheduleBody(Struct):
    """What was done to a schedule, and how it stands; `resumed`: it was suspended, and the document lets it continue."""

    action: Action
    schedule: ScheduleBody
    resumed: bool


class AppliedSchedulesBody(Struct, rename="camel"):
    """What became of each CronWorkflow."""

    applied: list[AppliedScheduleBody]
    left_out: list[LeftOutDocumentBody]
    warnings: list[DiagnosticBody]


class SuspendedScheduleBody(Struct):
    """A schedule as it stands, and whether that was a change."""

    schedule: ScheduleBody
    changed: bool


class SuspendedPage(Struct):
    """What became of each schedule."""

    schedules: list[SuspendedScheduleBody]


class FireBody(Struct, rename="camel"):
    """What became of a fire, or of `count` that were missed one after the other, from `first` on."""

    id: int
    at: Instant
    kind: Annotated[str, Meta(description="started, skipped, missed, triggered or backfilled")]
    run_id: str | None
    reason: str
    count: int
    first: Instant | None
    noted_at: Instant
    generation: int


class FirePage(Struct):
    """Fires, newest first. `next` is the `before` that follows; null at the end."""

    fires: list[FireBody]
    next: int | None = None


class NextBody(Struct):
    """Fires that are ahead."""

    fires: list[Instant]


class BackfillFireBody(Struct, rename="camel"):
    """A fire, the id of its run, and why it is not run, if so."""

    at: Instant
    run_id: str
    why: str | None


class BackfillPage(Struct):
    """All fires of the time that was asked for, oldest first."""

    fires: list[BackfillFireBody]


class TriggeredBody(Struct, rename="camel"):
    """The run that was begun."""

    run_id: str


class ScheduleRemovedBody(Struct):
    """Whether it was there until now."""

    removed: bool


# --- writing ---


def schedule_json(schedule: StoredSchedule, runs: list[Json] | None = None) -> dict[str, Json]:
    """Write a schedule; where its document lies is the server's own."""
    settings = encode_settings(schedule.settings)
    settings.pop("folder", None)
    settings |= {"startAt": optional_instant(schedule.settings.start_at), "endAt": optional_instant(schedule.settings.end_at)}
    return {
        "name": schedule.name,
        "namespace": schedule.namespace,
        **settings,
        "generation": schedule.generation,
        "version": schedule.version,
        "spec": schedule.spec,
        "document": schedule.document,
        "appliedAt": rfc3339(schedule.applied_at),
        "changedAt": rfc3339(schedule.changed_at),
        "seenAt": rfc3339(schedule.seen),
        "lastFireAt": optional_instant(schedule.last_at),
        "nextFireAt": optional_instant(schedule.next_at),
        "runs": runs or [],
    }


def overview_json(overview: ScheduleOverview) -> dict[str, Json]:
    """Write a schedule with its runs."""
    told = schedule_json(overview.schedule, [row_json(row) for row in overview.runs])
    return {**told, "takes": to_builtins(overview.takes)}


def applied_schedules_json(done: AppliedSchedules) -> dict[str, Json]:
    """Write what became of CronWorkflows."""
    applied: list[Json] = [
        {"action": one.what, "schedule": overview_json(one.overview), "resumed": one.resumed} for one in done.applied
    ]
    others: list[Json] = [{"kind": one.kind, "name": one.name, "file": one.file, "line": one.line} for one in done.others]
    return {"applied": applied, "leftOut": others, "warnings": [dict(one.to_json()) for one in done.warnings]}


def fire_json(record: FireRecord) -> dict[str, Json]:
    """Write what became of a fire."""
    return {
        "id": record.id,
        "at": rfc3339(record.at),
        "kind": record.kind,
        "runId": record.run_id,
        "reason": record.reason,
        "count": record.count,
        "first": optional_instant(record.first),
        "notedAt": rfc3339(record.noted_at),
        "generation": record.generation,
    }


def backfill_json(fire: BackfillFire) -> dict[str, Json]:
    """Write a fire of a backfill."""
    return {"at": rfc3339(fire.at), "runId": fire.run_id, "why": fire.why}


# --- reading ---


def read_schedule(body: ScheduleBody) -> StoredSchedule:
    """Give the schedule that a body was made of, but for the folder of its document."""
    settings = CronSettings(
        schedule=body.schedule,
        timezone=body.timezone,
        start_at=read_optional(body.start_at),
        end_at=read_optional(body.end_at),
        policy=body.concurrency_policy,
        deadline_s=body.starting_deadline_seconds,
        keep_succeeded=body.successful_jobs_history_limit,
        keep_failed=body.failed_jobs_history_limit,
        suspend=body.suspend,
    )
    return StoredSchedule(
        namespace=body.namespace,
        name=body.name,
        settings=settings,
        spec=body.spec,
        document=body.document,
        applied_at=read_instant(body.applied_at),
        changed_at=read_instant(body.changed_at),
        seen=read_instant(body.seen_at),
        next_at=read_optional(body.next_fire_at),
        last_at=read_optional(body.last_fire_at),
        generation=body.generation,
        version=body.version,
    )


def read_overview(body: ScheduleBody) -> ScheduleOverview:
    """Give the schedule with its runs."""
    return ScheduleOverview(read_schedule(body), [read_row(row) for row in body.runs], body.takes)


def read_applied_schedules(body: AppliedSchedulesBody) -> AppliedSchedules:
    """Give what became of CronWorkflows."""
    return AppliedSchedules(
        [AppliedSchedule(one.action, read_overview(one.schedule), one.resumed) for one in body.applied],
        [LeftOutDocument(one.kind, one.name, one.file, one.line) for one in body.left_out],
        [convert(to_builtins(one), Diagnostic) for one in body.warnings],
    )


def read_suspended(body: SuspendedScheduleBody) -> SuspendedSchedule:
    """Give a schedule that was suspended or resumed."""
    return SuspendedSchedule(read_schedule(body.schedule), body.changed)


def read_fire(body: FireBody) -> FireRecord:
    """Give what became of a fire."""
    named: dict[str, Any] = {name: getattr(body, name) for name in ("kind", "run_id", "reason", "count", "generation", "id")}
    return FireRecord(
        at=read_instant(body.at), noted_at=read_instant(body.noted_at), first=read_optional(body.first), **named
    )


def read_backfill(body: BackfillFireBody) -> BackfillFire:
    """Give a fire of a backfill."""
    return BackfillFire(read_instant(body.at), body.run_id, body.why)
