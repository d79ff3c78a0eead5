"""What durability costs: the engine on SQLite beside bare SQLite in the same process, and lists of many runs.

    python bench/bench_store.py [--quick] [--profile fan_out:10000]

Every figure is the median of several rounds of wall-clock time; the rounds of floor and engine take turns. The floor of the
fan-out writes two rows of 300 bytes a task, 100 tasks a transaction; that of the chain one row a task and transaction; both
at the `synchronous` of the engine beside them. The state-action-log records every step before its commands go out.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from bench_core import SHAPES
from plans import fan_out

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.sqlite import SqliteStore, open_sqlite
from aether_protocol.adapters.stores.sqlite_runs import ROW as COLUMNS
from aether_protocol.engine.api import Engine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.engine.rows import make_row
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunQuery
from aether_protocol.scheduler.codec import decode_step
from aether_protocol.scheduler.evolve import replay
from aether_protocol.scheduler.snapshot import restore
from aether_protocol.scheduler.state import RunState

ROW = "x" * 300
LIMITS = {"fan_out": 4.0, "chain": 3.0}
SIZES = {"fan_out": 10_000, "chain": 1_000}
LISTED = 100_000
LIST_LIMIT = 2.0
OPEN_TASKS = 98_500  # 100 000 steps, the dearest kind: a plan and a state of as many tasks
OPEN_LIMIT_S, RESUME_LIMIT_S = 1.0, 2.0
KB_A_TASK = 2.0
THRESHOLDS = (50_000, 20, 50)  # of the collector, as the command line sets them

_RESIDENT = """
import sys
sys.path[:0] = {paths!r}
import asyncio, resource
from bench_store import engine
from plans import fan_out
from pathlib import Path
import tempfile
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
plan = fan_out({tasks})
with tempfile.TemporaryDirectory() as home:
    asyncio.run(engine(fan_out(1000), Path(home) / "warm.db", "normal"))
    before = resident()
    asyncio.run(engine(plan, Path(home) / "a.db", "normal"))
    print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1024 / {tasks})
"""


def floor(shape: str, size: int, path: Path, durability: str) -> float:
    """Seconds for bare SQLite to write what is the least for that many tasks."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability.upper()}")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    a_task, at_once = (2, 100) if shape == "fan_out" else (1, 1)
    start = time.perf_counter()
    for first in range(0, size, at_once):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(first * a_task, (first + at_once) * a_task):
            connection.execute("INSERT INTO rows VALUES (?, ?)", (number, ROW))
        connection.execute("COMMIT")
    seconds = time.perf_counter() - start
    connection.close()
    return seconds


async def engine(plan: Plan, path: Path, durability: str) -> float:
    """Seconds for the engine to run `plan` on a new file: local broker, the inline no-op executor."""
    clock = SystemClock()
    store = open_sqlite(str(path), durability=durability)
    async with Engine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as made:
        start = time.perf_counter()
        run = await made.submit(plan)
        await made.join(run)
        seconds = time.perf_counter() - start
        assert made.run_state(run).phase == "Succeeded"
    return seconds


def tasks(home: Path, rounds: int) -> list[str]:
    """The table of fan-out and chain; what was missed."""
    print("| shape | tasks | synchronous | floor µs | engine µs | ratio |")
    print("|---|---:|---|---:|---:|---:|")
    missed = []
    number = 0
    for shape, limit in LIMITS.items():
        size = SIZES[shape]
        plan = SHAPES[shape](size)
        for durability in ("normal", "full"):
            base, whole = [], []
            for _ in range(rounds):
                number += 1
                gc.collect()
                base.append(floor(shape, size, home / f"{number}-floor.db", durability))
                gc.collect()
                whole.append(asyncio.run(engine(plan, home / f"{number}.db", durability)))
            low, high = (statistics.median(values) / size * 1e6 for values in (base, whole))
            print(f"| {shape} | {size} | {durability} | {low:.1f} | {high:.1f} | {high / low:.2f} |", flush=True)
            if high / low > limit:
                missed.append(f"{shape} at {durability}: {high / low:.2f} times the floor, at most {limit:g}")
    return missed


