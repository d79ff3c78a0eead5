"""A short sample of `tests.e2e.chaos`; `nox -s chaos` plays all of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.chaos import play


@pytest.mark.timeout(240)
def test_killed_workers_and_servers_lose_and_double_nothing(tmp_path: Path) -> None:
    counts = play(tmp_path, workers=5, servers=2, partitions=2, seed=3)
    assert counts["worker killed"] == 5
    assert counts["runs"] >= 3
    assert counts["executions"] >= counts["tasks"]
