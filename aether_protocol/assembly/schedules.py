"""Schedules as documents have them: checked, and as settings.

Law: whatever can be said of a schedule without a clock is said here, with its position (CRON-1, DOC-7). That an endAt has
passed is no fault of a document.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from aether_protocol.compiler.findings import Finding, Findings, Origin
from aether_protocol.cron.fields import BadScheduleError, NeverFiresError, read_schedule
from aether_protocol.cron.schedule import fire_times
from aether_protocol.cron.settings import CronSettings
from aether_protocol.cron.zones import find_zone
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import CronWorkflow, CronWorkflowSpec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_SCHEDULE: Final = ("spec", "schedule")
_WINDOW: Final = (("spec", "startAt"), ("spec", "endAt"), ("spec", "timezone"))


def cron_settings(model: CronWorkflow) -> CronSettings:
    """The settings of a valid document. Instants are read to the microsecond; finer digits are dropped."""
    spec = model.spec
    return CronSettings(
        schedule=spec.schedule,
        timezone=spec.timezone,
        start_at=_instant_us(spec.start_at),
        end_at=_instant_us(spec.end_at),
        policy=spec.concurrency_policy,
        deadline_s=spec.starting_deadline_seconds,
        keep_succeeded=spec.successful_jobs_history_limit,
        keep_failed=spec.failed_jobs_history_limit,
        suspend=spec.suspend,
    )


def check_document(loaded: LoadedDocument) -> list[Diagnostic]:
    """What is wrong with the schedule of a document, if it has one. Follow-ups of faults that the reader told stay untold."""
    if not isinstance(loaded.model, CronWorkflow):
        return []
    spec = loaded.model.spec
    origin = Origin(loaded, ("spec",))
    findings = Findings()
    try:
        read_schedule(spec.schedule)
    except BadScheduleError as error:
        code = "AE502" if isinstance(error, NeverFiresError) else "AE501"
        findings.add(origin, _SCHEDULE, Finding(code, error.message, error.hint), error.offset)
    else:
        if not any(origin.suppressed(path) for path in (_SCHEDULE, *_WINDOW)):
            _check_window(spec, origin, findings)
    return list(findings.all())


def _check_window(spec: CronWorkflowSpec, origin: Origin, findings: Findings) -> None:
    """Whether anything fires from startAt on, up to and with endAt."""
    try:
        start, end = _instant_us(spec.start_at), _instant_us(spec.end_at)
        fires = fire_times(spec.schedule, spec.timezone)
    except (ValueError, BadScheduleError):
        return  # told by the reader: an instant or a zone that does not exist
    if start is None or (end is not None and end <= start):
        return
    first = fires.after(start - 1)
    if first is not None and (end is None or first <= end):
        return
    upto = "" if end is None else f" to endAt {spec.end_at!r}"
    message = f"{spec.schedule!r} does not fire from startAt {spec.start_at!r}{upto}"
    hint = None
    if first is not None:
        moment = (_EPOCH + timedelta(microseconds=first)).astimezone(find_zone(spec.timezone))
        hint = f"after startAt it fires at {moment.isoformat()}"
    findings.add(origin, ("spec", "startAt" if end is None else "endAt"), Finding("AE503", message, hint))


def _instant_us(text: str | None) -> int | None:
    """Raises ValueError where no calendar has that instant."""
    return None if text is None else (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
