"""Sizes in bytes: `512Mi`, `1.5G`, `4096`, as in `resources.memory`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_PATTERN: Final = r"([0-9]{1,18}(?:\.[0-9]{1,18})?)(k|K|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?B?"
_LETTERS: Final = "KMGTP"


def parse_size(value: object) -> int:
    """Bytes, at least 1 (`ValueError` otherwise). Ki, Mi, Gi count in 1024, k, M, G in 1000."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError(f"{type(value).__name__} is not a size")
    match = re.fullmatch(_PATTERN, str(value), flags=re.ASCII)
    if match is None:
        raise ValueError(f"{value!r} is not a size such as '512Mi'")
    number, unit = match.groups()
    factor = 1
    if unit:
        factor = (1024 if unit.endswith("i") else 1000) ** (_LETTERS.index(unit[0].upper()) + 1)
    size = int(Decimal(number) * factor)
    if size < 1:
        raise ValueError(f"{value!r} is less than one byte")
    return size
