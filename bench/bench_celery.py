"""What a task costs through a Celery fleet of ours, beside the same fan-out of no-ops by Celery alone.

    python bench/bench_celery.py [--tasks 1000] [--rounds 3]

Real processes over the loopback: Redis, one Celery worker with one process (`solo`) on each side. Ours is an engine with its
store in memory and `celery+redis://`: each attempt is claimed in the table, carried out in a child process, and its result
comes back from the table in batches. Theirs is a `group` whose results come by Celery's own backend in the same Redis. Wall
time, and CPU of all processes of a side with Redis, in microseconds a task; rounds take turns, and the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from bench_fleet import CELERY_APP, cpu_of, document, end, free_port, wait_for

LIMIT: Final = 3.0  # times the wall time of Celery alone, whose results are not kept and whose tasks cannot be interrupted
QUIET: Final[dict[str, Any]] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}


class Fleet:
    """A Redis and a worker."""

    def __init__(self, folder: Path, app: str) -> None:
        self.port = free_port()
        (folder / "bench_app.py").write_text(CELERY_APP.replace("PORT", str(self.port)))
        self.folder = folder
        redis = ["redis-server", "--port", str(self.port), "--save", "", "--dir", str(folder)]
        self.redis: subprocess.Popen[Any] = subprocess.Popen(redis, cwd=folder, **QUIET)
        wait_for(self.port)
        self.environment = {**os.environ, "AETHER_BROKER": self.url}
        command = [sys.executable, "-m", "celery", "-A", app, "worker", "-P", "solo", "--without-gossip", "-l", "ERROR"]
        self.worker: subprocess.Popen[Any] = subprocess.Popen(command, cwd=folder, env=self.environment, **QUIET)

    @property
    def url(self) -> str:
        return f"celery+redis://127.0.0.1:{self.port}/0"

    def cpu(self) -> float:
        return cpu_of(self.redis.pid) + cpu_of(self.worker.pid)

    def close(self) -> None:
        end(self.worker)
        end(self.redis)


async def our_round(url: str, tasks: int) -> float:
    """Seconds of one fan-out."""
    from aether_protocol import Engine
    from aether_protocol.service import client_of

    async with Engine(broker=url) as engine:
        plan = engine.plan(document(tasks))
        begun = time.perf_counter()
        report = await client_of(engine).runs.wait(await engine.submit(plan))
        assert str(report.phase) == "Succeeded", report.phase
        return time.perf_counter() - begun


def measured(fleet: Fleet, tasks: int, *command: str) -> tuple[float, float]:
    """Wall time and CPU of one round, in microseconds a task; the start of the process that asks is in the CPU."""
    before = fleet.cpu()
    asking = subprocess.Popen(command, cwd=fleet.folder, stdout=subprocess.PIPE, text=True, env=fleet.environment)
    out, _ = asking.communicate()
    if asking.returncode:
        raise SystemExit("a round failed")
    took, spent = map(float, out.split())
    return took / tasks * 1e6, (fleet.cpu() - before + spent) / tasks * 1e6


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=1_000)
    options.add_argument("--rounds", type=int, default=3)
    given = options.parse_args()
    found: dict[str, list[tuple[float, float]]] = {"ours": [], "theirs": []}
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        ours, theirs = Fleet(Path(one), "aether_protocol.celery"), Fleet(Path(other), "bench_app")
        try:
            mine = (sys.executable, str(Path(__file__).resolve()), "our-round", ours.url)
            their_code = (
                "import sys, time, runpy; sys.argv = ['bench_app.py', sys.argv[1]]; "
                "runpy.run_path('bench_app.py', run_name='__main__'); print(time.process_time())"
            )
            for number in range(given.rounds + 1):
                rounds = (
                    ("ours", measured(ours, given.tasks, *mine, str(given.tasks))),
                    ("theirs", measured(theirs, given.tasks, sys.executable, "-c", their_code, str(given.tasks))),
                )
                for name, cost in rounds if number else ():  # the first one begins children
                    found[name].append(cost)
        finally:
            ours.close()
            theirs.close()
    wall, cpu = ({name: statistics.median(one[at] for one in several) for name, several in found.items()} for at in (0, 1))
    print(f"through celery+redis    {wall['ours']:7.0f} us wall a task, {cpu['ours']:6.0f} CPU")
    print(f"Celery alone            {wall['theirs']:7.0f} us wall a task, {cpu['theirs']:6.0f} CPU")
    ratio = wall["ours"] / wall["theirs"]
    print(f"ours takes {ratio:.2f} times the wall time, limit {LIMIT}")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["our-round", url, tasks]:
            print(asyncio.run(our_round(url, int(tasks))), time.process_time())
        case _:
            sys.exit(main())
