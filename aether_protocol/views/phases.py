"""Phases as people see them: colours and marks, one table each.

Which phases there are and how one follows another: `scheduler.transitions`. Which fact leads to which: `phase_changes`. This
module imports nothing, since every command needs it.
"""

from __future__ import annotations

PHASE_COLORS = {
    "Created": "bright_black",
    "Ready": "cyan",
    "Running": "blue",
    "Suspended": "yellow",
    "Succeeded": "green",
    "Failed": "red",
    "Error": "red",
    "Timeout": "red",
    "Skipped": "bright_black",
    "Cancelled": "magenta",
}
BROKEN = "Broken"  # in place of the phase of a run that was set aside
FINE_PHASES = frozenset({"Succeeded", "Skipped"})
PHASE_MARKS = {
    "Created": "·",
    "Ready": "○",
    "Running": "●",
    "Suspended": "‖",
    "Succeeded": "✓",
    "Failed": "✗",
    "Error": "✗",
    "Timeout": "✗",
    "Skipped": "-",
    "Cancelled": "✗",
}
ASCII_MARKS = {
    "Created": ".",
    "Ready": "o",
    "Running": "*",
    "Suspended": "=",
    "Succeeded": "+",
    "Failed": "x",
    "Error": "x",
    "Timeout": "x",
    "Skipped": "-",
    "Cancelled": "x",
}
