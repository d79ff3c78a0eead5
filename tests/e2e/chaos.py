"""Real processes killed at random: workers and the server, with partitions, on SQLite or PostgreSQL and leases of 2 s.

    python -m tests.e2e.chaos --workers 200 --servers 50 --partitions 20
    python -m tests.e2e.chaos --workers 100 --servers 100 --postgres --restarts 40

With `--postgres` the store is a PostgreSQL server of its own, which is restarted under load as well, in order or as in a crash.

Each task appends lines to one file: its idempotency key, its process, and the instant, when it begins, ten times a second while
it runs, and when it has ended. Held against the record at the end: each task has one recorded result and at least one whole
execution, nothing else was executed, and no two executions of one key ever overlapped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import httpx2 as httpx

from tests.documents import submitted
from tests.e2e.process import AETHER, environment
from tests.postgres import PostgresServer

LEASE_S = 2
WORKERS = 4
TASKS = 6  # of a run
OPEN = 6  # runs at a time
DURABILITY = {True: "normal", False: "full"}  # of SQLite, which outlives kills so; a server that crashes would lose some
SOURCE = """
say() { echo "$1 $AETHER_IDEMPOTENCY_KEY ${CHAOS_WORKER:-a}:$$ $(date +%s%N)" >> EFFECTS; }
say begin; for n in 1 2 3 4; do sleep 0.1; say runs; done; say end
"""


class Proxy:
    """Forwards connections to a port, unless it is cut: then those that are open break, and new ones are not answered."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._cut = False
        self._pairs: set[socket.socket] = set()
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break all connections."""
        self._cut = True
        for one in list(self._pairs):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def heal(self) -> None:
        """Forward again."""
        self._cut = False

    def close(self) -> None:
        self._listening.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        while self._cut:
            time.sleep(0.05)
        try:
            server = socket.create_connection(("127.0.0.1", self._target), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        self._pairs |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client), daemon=True)
        back.start()
        self._pump(client, server)
        back.join()
        self._pairs -= {client, server}
        client.close()
        server.close()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for one in (source, target):
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)


class Chaos:
    """A server, workers, and what is done to them."""

    def __init__(self, folder: Path, seed: int, database: PostgresServer | None = None) -> None:
        self.folder = folder
        self.database = database
        self.store = f"sqlite:{folder}/runs.db" if database is None else database.url
        self.effects = folder / "effects"
        self.chance = random.Random(seed)
        self.counts: Counter[str] = Counter()
        self.runs: list[str] = []
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.proxies: list[Proxy] = []
        self._count = 0
        self._begin()

    def _begin(self) -> None:
        self.proxies = [Proxy(self.port) for _ in range(WORKERS)]
        self.server = self._start_server("--no-workers")
        self.workers = [self._start_worker(number) for number in range(WORKERS)]

    def _start_server(self, *more: str) -> subprocess.Popen[bytes]:
        options = ["--store", self.store, "--http-port", str(self.port), "--lease", str(LEASE_S), *more]
        options += ["--durability", DURABILITY[self.database is None]]
        self._more = more
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen([*AETHER, "serve", *options], env=environment(), stderr=log)

    def _start_worker(self, number: int) -> subprocess.Popen[bytes]:
        url = f"http://127.0.0.1:{self.proxies[number].port}"
        with (self.folder / f"worker-{number}.log").open("ab") as log:
            return subprocess.Popen([*AETHER, "worker", "--server", url, "--slots", "2"], env=environment(), stderr=log)

    # --- what is done ---

    def kill_server(self) -> None:
        self.server.kill()
        self.server.wait()
        time.sleep(self.chance.uniform(0, 0.5))
        self.server = self._start_server(*self._more)
        self.wait_for_server()
        self.counts["server killed"] += 1

    def wait_for_server(self) -> None:
        """Wait until it answers: a server that is always about to start does nothing that could break."""
        until = time.monotonic() + 120  # a machine that others use too may take its time
        while time.monotonic() < until:
            with suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/readyz", timeout=2).status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server does not come back")

    def kill_worker(self) -> None:
        number = self.chance.randrange(len(self.workers))
        self.workers[number].kill()
        self.workers[number].wait()
        self.workers[number] = self._start_worker(number)
        self.counts["worker killed"] += 1

    def restart_database(self) -> None:
        """Stop it, in order or as in a crash, and start it again after a moment."""
        assert self.database is not None
        self.database.stop(self.chance.choice([signal.SIGINT, signal.SIGQUIT]))
        time.sleep(self.chance.uniform(0, 0.5))
        self.database.start()
        self.counts["database restarted"] += 1

    def partition(self) -> None:
        """Shorter or longer than the lease."""
        proxy = self.chance.choice(self.proxies)
        proxy.cut()
        threading.Timer(self.chance.uniform(0.3, 2.5 * LEASE_S), proxy.heal).start()
        self.counts["partition"] += 1

    def submit(self) -> None:
        """Keep so many runs open."""
        with suppress(httpx.HTTPError):
            found = httpx.get(f"{self.url}/v1/runs?phase=Running&phase=Created&phase=Ready&limit=100", timeout=2)
            for _ in range(OPEN - len(found.json()["runs"]) if found.status_code == 200 else 0):
                self._count += 1
                run = f"run-{self._count}"
                self.runs.append(run)  # also where the answer is lost: it may be there
                made = httpx.post(f"{self.url}/v1/runs", json={"document": self._document(), "runId": run}, timeout=2)
                assert made.status_code < 500, made.text
                if made.is_client_error:
                    raise AssertionError(f"a run was refused: {made.text}")

    def _document(self) -> dict[str, Any]:
        config = {"source": SOURCE.replace("EFFECTS", str(self.effects))}
        tasks = [
            {
                "name": f"t{number}",
                "executor": {"type": "script", "config": config},
                "dependencies": [f"t{number - 3}"] if number >= 3 else [],
            }
            for number in range(TASKS)
        ]
        return submitted(*tasks, name="chaos")

    def finish(self, seconds: float = 120) -> None:
        """Let all that was begun end, and stop the processes."""
        for proxy in self.proxies:
            proxy.heal()
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            with suppress(httpx.HTTPError, KeyError):
                found = httpx.get(f"{self.url}/v1/runs?phase=Running&phase=Created&phase=Ready&limit=100", timeout=5)
                if found.json()["runs"] == []:
                    break
            time.sleep(0.3)
        for process in (*self.workers, self.server):
            process.send_signal(signal.SIGTERM)
        for process in (*self.workers, self.server):
            with suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
            process.wait()
        for proxy in self.proxies:
            proxy.close()

    # --- what is held against the record ---

    def check(self) -> None:
        """Raise AssertionError for a broken law."""
        lived: dict[str, dict[str, list[tuple[int, str]]]] = defaultdict(lambda: defaultdict(list))
        for line in self.effects.read_text().splitlines():
            what, key, process, at = line.split()
            lived[key][process].append((int(at), what))
        keys = asyncio.run(self._recorded())
        assert set(lived) <= keys, "something was executed that is not recorded"
        for key in keys:
            executions = sorted((min(times)[0], max(times)[0], process) for process, times in lived[key].items())
            whole = sum(any(what == "end" for _, what in times) for times in lived[key].values())
            assert whole >= 1, f"{key} was recorded as done and never ran to its end"
            self.counts["executions"] += len(executions)
            self.counts["whole executions"] += whole
            for (_, end, first), (begin, _, second) in pairwise(executions):
                self._follows(key, (end, first), (begin, second))

    def _follows(self, key: str, before: tuple[int, str], after: tuple[int, str]) -> None:
        """Look at two executions of one key, one after the other: when it ended or began, and where."""
        (end, first), (begin, second) = before, after
        assert end < begin, f"{key}: {second} began {(end - begin) / 1e6:.0f} ms before {first} was over"

    async def _recorded(self) -> set[str]:
        """The keys of all tasks, each of which has one result."""
        from aether_protocol.service import connect

        keys: set[str] = set()
        async with connect(self.store) as client:
            for run in self.runs:
                try:
                    report = (await client.runs.report(run)).to_json()
                except Exception as error:
                    if "unknown" in str(error):  # its submission never arrived
                        continue
                    raise
                assert report["phase"] == "Succeeded", (run, report["phase"], report["message"])
                self.counts["runs"] += 1
                ended: Counter[str] = Counter()
                async for record in client.runs.events(run):
                    told = record if isinstance(record, dict) else json.loads(json.dumps(record))
                    if told["kind"] == "NodeEnded":
                        ended[told["path"]] += 1
                assert set(ended.values()) == {1}, f"{run}: {ended}"
                keys |= {f"{run}:{path}" for path in ended if path != "main"}
                self.counts["tasks"] += len(ended) - 1
        return keys


class Blows(NamedTuple):
    """How much is done to the processes: kills of workers and of the server, cut connections, restarts of the database."""

    workers: int
    servers: int
    partitions: int
    restarts: int = 0


def play(
    folder: Path, blows: Blows, *, seed: int, pause: float = 0.8, database: PostgresServer | None = None
) -> Counter[str]:
    """Do so much to the processes, and check; the counts. Raises AssertionError."""
    chaos = Chaos(folder, seed, database)
    todo = [chaos.kill_worker] * blows.workers + [chaos.kill_server] * blows.servers + [chaos.partition] * blows.partitions
    todo += [chaos.restart_database] * blows.restarts
    return played(chaos, todo, pause)


def played(chaos: Chaos, todo: list[Callable[[], None]], pause: float) -> Counter[str]:
    """Do all of this, in any order, and check; the counts. Raises AssertionError."""
    try:
        chaos.chance.shuffle(todo)
        chaos.wait_for_server()
        for number, one in enumerate(todo):
            chaos.submit()
            time.sleep(chaos.chance.uniform(0, 2 * pause))
            one()
            if number % 25 == 24:
                print(f"{number + 1} of {len(todo)}: {dict(chaos.counts)}, {len(chaos.runs)} runs", flush=True)
    finally:
        chaos.finish()
    chaos.check()
    return chaos.counts


@contextmanager
def own_database(folder: Path) -> Iterator[PostgresServer]:
    """A PostgreSQL server that may be stopped and started."""
    folder.chmod(0o755)  # it is another user's
    server = PostgresServer(folder / "postgres")
    server.start()
    try:
        yield server
    finally:
        server.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill workers and servers, and check that nothing is lost or doubled.")
    parser.add_argument("--workers", type=int, default=200)
    parser.add_argument("--servers", type=int, default=50)
    parser.add_argument("--partitions", type=int, default=20)
    parser.add_argument("--postgres", action="store_true", help="on a PostgreSQL server of its own")
    parser.add_argument("--restarts", type=int, default=40, help="of that server")
    parser.add_argument("--pause", type=float, default=0.8, help="seconds between two blows, on average")
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="aether-chaos-"))
    print(f"in {folder}, which stays where a law is broken", flush=True)
    blows = Blows(given.workers, given.servers, given.partitions, given.restarts if given.postgres else 0)
    with own_database(folder) if given.postgres else nullcontext() as database:
        counts = play(folder, blows, seed=given.seed, pause=given.pause, database=database)
    shutil.rmtree(folder)
    print(f"no law was broken: {dict(counts)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
