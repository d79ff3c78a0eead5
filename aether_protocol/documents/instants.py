"""Which time zones there are (SPEC-7).

Law: the machine's own zones decide; a machine without any refuses none.
"""

from __future__ import annotations


def zone_exists(name: str) -> bool:
    """Whether `name` is a time zone of the IANA database, as far as this machine can tell."""
    if name == "UTC":
        return True
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # only schedules in other zones pay for it

    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return not _any_zone()
    return True


def _any_zone() -> bool:
    from zoneinfo import available_timezones

    return bool(available_timezones())
