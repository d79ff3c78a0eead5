"""The Store port: a run's truth is its numbered list of steps.

Law: `append` is atomic per run and refuses when another writer was first (optimistic lock on the sequence).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.commands import Step


@dataclass(slots=True)
class RunAppend:
    """Steps of one run that follow step `expected_seq`. The list is the store's to keep."""

    run_id: str
    expected_seq: int
    steps: list[Step]


class Store(Protocol):
    """Raises PortError when the outside fails, BusyError when another writer was first, UsageError for an unknown run."""

    async def create(self, run_id: str, plan: Plan) -> None:
        """Make a new run known with its plan. An id that exists is a UsageError."""
        ...

    async def append(self, batch: Sequence[RunAppend]) -> None:
        """Record the steps of several runs: their facts. The commands are gone once they were carried out."""
        ...

    def steps(self, run_id: str) -> list[Step]:
        """The steps that are still kept, oldest first. Not every store keeps all: their numbers show what is missing."""
        ...

    async def close(self) -> None: ...
