"""The simulation of failing engines on the PostgreSQL store: the seeds that have a database, against a real server.

AETHER_TEST_SEEDS=500 plays more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest

from aether_protocol.ports.store import Store
from aether_protocol.testing.gate import GatedStore
from aether_protocol.testing.simulation.play import play_seed
from aether_protocol.testing.simulation.store import DATABASE
from aether_protocol.testing.simulation.world import scenario
from tests.postgres_shelf import PostgresShelf

SEEDS = int(os.environ.get("AETHER_TEST_SEEDS", "6"))
AT_ONCE = 10  # seeds of one test


class SimPostgresStore(GatedStore):
    """A schema that nothing else uses at the time; each process has the adapter with what it remembers for itself."""

    def __init__(self, shelf: PostgresShelf, tier: str, now: Callable[[], int], url: str | None = None) -> None:
        self._shelf, self._now = shelf, now
        self._url = url or shelf.take()
        self._is_first = url is None
        self._store = shelf.open(self._url, tier, now)
        self._others: list[SimPostgresStore] = []
        super().__init__(self._store, shelf.loop)

    def opened(self) -> Store:
        other = SimPostgresStore(self._shelf, self.tier, self._now, self._url)
        self._others.append(other)
        return other

    async def close(self) -> None:
        """What is kept stays: others may use it."""

    def _rows(self, text: str) -> list[tuple[Any, ...]]:
        async def ask() -> list[tuple[Any, ...]]:
            return (await self._store.connections.insist(lambda link, _: link.run(text))).rows

        found: list[tuple[Any, ...]] = self._shelf.loop.carry_out(ask())
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
        self._shelf.close(self._store)
        if self._is_first:
            self._shelf.put_back(self._url)


@pytest.fixture(scope="module")
def shelf() -> Iterator[PostgresShelf]:
    made = PostgresShelf()
    yield made
    made.end()


def seeds() -> list[int]:
    """Those that have a database."""
    return list(islice((seed for seed in count(1) if scenario(seed).sqlite), SEEDS))


@pytest.mark.parametrize("part", range(0, SEEDS, AT_ONCE))
def test_nothing_is_lost_on_postgres_whatever_fails(shelf: PostgresShelf, part: int) -> None:
    before = DATABASE.set(lambda tier, now: SimPostgresStore(shelf, tier, now))
    try:
        for seed in seeds()[part : part + AT_ONCE]:
            played = play_seed(seed)
            assert played.law is None, (seed, played.law, played)
    finally:
        DATABASE.reset(before)
