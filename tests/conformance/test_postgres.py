"""The cases hold on the PostgreSQL store, on both of its tiers and with the engine lost: a real server, virtual time.

Here are those that put a store to the test: runs that are asked for something, that are lost, schedules. All of them, with
every loss: AETHER_TEST_ALL_CASES=1.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from aether_protocol.adapters.stores.postgres.store import PostgresStore
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, Store
from aether_protocol.testing.cases.every_tier import on_tier, run_everywhere
from aether_protocol.testing.cases.prepare import runs
from aether_protocol.testing.cases.read import read_files
from aether_protocol.testing.cases.run import run_case
from aether_protocol.testing.cases.survivors import DURABLE
from tests.postgres_shelf import PostgresShelf

HERE = Path(__file__).parent
ALL = bool(os.environ.get("AETHER_TEST_ALL_CASES"))
FOLDERS = [path.name for path in sorted(HERE.iterdir()) if path.is_dir()] if ALL else ["durable", "ctrl", "cron"]
SOME = 2  # of a file
AT_ONCE = 5  # of a test, where all are played


@pytest.fixture(scope="module")
def shelf() -> Iterator[PostgresShelf]:
    made = PostgresShelf()
    yield made
    made.end()


class OnPostgres:
    """The durable store of one case: a schema that nothing else uses at the time."""

    def __init__(self, shelf: PostgresShelf, now: Callable[[], int]) -> None:
        self._shelf, self._now = shelf, now
        self._url = shelf.take()
        self._open: list[PostgresStore] = []

    def open(self, tier: str) -> Store:
        store = self._shelf.open(self._url, tier, self._now)
        self._open.append(store)
        return self._shelf.loop.wrap(store)

    def close(self) -> None:
        for store in self._open:
            self._shelf.close(store)
        self._shelf.put_back(self._url)


def parts() -> list[Any]:
    """(file, the first of its cases) for each test."""
    found = [path for folder in FOLDERS for path in sorted((HERE / folder).rglob("*.y*ml"))]
    firsts = {path: range(0, len(read_files([path])), AT_ONCE) if ALL else [0] for path in found}
    return [pytest.param(path, first, id=f"{path.relative_to(HERE)}-{first}") for path in found for first in firsts[path]]


@pytest.mark.parametrize(("file", "first"), parts())
def test_cases_hold_on_postgres(file: Path, first: int, shelf: PostgresShelf) -> None:
    cases = read_files([file])[first : first + AT_ONCE] if ALL else read_files([file])
    cases = [case for case in cases if runs(case)]
    before = DURABLE.set(lambda now: OnPostgres(shelf, now))
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
