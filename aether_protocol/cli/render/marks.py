"""The mark of a phase, in characters that standard output can hold."""

from __future__ import annotations

from aether_protocol.cli.terminal.streams import shows
from aether_protocol.views.phases import ASCII_MARKS, PHASE_MARKS


def mark(phase: str, unknown: str = "?") -> str:
    """`✓`, or `+` where the encoding has no such character."""
    found = PHASE_MARKS.get(phase, unknown)
    return found if shows(found, err=False) else ASCII_MARKS.get(phase, unknown)
