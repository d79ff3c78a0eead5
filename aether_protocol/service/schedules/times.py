"""The fires of a schedule within its startAt and endAt, and the zone that they are shown in.

Law: pure but for the time zone data of the machine.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, tzinfo
from typing import Final

from aether_protocol.cron.schedule import BadScheduleError, fire_times
from aether_protocol.cron.settings import CronSettings
from aether_protocol.cron.zones import find_zone

EVER: Final = 1 << 61  # later than any fire


def fires_of(settings: CronSettings, after: int, upto: int = EVER) -> Iterator[int]:
    """Give the fires after `after`, up to and with `upto`, within startAt and endAt, as if it were not suspended (CRON-2).

    Raises:
        BadScheduleError: this machine does not know the zone.
    """
    if settings.start_at is not None:
        after = max(after, settings.start_at - 1)
    if settings.end_at is not None:
        upto = min(upto, settings.end_at)
    return fire_times(settings.schedule, settings.timezone).between(after, upto)


def zone_of(settings: CronSettings) -> tzinfo:
    """Give its zone; UTC where this machine does not know it (`fires_of` raises then)."""
    try:
        return find_zone(settings.timezone)
    except BadScheduleError:
        return UTC
