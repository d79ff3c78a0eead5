"""Durations (DOC-8): text such as `1h30m`, `1.5h` or `500ms` as whole microseconds.

Law: one grammar, given once as `PATTERN`, which the published schema carries too. The digits of each unit are limited
so that any two durations and today's date still make a date before the year 10000.
"""

from __future__ import annotations

import re
from typing import Final

_UNITS: Final = (("d", 6, 86_400_000_000), ("h", 7, 3_600_000_000), ("m", 9, 60_000_000), ("s", 10, 1_000_000))
_MILLISECONDS: Final = ("ms", 13, 1_000)
_ALL: Final = (*_UNITS, _MILLISECONDS)

# Every unit at most once, from the largest to the smallest. No \d: it means other digits to other regex engines.
PATTERN: Final = "^" + "".join(f"([0-9]{{1,{digits}}}(\\.[0-9]{{1,9}})?{unit})?" for unit, digits, _ in _ALL) + "$"
ZERO_PATTERN: Final = "^[^1-9]*$"  # text of the grammar above that amounts to nothing

_GRAMMAR: Final = PATTERN[1:-1]  # compiled with the first duration: many documents have none


def parse_duration(text: str, *, zero: bool = False) -> int:
    """`text` in microseconds, rounded to the nearest, at least one. Raises ValueError with the reason (DOC-8).

    `zero`: whether an amount of nothing is fine, as in `backoff.duration: 0s`.
    """
    match = re.fullmatch(_GRAMMAR, text)
    if match is None or not text:
        raise ValueError(f"{text!r} is not a duration")
    total = 0
    groups = match.groups()
    for place, (unit, _digits, scale) in enumerate(_ALL):
        amount = groups[2 * place]
        if amount is not None:
            whole, _, fraction = amount.removesuffix(unit).partition(".")
            total += int(whole + fraction) * scale * 10 ** (9 - len(fraction))
    if total == 0:
        if zero:
            return 0
        raise ValueError(f"{text!r} is zero, and a duration is longer")
    return max(1, (total + 500_000_000) // 1_000_000_000)
