"""The simulation of failing engines on the PostgreSQL store: the seeds that have a database, against a real server.

AETHER_TEST_SEEDS=500 plays more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from aether_protocol.adapters.stores.postgres.store import open_postgres
from aether_protocol.ports.store import Store
from aether_protocol.testing.blocking_store import BlockingLoop
from aether_protocol.testing.gate import GatedStore
from aether_protocol.testing.simulation.play import play_seed
from aether_protocol.testing.simulation.store import DATABASE
from aether_protocol.testing.simulation.world import scenario
from tests.postgres import database_url

SEEDS = int(os.environ.get("AETHER_TEST_SEEDS", "6"))


class SimPostgresStore(GatedStore):
    """A schema of its own; each process has the adapter with what it remembers for itself."""

    def __init__(self, loop: BlockingLoop, tier: str, now: Callable[[], int], url: str | None = None) -> None:
        self._url = url or database_url()
        self._loop, self._now = loop, now
        dsn, _, schema = self._url.partition("?schema=")
        self._store = open_postgres(dsn, schema=schema, tier=tier, durability="normal", now=now)
        self._others: list[SimPostgresStore] = []
        super().__init__(self._store, loop)

    def opened(self) -> Store:
        other = SimPostgresStore(self._loop, self.tier, self._now, self._url)
        self._others.append(other)
        return other

    async def close(self) -> None:
        """What is kept stays: others may use it."""

    def _rows(self, text: str) -> list[tuple[Any, ...]]:
        async def ask() -> list[tuple[Any, ...]]:
            return (await self._store.connections.insist(lambda link, _: link.run(text))).rows

        found: list[tuple[Any, ...]] = self._loop.carry_out(ask())
        return found

    def is_closed(self, run_id: str) -> bool:
        return (run_id,) in self._rows("SELECT run_id FROM runs WHERE closed = 1")

    def open_runs(self) -> list[str]:
        return [run_id for (run_id,) in self._rows("SELECT run_id FROM runs WHERE closed = 0 ORDER BY number")]

    def text(self) -> str:
        names = self._rows("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
        return "\n".join(str(self._rows(f"SELECT * FROM {name}")) for (name,) in names)

    def dispose(self) -> None:
        for other in self._others:
            other.dispose()
        self._loop.carry_out(self._store.close())


@pytest.fixture
def loop() -> Iterator[BlockingLoop]:
    made = BlockingLoop()
    yield made
    made.close()


def test_nothing_is_lost_on_postgres_whatever_fails(loop: BlockingLoop) -> None:
    before = DATABASE.set(lambda tier, now: SimPostgresStore(loop, tier, now))
    left, seed = SEEDS, 0
    try:
        while left:
            seed += 1
            if not scenario(seed).sqlite:
                continue
            left -= 1
            played = play_seed(seed)
            assert played.law is None, (seed, played.law, played)
    finally:
        DATABASE.reset(before)
