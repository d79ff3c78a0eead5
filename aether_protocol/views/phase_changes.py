"""Which phase a fact leads to: the one mapping that reports, event feeds, live views and recorders share."""

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
