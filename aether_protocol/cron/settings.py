"""What a CronWorkflow says beside its workflowSpec (SPEC-7), and as a record.

Law: plain values, valid already; they were checked where they were made from a document or an update. The record has the
field names of documents, with instants as numbers, and every field in it.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

from aether_protocol.expressions.values import Json

ALLOW: Final = "Allow"
FORBID: Final = "Forbid"
REPLACE: Final = "Replace"


class CronSettings(Struct, frozen=True):
    """The settings of a schedule. Instants are microseconds since the epoch, `deadline_s` seconds; `keep_...` are the
    history limits (CRON-5)."""

    schedule: str
    timezone: str = "UTC"
    start_at: int | None = None
    end_at: int | None = None
    policy: str = ALLOW
    deadline_s: int | None = None
    keep_succeeded: int = 3
    keep_failed: int = 1
    suspend: bool = False
    folder: str | None = None  # where the document lies; it changes no times


FOLDER: Final = "folder"  # no field of documents

_NAMES: Final = {
    "schedule": "schedule",
    "timezone": "timezone",
    "start_at": "startAt",
    "end_at": "endAt",
    "policy": "concurrencyPolicy",
    "deadline_s": "startingDeadlineSeconds",
    "keep_succeeded": "successfulJobsHistoryLimit",
    "keep_failed": "failedJobsHistoryLimit",
    "suspend": "suspend",
}


def encode_settings(settings: CronSettings) -> dict[str, Json]:
    """`settings` as a JSON object: `startAt`, `concurrencyPolicy` and so on."""
    record = {name: getattr(settings, field) for field, name in _NAMES.items()}
    return record if settings.folder is None else {**record, FOLDER: settings.folder}


def decode_settings(record: Json) -> CronSettings:
    """The inverse of `encode_settings`. Fields that the record lacks have their defaults, others in it mean nothing."""
    return CronSettings(**{field: record[name] for field, name in _NAMES.items() if name in record}, folder=record.get(FOLDER))
