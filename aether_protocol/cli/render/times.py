"""Instants and spans as people read them.

Law: an instant is shown in the zone that it belongs to, with the offset, so that it can mean one thing only.
"""

from __future__ import annotations

from datetime import tzinfo
from typing import Final

from aether_protocol.service.schedules.dst_notes import moment

_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def in_zone(at: int, zone: tzinfo) -> str:
    """`2026-03-29 03:00+02:00`; seconds are shown where there are any."""
    local = moment(at, zone)
    whole = not local.second and not local.microsecond
    return local.isoformat(" ", "minutes" if whole else "seconds")


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
