"""Runs by the hour, the day or the week in which they were made (UTC): how many of each phase, and how long they took.

Law: pure; runs are counted, none is kept.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from msgspec import Struct, field

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.timing import SECOND, rfc3339
from aether_protocol.views.spread import DurationSpread, rounded

LENGTHS: Final = {"hour": 3_600 * SECOND, "day": 86_400 * SECOND, "week": 7 * 86_400 * SECOND}
MOST: Final = 1_000  # periods
_HOURS_UP_TO: Final = 3 * 86_400 * SECOND
_DAYS_UP_TO: Final = 400 * 86_400 * SECOND
_MONDAY: Final = (datetime(1970, 1, 5, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


class PeriodStatistics(Struct):
    """The runs that were made in one period; durations are those of runs that Succeeded."""

    phases: dict[str, int] = field(default_factory=dict)
    durations: DurationSpread = field(default_factory=DurationSpread)


class Periods(Struct):
    """All periods of a time from `since` up to `until`; `name` says how long each is."""

    since: int
    until: int
    name: str
    counted: dict[int, PeriodStatistics] = field(default_factory=dict)  # by the instant at which it begins

    def add(self, made: int, phase: str, took_s: float) -> None:
        """Count a run that was made at an instant."""
        begins = self._begin(made)
        if begins not in self.counted:
            self.counted[begins] = PeriodStatistics()
        one = self.counted[begins]
        one.phases[phase] = one.phases.get(phase, 0) + 1
        if phase == "Succeeded":
            one.durations.add(took_s)

    def to_json(self) -> dict[str, Json]:
        """Give `period` and `periods`, oldest first, those without runs too; from the first run on where `since` is 0."""
        if not self.counted:
            return {"period": self.name, "periods": []}
        first = self._begin(self.since) if self.since else min(self.counted)
        last = max(self._begin(self.until - 1), max(self.counted))
        none = PeriodStatistics()
        told: list[Json] = [_told(at, self.counted.get(at, none)) for at in range(first, last + 1, LENGTHS[self.name])]
        return {"period": self.name, "periods": told}

    def _begin(self, instant: int) -> int:
        """When the period of an instant begins: weeks begin on Mondays."""
        offset = _MONDAY if self.name == "week" else 0
        return (instant - offset) // LENGTHS[self.name] * LENGTHS[self.name] + offset


def period_of(since: int, until: int) -> str:
    """How long periods are, where it is not said: hours of up to three days, days of up to 400, else weeks."""
    length = until - since
    return "hour" if length <= _HOURS_UP_TO else "day" if length <= _DAYS_UP_TO else "week"


def _told(begins: int, one: PeriodStatistics) -> dict[str, Json]:
    return {
        "from": rfc3339(begins),
        "runs": sum(one.phases.values()),
        "phases": dict(sorted(one.phases.items())),
        "medianSeconds": rounded(one.durations.quantile(0.5)),
        "p95Seconds": rounded(one.durations.quantile(0.95)),
    }
