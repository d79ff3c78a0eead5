"""The memory store (L0): remembers which runs there are and how far they are, and the steps of small runs.

Law: what is kept is bounded: all steps of a run, for those who look back, until there are KEEP_FACTS facts; from then on
none of it (a long run is watched while it goes, and pays nothing for the past). Nothing survives the process.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Final

from aether_protocol.errors import BusyError, UsageError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunAppend
from aether_protocol.scheduler.commands import Step

KEEP_FACTS: Final = 10_000  # of a run
KEEP_RUNS: Final = 256  # runs whose steps are kept; of older ones only how far they are


class _Past:
    """How far a run is; its steps while they are few, then None."""

    __slots__ = ("facts", "seq", "steps")

    def __init__(self) -> None:
        self.seq = 0
        self.facts = 0
        self.steps: list[Step] | None = []


class MemoryStore:
    """See `ports.store.Store`."""

    def __init__(self, keep_facts: int = KEEP_FACTS) -> None:
        self._keep = keep_facts
        self._runs: dict[str, _Past] = {}
        self._kept: deque[_Past] = deque()

    async def create(self, run_id: str, plan: Plan) -> None:
        if run_id in self._runs:
            raise UsageError(f"run {run_id!r} exists already")
        past = self._runs[run_id] = _Past()
        self._kept.append(past)
        if len(self._kept) > KEEP_RUNS:
            self._kept.popleft().steps = None

    async def append(self, batch: Sequence[RunAppend]) -> None:
        runs = self._runs
        for part in batch:
            past = runs.get(part.run_id)
            if past is None:
                raise UsageError(f"run {part.run_id!r} is unknown")
            if past.seq != part.expected_seq:
                told = f"run {part.run_id!r} is at step {past.seq}, not {part.expected_seq}"
                raise BusyError(f"{told}: somebody else drives it")
        for part in batch:
            past = runs[part.run_id]
            past.seq = part.steps[-1].seq
            if past.steps is not None:
                past.steps += part.steps
                past.facts += sum([len(step.facts) for step in part.steps])
                if past.facts > self._keep:
                    past.steps = None

    def steps(self, run_id: str) -> list[Step]:
        past = self._runs.get(run_id)
        if past is None:
            raise UsageError(f"run {run_id!r} is unknown")
        return list(past.steps or ())

    async def close(self) -> None:
        self._runs.clear()
        self._kept.clear()
