"""The five states of prior systems, and the phases that each stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

STATES: Final[Mapping[str, tuple[str, ...]]] = {
    "PENDING": ("Created", "Ready"),
    "RUNNING": ("Running", "Suspended"),
    "COMPLETED": ("Succeeded", "Skipped"),
    "FAILED": ("Failed", "Error", "Timeout"),
    "CANCELLED": ("Cancelled",),
}
_STATE_OF: Final = {phase: state for state, phases in STATES.items() for phase in phases}


def state_of(phase: str) -> str:
    """Give the state of a phase. Every phase has one."""
    return _STATE_OF[phase]
