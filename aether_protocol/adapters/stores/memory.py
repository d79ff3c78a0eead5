"""The memory store (L0): remembers which runs there are and how far they are, and of their steps the newest only.

Law: what is kept of a run is bounded, so a run of 100 000 tasks costs the store no more than one of 1 000. Nothing survives
the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunAppend
from aether_protocol.scheduler.commands import Step

KEEP_STEPS: Final = 2_000  # of each run, for those who look back
KEEP_RUNS: Final = 1_000  # runs whose steps are kept; of older ones the number of the last step stays


class MemoryStore:
    """See `ports.store.Store`."""

    def __init__(self, keep_steps: int = KEEP_STEPS) -> None:
        self._keep = keep_steps
        self._seqs: dict[str, int] = {}
        self._steps: dict[str, deque[Step]] = {}

    async def create(self, run_id: str, plan: Plan) -> None:
        if run_id in self._seqs:
            raise UsageError(f"run {run_id!r} exists already")
        self._seqs[run_id] = 0
        self._steps[run_id] = deque(maxlen=self._keep)
        if len(self._steps) > KEEP_RUNS:
            del self._steps[next(iter(self._steps))]

    async def append(self, batch: Sequence[RunAppend]) -> None:
        seqs = self._seqs
        for part in batch:
            seq = seqs.get(part.run_id)
            if seq is None:
                raise UsageError(f"run {part.run_id!r} is unknown")
            if seq != part.expected_seq:
                raise BusyError(f"run {part.run_id!r} is at step {seq}, not {part.expected_seq}: somebody else drives it")
        for part in batch:
            seqs[part.run_id] = part.steps[-1].seq
            steps = self._steps.get(part.run_id)
            if steps is not None:
                steps.extend(part.steps)

    def steps(self, run_id: str) -> list[Step]:
        if run_id not in self._seqs:
            raise UsageError(f"run {run_id!r} is unknown")
        return list(self._steps.get(run_id, ()))

    async def close(self) -> None:
        self._steps.clear()
