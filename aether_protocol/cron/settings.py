"""The fields of a CronWorkflow that say when it runs (SPEC-7).

Law: data only.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class CronSettings:
    schedule: str
    timezone: str = "UTC"
    start_at: int | None = None
    end_at: int | None = None
    policy: str = "Allow"
    deadline_s: int | None = None
    keep_succeeded: int = 3
    keep_failed: int = 1
    suspend: bool = False


def encode_settings(settings: CronSettings) -> dict[str, Any]:
    return asdict(settings)


def decode_settings(value: Any) -> CronSettings:
    return CronSettings(**value)
