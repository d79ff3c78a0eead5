"""The exit codes of every command.

Law: a number has one meaning, whatever the command; what ends in a phase maps through `PHASE_EXITS`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from aether_protocol.views.phases import FINE_PHASES as FINE_PHASES

FINE: Final = 0
FAILED: Final = 1  # the run Failed, a test failed, or two runs differ
USAGE: Final = 2
INVALID: Final = 3  # the document
ERROR: Final = 4
TIMEOUT: Final = 5
CANCELLED: Final = 6
SUSPENDED: Final = 7
BUSY: Final = 8
OUTSIDE: Final = 9
OWN_FAULT: Final = 70
INTERRUPTED: Final = 130

PHASE_EXITS: Final = {
    "Succeeded": FINE,
    "Skipped": FINE,
    "Failed": FAILED,
    "Error": ERROR,
    "Timeout": TIMEOUT,
    "Cancelled": CANCELLED,
    "Suspended": SUSPENDED,
}

_WORST_FIRST: Final = (
    OWN_FAULT, INTERRUPTED, OUTSIDE, BUSY, INVALID, USAGE, ERROR, FAILED, TIMEOUT, CANCELLED, SUSPENDED, FINE
)


def worst(codes: Iterable[int]) -> int:
    """Of several runs that one command drives: the code that says most, FINE where there is none."""
    return min(codes, key=_WORST_FIRST.index, default=FINE)
