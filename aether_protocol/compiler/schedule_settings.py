"""The schedule of a CronWorkflow as settings: what the document says, with its instants as numbers (SPEC-7).

Law: the document is valid, so that nothing is checked here; what can be wrong with a schedule is found by checks/schedules.py.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from aether_protocol.cron.settings import CronSettings
from aether_protocol.documents.models import CronWorkflow

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


def cron_settings(model: CronWorkflow) -> CronSettings:
    """Give the settings of a valid document.

    Instants are read to the microsecond; finer digits are dropped.
    """
    spec = model.spec
    return CronSettings(
        schedule=spec.schedule,
        timezone=spec.timezone,
        start_at=instant_us(spec.start_at),
        end_at=instant_us(spec.end_at),
        policy=spec.concurrency_policy,
        deadline_s=spec.starting_deadline_seconds,
        keep_succeeded=spec.successful_jobs_history_limit,
        keep_failed=spec.failed_jobs_history_limit,
        suspend=spec.suspend,
    )


def instant_us(text: str | None) -> int | None:
    """Give an instant in microseconds since the epoch. Raises ValueError where no calendar has it."""
    return None if text is None else (datetime.fromisoformat(text.upper()) - _EPOCH) // _MICROSECOND
