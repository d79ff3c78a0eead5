"""Run ids and seeds that are the same each time a test runs."""

from __future__ import annotations


class SequentialIds:
    """See `ports.clock.IdGenerator`: run-1, run-2, ... and always the same seed."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self._made = 0

    def run_id(self, now_us: int) -> str:
        self._made += 1
        return f"run-{self._made}"

    def seed(self) -> int:
        return self._seed
