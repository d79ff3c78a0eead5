"""Backoff, instants and durations, as arithmetic on integer microseconds.

Law: no clock and no randomness: jitter is a pure function of the run's seed, the node and the number of the wait.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # lists of runs show instants, and need no plan
    from aether_protocol.plan.model import Retry

SECOND: Final = 1_000_000
_UNITS: Final = (("d", 86_400 * SECOND), ("h", 3_600 * SECOND), ("m", 60 * SECOND), ("s", SECOND), ("ms", 1_000))
_MASK: Final = (1 << 64) - 1


def backoff_us(retry: Retry, number: int, fraction: float) -> int:
    """Wait number `number` (from 1), SCHED-9: min(duration x factor^(number-1), max) x (1 - jitter x fraction)."""
    try:
        wait = retry.duration_us * retry.factor ** (number - 1)
    except OverflowError:
        wait = retry.max_us
    return round(min(wait, retry.max_us) * (1 - retry.jitter * fraction))


def fraction(seed: int, node: int, number: int) -> float:
    """A number in [0, 1) that follows from its arguments alone (the finaliser of splitmix64)."""
    z = (seed + 0x9E3779B97F4A7C15 * (node * 1_000_003 + number + 1)) & _MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK
    return ((z ^ (z >> 31)) >> 11) / (1 << 53)


def rfc3339(instant_us: int) -> str:
    """`2026-01-01T00:00:00Z`, with a fraction where there is one."""
    seconds, rest = divmod(instant_us, SECOND)
    text = _to_the_second(seconds)
    return f"{text}.{rest:06d}Z" if rest else f"{text}Z"


@lru_cache(maxsize=1024)  # of a long run's instants many lie in one second
def _to_the_second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def duration_text(duration_us: int) -> str:
    """`1h30m`, `500ms`: the shortest spelling of DOC-8, down to milliseconds."""
    parts = []
    for unit, size in _UNITS:
        count, duration_us = divmod(duration_us, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"
