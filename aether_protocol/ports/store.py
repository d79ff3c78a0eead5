"""The Store port: a run's truth is its numbered list of steps.

Law: `append` is atomic per run and refuses when another writer was first (optimistic lock on the sequence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.commands import Step


@dataclass(slots=True)
class RunAppend:
    """The steps of one run to append after step `expected_seq`."""

    run_id: str
    expected_seq: int
    steps: Sequence[Step] = field(default_factory=list)


class Store(Protocol):
    """Raises PortError when the outside fails, BusyError when another writer was first."""

    async def create(self, run_id: str, plan: Plan) -> None:
        """Make a new run known with its plan. An id that exists is a UsageError."""
        ...

    async def append(self, batch: Sequence[RunAppend]) -> None: ...

    async def close(self) -> None: ...
