"""The schedule of a CronWorkflow: whether it can be read, ever fires, and fires runs that can start (CRON-1, CRON-2, DATA-14).

Law: what can be known of a schedule without a clock is reported here, with its position (DOC-7). That an endAt has passed is
not a fault of the document; `aether cron apply`, which has a clock, reports it.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

from aether_protocol.compiler.checks.values import has_source
from aether_protocol.compiler.effective_spec import EffectiveSpec
from aether_protocol.compiler.findings import Finding, Findings, Origin, Path
from aether_protocol.compiler.schedule_settings import instant_us
from aether_protocol.cron.fields import BadScheduleError, NeverFiresError, read_schedule
from aether_protocol.cron.schedule import fire_times
from aether_protocol.cron.zones import find_zone
from aether_protocol.diagnostics import Diagnostic
from aether_protocol.documents.load import LoadedDocument
from aether_protocol.documents.models import CronWorkflow, CronWorkflowSpec

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SPEC: Final[Path] = ("spec",)
_FIELDS: Final[Mapping[str, Path]] = {name: ("spec", name) for name in ("schedule", "startAt", "endAt", "timezone")}


def check_document(loaded: LoadedDocument) -> list[Diagnostic]:
    """Check the schedule of a document alone; of another kind of document there is nothing to report."""
    findings = Findings()
    check_schedule(loaded, findings)
    return list(findings.all())


def check_schedule(loaded: LoadedDocument, findings: Findings) -> None:
    """Report what is wrong with the schedule of a document, unless it follows from what the reader has reported."""
    if not isinstance(loaded.model, CronWorkflow):
        return
    spec, origin = loaded.model.spec, Origin(loaded, _SPEC)
    try:
        read_schedule(spec.schedule)
    except BadScheduleError as error:
        code = "AE502" if isinstance(error, NeverFiresError) else "AE501"
        findings.add(origin, _FIELDS["schedule"], Finding(code, error.message, error.hint), error.offset)
        return
    if not any(map(origin.suppressed, _FIELDS.values())):
        _check_window(spec, origin, findings)


def _check_window(spec: CronWorkflowSpec, origin: Origin, findings: Findings) -> None:
    """Whether anything fires from startAt on, up to and with endAt."""
    try:
        start, end = instant_us(spec.start_at), instant_us(spec.end_at)
        fires = fire_times(spec.schedule, spec.timezone)
    except (ValueError, BadScheduleError):
        return  # reported by the reader: an instant or a zone that does not exist
    if start is None or (end is not None and end <= start):
        return
    first = fires.after(start - 1)
    if first is not None and (end is None or first <= end):
        return
    upto = "" if end is None else f" to endAt {spec.end_at!r}"
    message = f"{spec.schedule!r} does not fire from startAt {spec.start_at!r}{upto}"
    hint = "give an earlier startAt"
    if first is not None:
        moment = (_EPOCH + timedelta(microseconds=first)).astimezone(find_zone(spec.timezone))
        hint = f"after startAt it fires at {moment.isoformat()}"
    findings.add(origin, _FIELDS["startAt" if end is None else "endAt"], Finding("AE503", message, hint))


def check_arguments(spec: EffectiveSpec, findings: Findings) -> None:
    """Report parameters of the workflow without a value: a fire gives no arguments, so that it could not start a run."""
    for name, entry in spec.parameters.items():
        if has_source(entry):
            continue
        at = spec.parameters_at[name]
        path = at.path if at.origin is spec.own else spec.own.base
        hint = "a fire gives no arguments: declare a default, or a value"
        findings.add(spec.own, path, Finding("AE512", f"parameter {name!r} has no value", hint))
