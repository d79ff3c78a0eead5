"""A short sample of `tests.e2e.chaos`; `nox -s chaos` plays all of it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.e2e.broker_chaos import BrokerBlows, play_broker
from tests.e2e.chaos import Blows, own_database, play
from tests.nats_server import needs_server as needs_nats
from tests.postgres import needs_server
from tests.redis_server import needs_redis


@pytest.mark.timeout(240)
def test_killed_workers_and_servers_lose_and_double_nothing(tmp_path: Path) -> None:
    counts = play(tmp_path, Blows(5, 2, 2), seed=3)
    assert counts["worker killed"] == 5
    assert counts["runs"] >= 3
    assert counts["executions"] >= counts["tasks"]


@pytest.mark.timeout(300)
def test_nothing_is_lost_or_doubled_on_a_database_that_is_restarted(tmp_path: Path) -> None:
    needs_server()
    with tempfile.TemporaryDirectory(prefix="aether-chaos-") as folder, own_database(Path(folder)) as database:
        counts = play(tmp_path, Blows(3, 3, 1, 3), seed=5, database=database)
    assert counts["database restarted"] == 3
    assert counts["runs"] >= 3
    assert counts["executions"] >= counts["tasks"]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["nats", "celery"])
def test_what_lies_between_is_killed_and_nothing_is_lost_or_doubled(tmp_path: Path, kind: str) -> None:
    {"nats": needs_nats, "celery": needs_redis}[kind]()
    counts = play_broker(tmp_path, kind, BrokerBlows(2, 3, 1), seed=7)
    assert counts["what lies between killed"] == 3
    assert counts["runs"] >= 3
    assert counts["executions"] >= counts["tasks"]
