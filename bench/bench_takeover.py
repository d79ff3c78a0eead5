"""How long runs are without a server after theirs was killed (kill -9), or stopped: real processes on a real store.

    python bench/bench_takeover.py [--rounds N] [--runs N] [--quick]

Three `aether serve` share the runs; one is killed or stopped, and for each run that it drove the time is taken until another
server has claimed it (its row names the other one). Then it is started anew, and the next one is killed. `apart`: each server
is in a process namespace of its own, so that the others see as little of it as from another machine: what is left is the lock
of its session (PostgreSQL), or its lease (SQLite).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import asyncpg

from tests.e2e.process import AETHER, environment, read_until
from tests.postgres import PostgresServer

APART = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"]
OWNERS = "SELECT run_id, owner FROM runs WHERE closed = 0"
Owners = Callable[[], Mapping[str, str | None]]

WORKFLOW = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "waits"},
    "spec": {
        "entrypoint": "main",
        "templates": [{"dag": {"name": "main", "tasks": [{"name": "job", "executor": {"type": "await", "config": {}}}]}}],
    },
}


class Server:
    def __init__(self, store: str, folder: Path, *, apart: bool) -> None:
        command = [*(APART if apart else ()), *AETHER, "serve", "--store", store, "--http-port", "0", "--no-workers"]
        env = environment(AETHER_PASSIVATE_AFTER="100000")
        self.process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        told = read_until(self.process.stderr, "serving ")
        self.url = next(word for word in told.split() if word.startswith("http://")).rstrip(".,;:")

    def call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(
            f"{self.url}/v1{path}", data, {"content-type": "application/json"}, method=method
        )
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return json.load(answer)

    def end(self, how: int) -> None:
        """Send a signal to the server itself, not to what keeps its namespace."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        line = Path(f"/proc/{pid}/cmdline").read_text()
        target = int(children[0]) if line.startswith("unshare") and children else pid
        subprocess.run(["kill", f"-{how}", str(target)], check=True)

    def gone(self) -> None:
        self.process.kill()
        self.process.communicate()


def play(store: str, owners: Owners, folder: Path, *, how: int, apart: bool, rounds: int, runs: int) -> list[float]:
    """The seconds for which each run was without a server."""
    servers = [Server(store, folder, apart=apart) for _ in range(3)]
    took: list[float] = []
    try:
        for _ in range(runs):
            servers[0].call("POST", "/runs", {"document": WORKFLOW})
        for number in range(rounds):
            _settle(servers, runs)
            at = number % 3
            owned = [one for one in owners().values() if one is not None]
            victim = _owner_of(servers[at], owners)
            mine = {run for run, owner in owners().items() if owner == victim}
            assert 0 < len(mine) < len(owned)
            began = time.perf_counter()
            servers[at].end(how)
            while mine:
                now = owners()
                at_now = time.perf_counter() - began
                moved = {run for run in mine if now.get(run) not in (None, victim)}
                took += [at_now] * len(moved)
                mine -= moved
                time.sleep(0.002)
            servers[at].gone()
            servers[at] = Server(store, folder, apart=apart)
    finally:
        for one in servers:
            one.gone()
    return took


def _settle(servers: list[Server], runs: int) -> None:
    """Wait until the runs are shared evenly, and a second more."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        found = servers[0].call("GET", "/servers")
        counts = [one["runs"] for one in found["servers"]]
        if len(counts) == 3 and sum(counts) == runs and max(counts) <= -(-runs // 3) * 1.1:
            break
        time.sleep(0.1)
    else:
        raise SystemExit(f"the runs were not shared evenly in time: {found}")
    time.sleep(1)


def _owner_of(server: Server, owners: Owners) -> str:
    """The name under which a server holds runs."""
    return next(one for one in owners().values() if one is not None and _is_own(server, one))


def _is_own(server: Server, owner: str) -> bool:
    pid = server.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    inner = Path(f"/proc/{children[0] if children else pid}/ns/pid").readlink()
    named = Path(f"/proc/{pid}/ns/pid").readlink()
    if inner != named:  # apart: each namespace has but one server
        return str(inner).strip("pid:[]") in owner
    return owner.split("|")[1] == str(pid)


def row(name: str, took: list[float]) -> str:
    ordered = sorted(took)

    def at(share: float) -> float:
        return ordered[min(int(len(ordered) * share), len(ordered) - 1)]

    return f"| {name} | {len(took)} | {at(0.5):.2f} | {at(0.9):.2f} | {at(0.99):.2f} | {ordered[-1]:.2f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--runs", type=int, default=60)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="")
    given = parser.parse_args()
    rounds = 3 if given.quick else given.rounds
    folder = Path(tempfile.mkdtemp(prefix="aether-takeover-"))
    folder.chmod(0o755)
    server = PostgresServer(folder / "postgres", ())
    server.start()
    print("| store, how it ends | runs | p50 s | p90 s | p99 s | max s |\n|---|---:|---:|---:|---:|---:|", flush=True)
    rows = [
        ("PostgreSQL, kill -9, apart", "postgres", signal.SIGKILL, True, rounds),
        ("PostgreSQL, kill -9, one machine", "postgres", signal.SIGKILL, False, rounds),
        ("PostgreSQL, SIGTERM, apart", "postgres", signal.SIGTERM, True, rounds),
        ("SQLite, kill -9, one machine", "sqlite", signal.SIGKILL, False, rounds),
        ("SQLite, kill -9, apart (lease of 15 s)", "sqlite", signal.SIGKILL, True, max(rounds // 6, 2)),
        ("SQLite, SIGTERM, one machine", "sqlite", signal.SIGTERM, False, rounds),
    ]
    loop = asyncio.new_event_loop()
    try:
        for number, (name, kind, how, apart, count) in enumerate(rows):
            if given.only not in name:
                continue
            place = folder / str(number)
            place.mkdir()
            if kind == "sqlite":
                store = f"sqlite:{place}/runs.db"

                def owners(file: Path = place / "runs.db") -> Mapping[str, str | None]:
                    with sqlite3.connect(file, timeout=10) as reading:
                        return dict(reading.execute(OWNERS).fetchall())

            else:
                store = f"{server.url}?schema=takeover_{number}"
                made = asyncpg.connect(server.url, server_settings={"search_path": f"takeover_{number}"})
                connection = loop.run_until_complete(made)

                def owners(connection: Any = connection) -> Mapping[str, str | None]:
                    return dict(map(tuple, loop.run_until_complete(connection.fetch(OWNERS))))

            took = play(store, owners, place, how=how, apart=apart, rounds=count, runs=given.runs)
            print(row(name, took), flush=True)
    finally:
        server.stop(signal.SIGQUIT)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
