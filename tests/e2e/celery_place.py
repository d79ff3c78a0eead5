"""A Redis, real Celery workers, and engines over `celery+redis://`."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from aether_protocol import Engine
from aether_protocol.adapters.brokers.celery.address import read_address
from aether_protocol.adapters.brokers.celery.broker import CeleryBroker
from aether_protocol.service import client_of
from tests.e2e.worker_place import until
from tests.redis_server import RedisServer, needs_redis


class CeleryPlace:
    """A Redis of its own, and workers in process groups of their own."""

    def __init__(self, folder: Path, *, lease_s: float = 30.0) -> None:
        needs_redis()
        self.folder = folder
        self.lease_s = lease_s
        self.redis = RedisServer(folder / "redis")
        self.redis.start()
        self.workers: list[subprocess.Popen[bytes]] = []

    @property
    def url(self) -> str:
        return f"celery+{self.redis.url()}?lease={self.lease_s:g}"

    def worker(
        self, *options: str, tasks: int = 2, app: str = "aether_protocol.celery", **variables: str
    ) -> subprocess.Popen[bytes]:
        """Begin a worker of Celery; `variables` are of its environment."""
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-c", str(tasks), "-l", "INFO"]
        environment = {**os.environ, "AETHER_BROKER": self.url, **variables}
        with (self.folder / "celery.log").open("ab") as log:
            worker = subprocess.Popen(
                [*command, *options], env=environment, cwd=self.folder, stderr=log, stdout=log, start_new_session=True
            )
        self.workers.append(worker)
        return worker

    def log(self) -> str:
        file = self.folder / "celery.log"
        return file.read_text() if file.exists() else ""

    async def ready(self, count: int = 1) -> None:
        """Wait until so many workers take tasks."""
        await until(lambda: self.log().count(" ready.") >= count, 60.0)

    @staticmethod
    def kill(worker: subprocess.Popen[bytes]) -> None:
        """End a worker with all of its processes, as where its machine dies."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
        worker.wait()

    def broker(self, **options: Any) -> Any:
        """What makes the broker of an engine."""
        return lambda parts: CeleryBroker(read_address(self.url), parts.clock, watch_s=0.3, **options)

    @contextlib.asynccontextmanager
    async def engine(self, **options: Any) -> AsyncIterator[Engine]:
        async with Engine(store=f"sqlite:{self.folder}/runs.db", broker=self.broker(), **options) as engine:
            yield engine

    def close(self) -> None:
        for worker in self.workers:
            self.kill(worker)
        self.redis.kill()


@contextlib.contextmanager
def celery_place(folder: Path, *, lease_s: float = 30.0) -> Iterator[CeleryPlace]:
    """A place that ends with the block."""
    place = CeleryPlace(folder, lease_s=lease_s)
    try:
        yield place
    finally:
        place.close()


async def lines_of(engine: Engine, run: str) -> list[str]:
    """What the tasks of a run wrote."""
    return "".join([line.text async for line in client_of(engine).runs.logs(run)]).splitlines()


async def logged(engine: Engine, run: str, line: str) -> None:
    """Wait until a run has written a line."""
    async with asyncio.timeout(30):
        while line not in await lines_of(engine, run):  # noqa: ASYNC110 - a store is read
            await asyncio.sleep(0.05)
