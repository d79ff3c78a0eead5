"""What kind of program a run is, and the machine that decides for it.

Law: the loop knows a machine by `state` and `handle` alone. A stored run names its kind, so that an engine that does not know
it leaves the run alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from aether_protocol.errors import PortError
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.commands import LogEntry
from aether_protocol.scheduler.events import DOCUMENT, Event
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.state import RunState


class RunMachine(Protocol):
    """Decides for one run: an event goes in, facts and commands come out. Pure."""

    @property
    def state(self) -> RunState: ...

    def handle(self, event: Event) -> LogEntry: ...


MACHINES: Final[Mapping[str, Callable[[Plan, RunState | None, int], RunMachine]]] = {DOCUMENT: Machine}


def machine_of(plan: Plan, state: RunState | None, epoch: int) -> RunMachine:
    """The machine of a run; of a new one, without a `state`, that of documents. Raises PortError for an unknown kind."""
    kind = DOCUMENT if state is None else state.header.program
    make = MACHINES.get(kind)
    if make is None:
        known = ", ".join(sorted(MACHINES))
        raise PortError(f"the run is a program of kind {kind!r}", hint=f"this version drives {known}: it takes a newer one")
    return make(plan, state, epoch)