async def _many(store: SqliteStore, count: int) -> None:
    """Runs of one plan, all in one file."""
    plan = fan_out(1)
    state = RunState(plan)
    row = make_row(state)
    async with store._db.write() as execute:
        for number in range(count):
            row.run_id, row.created_at = f"run-{number}", number
            store._insert(execute, row, store.tier, 0, None)


async def _rows(store: SqliteStore, limit: int) -> float:
    start = time.perf_counter()
    assert len(await store.rows(RunQuery(limit=limit))) == limit
    return time.perf_counter() - start


def lists(home: Path, rounds: int) -> list[str]:
    """`rows` over LISTED runs beside the same query by hand."""
    store = open_sqlite(str(home / "many.db"), durability="normal")
    asyncio.run(_many(store, LISTED))
    text = f"SELECT {COLUMNS} FROM runs ORDER BY created_at DESC, run_id DESC LIMIT ?"
    missed = []
    print("\n| rows of 100 000 | bare SQL ms | store ms | ratio |")
    print("|---:|---:|---:|---:|")
    for limit in (100, LISTED):
        base, whole = [], []
        for _ in range(rounds):
            gc.collect()
            start = time.perf_counter()
            assert len(store._db.execute(text, (limit,)).fetchall()) == limit
            base.append(time.perf_counter() - start)
            gc.collect()
            whole.append(asyncio.run(_rows(store, limit)))
        low, high = statistics.median(base) * 1e3, statistics.median(whole) * 1e3
        print(f"| {limit} | {low:.2f} | {high:.2f} | {high / low:.2f} |", flush=True)
        if limit == LISTED and high / low > LIST_LIMIT:
            missed.append(f"{limit} rows: {high / low:.2f} times the bare query, at most {LIST_LIMIT:g}")
    return missed


async def _open(path: Path) -> tuple[float, float, int, int]:
    """CPU seconds to open the only run of a file: from the store alone, and with its state; its steps; lines replayed."""
    store = open_sqlite(str(path))
    [row] = await store.rows(RunQuery())
    start = time.process_time()
    found = await store.load(row.run_id)
    loaded = time.process_time() - start
    state = restore(found.plan, found.snapshot) if found.snapshot is not None else RunState(found.plan)
    for line in found.lines:
        replay(state, decode_step(line, lambda node, name: state.nodes[node].outputs[name]))
    seconds = time.process_time() - start
    await store.close()
    assert state.closed
    return loaded, seconds, row.seq, len(found.lines)


def opening(home: Path) -> list[str]:
    """What it costs to have a long run back."""
    path = home / "long.db"
    asyncio.run(engine(fan_out(OPEN_TASKS), path, "normal"))
    gc.collect()
    gc.set_threshold(*THRESHOLDS)
    loaded, seconds, steps, lines = asyncio.run(_open(path))
    print(f"\nopening a run of {steps} steps: {loaded:.2f} s to load, {seconds:.2f} s with its state ({lines} steps replayed)")
    return [f"opening takes {seconds:.2f} s, at most {OPEN_LIMIT_S:g}"] if seconds > OPEN_LIMIT_S else []


def memory() -> list[str]:
    """Growth of the resident set, in a process of its own."""
    size = 100_000
    code = _RESIDENT.format(paths=[str(Path(__file__).parent)], tasks=size)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    grown = float(done.stdout)
    print(f"\nresident set: {grown:.2f} KB a finished task over a fan-out of {size}")
    return [f"memory: {grown:.2f} KB a task, at most {KB_A_TASK:g}"] if grown > KB_A_TASK else []


def profile(what: str, home: Path) -> None:
    shape, _, size = what.partition(":")
    plan = SHAPES[shape](int(size or SIZES[shape]))
    profiler = cProfile.Profile()
    profiler.enable()
    asyncio.run(engine(plan, home / "profiled.db", "normal"))
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(35)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--profile", metavar="SHAPE:TASKS", help="profile the engine on SQLite instead")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        if options.profile:
            profile(options.profile, home)
            return 0
        rounds = 5 if options.quick else 15
        parts: list[Callable[[], list[str]]] = [
            lambda: tasks(home, rounds),
            lambda: lists(home, rounds),
            lambda: opening(home),
            memory,
        ]
        missed = [line for part in parts for line in part()]
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
