"""Phases as people see them: which phase a fact leads to, and its colour and mark, one table each.

Which phases there are and how one follows another: `scheduler.transitions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from aether_protocol.scheduler import facts as f
from aether_protocol.scheduler.transitions import CREATED, READY, RUNNING, SUSPENDED, Phase

_AFTER: Final[dict[type, Callable[[Any], Phase]]] = {
    f.NodeCreated: lambda fact: CREATED,
    f.HookFired: lambda fact: CREATED,
    f.TaskDispatched: lambda fact: READY,
    f.TaskRunning: lambda fact: RUNNING,
    f.TaskSuspended: lambda fact: SUSPENDED,
    f.RetryScheduled: lambda fact: CREATED,
    f.ContainerPhase: lambda fact: fact.phase,
    f.NodeEnded: lambda fact: fact.phase,
}


def phase_after(fact: f.Fact) -> Phase | None:
    """Return the phase that `fact` gives its node; None for a fact that changes no phase that can be observed.

    An attempt that is repeated because its engine was lost (`AttemptRepeated`) continues, as far as an observer can see.
    """
    after = _AFTER.get(type(fact))
    return None if after is None else after(fact)


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
