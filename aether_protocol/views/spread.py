"""How durations are spread: counted in classes, so that any number of them costs the same.

Law: pure. A class is 2 % wide, so that a median or a percentile is right within that.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from aether_protocol.expressions.values import Json

_WIDTH: Final = math.log(1.02)


class DurationSpread(Struct):
    """How durations are spread."""

    count: int = 0
    total_s: float = 0.0
    longest_s: float = 0.0
    classes: dict[int, int] = field(default_factory=dict)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.count += 1
        self.total_s += seconds
        self.longest_s = max(self.longest_s, seconds)
        number = round(math.log(max(seconds, 1e-6)) / _WIDTH)
        self.classes[number] = self.classes.get(number, 0) + 1

    def quantile(self, part: float) -> float | None:
        """The duration that `part` of them do not pass; None of none."""
        left = part * self.count
        for number in sorted(self.classes):
            left -= self.classes[number]
            if left <= 0:
                return min(math.exp(number * _WIDTH), self.longest_s)
        return None

    def to_json(self) -> dict[str, Json]:
        """Seconds, rounded to what they are right within."""
        return {
            "median": rounded(self.quantile(0.5)),
            "p95": rounded(self.quantile(0.95)),
            "mean": rounded(self.total_s / self.count if self.count else None),
            "longest": rounded(self.longest_s if self.count else None),
        }


def joined(spreads: Iterable[DurationSpread]) -> DurationSpread:
    """The durations of several spreads as one."""
    whole = DurationSpread()
    for one in spreads:
        whole.count += one.count
        whole.total_s += one.total_s
        whole.longest_s = max(whole.longest_s, one.longest_s)
        for number, count in one.classes.items():
            whole.classes[number] = whole.classes.get(number, 0) + count
    return whole


def rounded(value: float | None) -> float | None:
    """A number as it is shown: three digits, since more would not be right."""
    return None if value is None else float(f"{value:.3g}")
