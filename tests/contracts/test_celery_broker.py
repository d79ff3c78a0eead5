"""The broker for a Celery fleet keeps the contract of brokers, before real Celery workers and a real Redis."""

from __future__ import annotations

import asyncio
import atexit
import shutil
import tempfile
from functools import cache
from pathlib import Path

import pytest
from redis import Redis

from aether_protocol.adapters.brokers.celery.address import read_address
from aether_protocol.adapters.brokers.celery.broker import CeleryBroker
from aether_protocol.adapters.brokers.celery.scripts import SCRIPTS
from aether_protocol.engine.clock import SystemClock
from aether_protocol.ports.broker import Broker
from aether_protocol.testing.contracts.live_broker import LiveBrokerContract, LiveSite
from tests.e2e.celery_place import CeleryPlace
from tests.redis_server import needs_redis

pytestmark = pytest.mark.rule("RT-116")


@cache
def place(slots: int) -> CeleryPlace:
    """A Redis and a worker with so many slots, which the tests of this process share: to begin one takes seconds."""
    made = CeleryPlace(Path(tempfile.mkdtemp(prefix="aether-celery-")))

    def end() -> None:
        made.close()
        shutil.rmtree(made.folder, ignore_errors=True)

    atexit.register(end)
    made.worker(tasks=slots, AETHER_WORKER_IMPORT="aether_protocol.testing.probe")
    return made


class Site:
    """See `testing.contracts.live_broker.LiveSite`."""

    limit = None

    def __init__(self, at: CeleryPlace) -> None:
        self._place = at
        self._brokers: list[Broker] = []

    async def connect(self) -> Broker:
        self._brokers.append(CeleryBroker(read_address(self._place.url), SystemClock(), watch_s=0.3))
        return self._brokers[-1]

    async def cut(self) -> None:
        self._place.redis.stop()

    async def mend(self) -> None:
        self._place.redis.start()

    async def close(self) -> None:
        for broker in self._brokers:
            await broker.close()
        await self._stop_all()
        self._place.redis.command("FLUSHALL")

    async def _stop_all(self) -> None:
        """What a test has left is nothing for the next one, whose attempts have the same names."""
        with Redis.from_url(self._place.redis.url()) as redis:
            async with asyncio.timeout(30):
                while keys := [key for key in redis.scan_iter("aether:t:*") if redis.hget(key, "state") not in (b"done", None)]:
                    for key in keys:
                        epoch, attempt = redis.hmget(key, "epoch", "attempt")
                        redis.eval(SCRIPTS["stop"], 0, key.removeprefix(b"aether:t:"), epoch, attempt)
                    await asyncio.sleep(0.1)


class TestCeleryBroker(LiveBrokerContract):
    async def make_site(self, folder: Path, slots: int) -> LiveSite:
        needs_redis()
        at = place(slots)
        await at.ready()
        return Site(at)
