"""Real processes killed at random, behind a broker: workers, the engine, and what lies between them, which forgets everything.

    python -m tests.e2e.broker_chaos nats --workers 50 --between 50 --engines 20
    python -m tests.e2e.broker_chaos celery --workers 15 --between 15 --engines 5
    python -m tests.e2e.broker_chaos dask --workers 15 --between 15 --engines 5

The engine is an `aether serve --broker URL`. A NATS server is killed and its folder deleted, Redis is killed and has saved
nothing, a Dask scheduler is killed. What is held against the record is as in `chaos`, and besides: an attempt that did not die
with its worker is not carried out again, whatever else was killed (Dask's scheduler takes its attempts along).
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, Protocol

from tests.dask_cluster import DaskProcesses
from tests.e2e.chaos import Chaos, played
from tests.e2e.process import AETHER, environment
from tests.nats_server import NatsServer
from tests.redis_server import RedisServer

BROKER_LEASE_S = 10
PLACES = 3  # of workers
SLOTS = 2


class Between(Protocol):
    """What lies between an engine and its workers, and how these begin."""

    url: str
    repeats: bool  # attempts go with it

    def begin_worker(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        """Begin a worker in a process group of its own, with CHAOS_WORKER in its environment."""
        ...

    def kill(self, pause: float) -> None:
        """Kill it, with all that it has, and start it again after a pause."""
        ...

    def close(self) -> None:
        """End it."""
        ...


def begun(command: list[str], log: Path, **variables: str) -> subprocess.Popen[bytes]:
    """Begin a process in a group of its own."""
    with log.open("ab") as out:
        environ = environment(AETHER_CONFIG=os.devnull, **variables)
        return subprocess.Popen(command, env=environ, cwd=log.parent, stdout=out, stderr=out, start_new_session=True)


class NatsBetween:
    """A NATS server."""

    repeats = False

    def __init__(self, folder: Path) -> None:
        self._server = NatsServer(folder / "nats")
        self._server.start()
        self.url = f"{self._server.url}?lease={BROKER_LEASE_S}"

    def begin_worker(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        words = ["worker", "--broker", self.url, "--slots", str(SLOTS), "--name", name]
        return begun([*AETHER, *words], log, CHAOS_WORKER=name)

    def kill(self, pause: float) -> None:
        self._server.stop()
        shutil.rmtree(self._server.folder)
        time.sleep(pause)
        self._server.start()

    def close(self) -> None:
        self._server.stop()


class CeleryBetween:
    """A Redis, and workers of Celery."""

    repeats = False

    def __init__(self, folder: Path) -> None:
        self._redis = RedisServer(folder / "redis")
        self._redis.start()
        self.url = f"celery+{self._redis.url()}?lease={BROKER_LEASE_S}"

    def begin_worker(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        words = ["-m", "celery", "-A", "aether_protocol.celery", "worker", "-c", str(SLOTS), "-n", f"{name}@here"]
        return begun([sys.executable, *words], log, CHAOS_WORKER=name, AETHER_BROKER=self.url)

    def kill(self, pause: float) -> None:
        self._redis.kill()
        time.sleep(pause)
        self._redis.start()

    def close(self) -> None:
        self._redis.kill()


class DaskBetween:
    """A Dask scheduler, and its workers."""

    repeats = True

    def __init__(self, folder: Path) -> None:
        place = folder / "dask"
        place.mkdir()
        self._cluster = DaskProcesses(place)
        self._cluster.start()
        self.url = self._cluster.address.replace("tcp:", "dask:")

    def begin_worker(self, name: str, log: Path) -> subprocess.Popen[bytes]:
        limits = ["--no-nanny", "--no-dashboard", "--nthreads", str(SLOTS), "--memory-limit", "0", "--host", "127.0.0.1"]
        words = ["-m", "distributed.cli.dask_worker", self._cluster.address, "--name", name, *limits]
        folder = self._cluster.folder / name
        return begun([sys.executable, *words, "--local-directory", str(folder)], log, CHAOS_WORKER=name)

    def kill(self, pause: float) -> None:
        assert self._cluster.scheduler is not None
        self._cluster.scheduler.kill()
        self._cluster.scheduler.wait()
        time.sleep(pause)
        self._cluster.start()

    def close(self) -> None:
        self._cluster.close()


KINDS: dict[str, Callable[[Path], Between]] = {"nats": NatsBetween, "celery": CeleryBetween, "dask": DaskBetween}


class BrokerChaos(Chaos):
    """An engine, workers, and what lies between them."""

    def __init__(self, folder: Path, seed: int, kind: str) -> None:
        self.between = KINDS[kind](folder)
        self.killed: set[str] = set()  # the names of workers
        self._names: list[str] = []
        self._number = 0
        super().__init__(folder, seed)

    def _begin(self) -> None:
        self.server = self._start_server("--broker", self.between.url)
        self._names = [""] * PLACES
        self.workers = [self._start_worker(place) for place in range(PLACES)]

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        self._number += 1
        self._names[number] = f"w{self._number}"
        return self.between.begin_worker(self._names[number], self.folder / f"worker-{number}.log")

    def kill_worker(self) -> None:
        place = self.chance.randrange(PLACES)
        self._kill(place)
        self.workers[place] = self._start_worker(place)
        self.counts["worker killed"] += 1

    def _kill(self, place: int) -> None:
        """As where its machine dies."""
        with suppress(ProcessLookupError):
            os.killpg(self.workers[place].pid, signal.SIGKILL)
        self.workers[place].wait()
        self.killed.add(self._names[place])

    def kill_between(self) -> None:
        self.between.kill(self.chance.uniform(0, 0.5))
        self.counts["what lies between killed"] += 1

    def look_at_workers(self) -> None:
        """Start again what has ended by itself, as an operator's tools would: a Dask worker that lost its scheduler, say."""
        for place, worker in enumerate(self.workers):
            if worker.poll() is not None:
                self._kill(place)
                self.workers[place] = self._start_worker(place)
                self.counts["worker ended by itself"] += 1

    def submit(self) -> None:
        self.look_at_workers()
        super().submit()

    def finish(self, seconds: float = 180) -> None:
        self.look_at_workers()
        super().finish(seconds)
        for place in range(PLACES):
            self._kill(place)  # what a worker left behind
        self.between.close()

    def _follows(self, key: str, before: tuple[int, str], after: tuple[int, str]) -> None:
        if self.between.repeats:
            self.counts["overlaps"] += before[0] >= after[0]
            self.counts["repeated"] += 1
            return
        super()._follows(key, before, after)
        self.counts["repeated"] += 1
        worker = before[1].partition(":")[0]
        assert worker in self.killed, f"{key} was carried out again by {after[1]}, and {worker} was not killed"


class BrokerBlows(NamedTuple):
    """How often what is killed."""

    workers: int
    between: int
    engines: int


def play_broker(folder: Path, kind: str, blows: BrokerBlows, *, seed: int, pause: float = 0.8) -> Counter[str]:
    """Do so much to the processes, and check; the counts. Raises AssertionError."""
    chaos = BrokerChaos(folder, seed, kind)
    todo = [chaos.kill_worker] * blows.workers + [chaos.kill_between] * blows.between + [chaos.kill_server] * blows.engines
    return played(chaos, todo, pause)


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill what is behind a broker, and check that nothing is lost or doubled.")
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--between", type=int, default=50, help="kills of NATS, Redis or the scheduler")
    parser.add_argument("--engines", type=int, default=20)
    parser.add_argument("--pause", type=float, default=0.8, help="seconds between two blows, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aether-chaos-"))
    print(f"in {folder}, which stays where a law is broken", flush=True)
    blows = BrokerBlows(given.workers, given.between, given.engines)
    counts = play_broker(folder, given.kind, blows, seed=given.seed, pause=given.pause)
    shutil.rmtree(folder)
    print(f"no law was broken: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
