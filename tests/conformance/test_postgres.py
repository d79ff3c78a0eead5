"""The cases hold on the PostgreSQL store, on both of its tiers and with the engine lost: a real server, virtual time.

Here are those that put a store to the test: runs that are asked for something, that are lost, schedules. All of them, with
every loss: AETHER_TEST_ALL_CASES=1 (an hour).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from aether_protocol.adapters.stores.postgres.store import PostgresStore, open_postgres
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, Store
from aether_protocol.testing.blocking_store import BlockingLoop
from aether_protocol.testing.cases.every_tier import on_tier, run_everywhere
from aether_protocol.testing.cases.prepare import runs
from aether_protocol.testing.cases.read import read_files
from aether_protocol.testing.cases.run import run_case
from aether_protocol.testing.cases.survivors import DURABLE
from tests.postgres import database_url

HERE = Path(__file__).parent
ALL = bool(os.environ.get("AETHER_TEST_ALL_CASES"))
FOLDERS = [path.name for path in sorted(HERE.iterdir()) if path.is_dir()] if ALL else ["durable", "ctrl", "cron"]
SOME = 2  # of a file


@pytest.fixture(scope="module")
def loop() -> Iterator[BlockingLoop]:
    made = BlockingLoop()
    yield made
    made.close()


class OnPostgres:
    """The durable store of one case: a schema of its own."""

    def __init__(self, loop: BlockingLoop, now: Callable[[], int]) -> None:
        self._loop, self._now = loop, now
        self._url = database_url()
        self._open: list[PostgresStore] = []

    def open(self, tier: str) -> Store:
        dsn, _, schema = self._url.partition("?schema=")
        store = open_postgres(dsn, schema=schema, tier=tier, durability="normal", now=self._now)
        self._open.append(store)
        return self._loop.wrap(store)

    def close(self) -> None:
        for store in self._open:
            self._loop.carry_out(store.close())


def files() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((HERE / folder).rglob("*.y*ml"))]


@pytest.mark.parametrize("file", files(), ids=[str(path.relative_to(HERE)) for path in files()])
def test_cases_hold_on_postgres(file: Path, loop: BlockingLoop) -> None:
    cases = [case for case in read_files([file]) if runs(case)]
    before = DURABLE.set(lambda now: OnPostgres(loop, now))
    try:
        for case in cases if ALL else cases[:SOME]:
            if ALL:
                result = run_everywhere(case)
                assert result.outcome == "passed", (case.name, result.detail)
                continue
            for tier in (SNAPSHOT, STATE_ACTION_LOG):
                for loses in (None, 2):
                    result = run_case(on_tier(case, tier, lost=loses is not None), lose_after=loses)
                    assert result.outcome == "passed", (case.name, tier, loses, result.detail)
    finally:
        DURABLE.reset(before)
