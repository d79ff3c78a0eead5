"""Instants and spans as people read them: the one place where text gets its time zone.

Law: `TZ` decides in which zone an instant is shown; where it is not set, that is the machine's own, and for the times of a
schedule the schedule's. The zone is named behind the time, so that an hour that comes twice is not a riddle. JSON is not made
here: it has UTC.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta, tzinfo
from functools import cache
from typing import Final

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@cache
def chosen_zone(name: str | None) -> tzinfo | None:
    """The zone that a value of `TZ` names; None stands for the machine's own, and for what only the system understands. A
    place that is not known is UTC, as for the C library, and is called so."""
    if not name:
        return None
    from aether_protocol.cron.zones import find_zone
    from aether_protocol.errors import AetherError

    place = name.removeprefix(":")
    try:
        return find_zone(place)
    except (AetherError, ValueError):
        return UTC if "/" in place and not os.path.isabs(place) else None


def here(at: int, *, timespec: str = "seconds") -> str:
    """`2026-03-29 03:00:12 CEST`, in the zone that the reader chose with `TZ`, or that of the machine."""
    return _text(at, chosen_zone(os.environ.get("TZ")), timespec)


def clock(at: int) -> str:
    """`03:00:12`, the time of day in the zone of `here`."""
    return f"{_moment(at, chosen_zone(os.environ.get('TZ'))):%H:%M:%S}"


def in_zone(at: int, zone: tzinfo) -> str:
    """A time of a schedule: `2026-03-29 03:00 CEST`, in the reader's `TZ` or, without one, in the schedule's zone; seconds are
    shown where there are any."""
    whole = at % 60_000_000 == 0
    if os.environ.get("TZ"):
        return here(at, timespec="minutes" if whole else "seconds")
    return _text(at, zone, "minutes" if whole else "seconds")


def own_time(at: int, zone: tzinfo) -> str | None:
    """The time in the schedule's zone, where `in_zone` shows it in another one: `03:00 CEST`."""
    if not os.environ.get("TZ"):
        return None
    own, shown = _moment(at, zone), _moment(at, chosen_zone(os.environ.get("TZ")))
    if own.utcoffset() == shown.utcoffset():
        return None
    day = f"{own:%Y-%m-%d} " if own.date() != shown.date() else ""
    return f"{day}{own:%H:%M} {_zone_name(own)}"


def _moment(at: int, zone: tzinfo | None) -> datetime:
    return (_EPOCH + timedelta(microseconds=at)).astimezone(zone)


def _text(at: int, zone: tzinfo | None, timespec: str) -> str:
    local = _moment(at, zone)
    return f"{local.replace(tzinfo=None).isoformat(' ', timespec)} {_zone_name(local)}"


def _zone_name(local: datetime) -> str:
    """`CEST`, or `+05:45` where the zone has no letters for itself."""
    name = local.tzname() or ""
    return name if name.isalpha() else f"{local:%z}"[:3] + ":" + f"{local:%z}"[3:5]


def span(us: int) -> str:
    """`3d 4h`, `2h 5m`, `40s`: the two largest units, rounded down."""
    seconds = us // 1_000_000
    parts: list[str] = []
    for unit, size in _UNITS:
        count, seconds = divmod(seconds, size)
        if count or parts:
            parts.append(f"{count}{unit}")
        if len(parts) == 2:
            break
    return " ".join(part for part in parts if part[0] != "0") or "0s"


def away(at: int, now: int) -> str:
    """How far from now that is: `in 3d 4h`, `2h 5m ago`, `now`."""
    if abs(at - now) < 1_000_000:
        return "now"
    return f"in {span(at - now)}" if at > now else f"{span(now - at)} ago"
