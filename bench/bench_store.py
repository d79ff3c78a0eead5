"""What durability costs: the engine on SQLite beside bare SQLite, lists of many runs, opening and resuming long ones.

    python bench/bench_store.py [--quick] [--only tasks lists opening resume memory] [--profile fan_out:10000] [--postgres]

The floor of the fan-out writes two rows of 300 bytes a task, 100 tasks a transaction; that of the chain one row a task and
transaction; both at the `synchronous` of the engine beside them. The state-action-log records every step before its commands
go out. Rounds of floor and engine take turns, and the medians of wall-clock time are compared; beside them stands processor
time, of the round that was disturbed least. Commands are whole processes; what they take is processor time of user and system.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import os
import pstats
import resource
import shutil
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
from aether_protocol.adapters.stores.sql.records import ROW as COLUMNS
from aether_protocol.adapters.stores.sqlite.store import SqliteStore, open_sqlite
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.engine.recovery import rebuild
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunQuery
from aether_protocol.scheduler.state import RunState
from aether_protocol.views.summary import make_row

ROW = "x" * 300
LIMITS = {"fan_out": 2.8, "chain": 2.6}
SIZES = {"fan_out": 10_000, "chain": 1_000}
LISTED = 100_000
LIST_LIMIT = 2.0
OPEN_TASKS = 98_500  # 100 000 steps, the dearest kind: a plan and a state of as many tasks
LEFT_TASKS, LEFT_AT = 100_000, 99_900  # a run that is left at that step: just before its next snapshot
OPEN_LIMIT_S, RESUME_LIMIT_S = 1.0, 2.0
KB_A_TASK = 2.0
THRESHOLDS = (50_000, 20, 50)  # of the collector, as the command line sets them
COMMANDS = 7  # runs of a command, at least

_CHILD = """
import sys
sys.path[:0] = {paths!r}
import bench_store
bench_store.{call}
"""


def child(call: str) -> list[float]:
    """The numbers that a function of this file prints, in a process of its own."""
    code = _CHILD.format(paths=[str(Path(__file__).parent)], call=call)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return [float(word) for word in done.stdout.split()]


# --- tasks -----------------------------------------------------------------------------------------------------------


def floor(shape: str, size: int, path: Path, durability: str) -> tuple[float, float]:
    """Wall-clock and processor seconds for bare SQLite to write what is the least for that many tasks."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {durability.upper()}")
    connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
    a_task, at_once = (2, 100) if shape == "fan_out" else (1, 1)
    start, used = time.perf_counter(), time.process_time()
    for first in range(0, size, at_once):
        connection.execute("BEGIN IMMEDIATE")
        for number in range(first * a_task, (first + at_once) * a_task):
            connection.execute("INSERT INTO rows VALUES (?, ?)", (number, ROW))
        connection.execute("COMMIT")
    took = time.perf_counter() - start, time.process_time() - used
    connection.close()
    return took


async def engine(plan: Plan, path: Path, durability: str) -> tuple[float, float]:
    """Wall-clock and processor seconds for the engine to run `plan` on a new file: local broker, the inline no-op executor."""
    clock = SystemClock()
    store = open_sqlite(str(path), durability=durability)
    async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as made:
        start, used = time.perf_counter(), time.process_time()
        run = await made.submit(plan)
        await made.driven.join(run)
        took = time.perf_counter() - start, time.process_time() - used
        assert made.driven.state(run).phase == "Succeeded"
    return took


def tasks(home: Path, rounds: int) -> list[str]:
    """The table of fan-out and chain; what was missed."""
    print("| shape | tasks | synchronous | floor µs | engine µs | ratio | floor CPU µs | engine CPU µs | ratio |")
    print("|---|---:|---|---:|---:|---:|---:|---:|---:|")
    missed = []
    number = 0
    for shape, limit in LIMITS.items():
        size = SIZES[shape]
        plan = SHAPES[shape](size)
        for durability in ("normal", "full"):
            base, whole = [], []
            for _ in range(rounds if durability == "normal" else max(rounds // 3, 5)):  # the disk takes its time
                number += 1
                gc.collect()
                base.append(floor(shape, size, home / f"{number}-floor.db", durability))
                gc.collect()
                whole.append(asyncio.run(engine(plan, home / f"{number}.db", durability)))
            cells, ratios = [], []  # wall-clock time, processor time
            for clock, of in ((0, statistics.median), (1, min)):
                low, high = (of([took[clock] for took in many]) / size * 1e6 for many in (base, whole))
                ratios.append(high / low)
                cells.append(f"{low:.1f} | {high:.1f} | {high / low:.2f}")
            print(f"| {shape} | {size} | {durability} | {cells[0]} | {cells[1]} |", flush=True)
            if ratios[0] > limit:
                missed.append(f"{shape} at {durability}: {ratios[0]:.2f} times the floor, at most {limit:g}")
    return missed


# --- commands and lists ----------------------------------------------------------------------------------------------


def command(*arguments: str, cache: Path) -> float:
    """Processor seconds of `aether ...`, of the whole process; compiled modules are in `cache`, as of an installed package."""
    env = {**os.environ, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONDONTWRITEBYTECODE": ""}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    called = [sys.executable, "-m", "aether_protocol.cli", *arguments]
    subprocess.run(called, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True, env=env)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def commands(home: Path, several: dict[str, tuple[str, ...]], rounds: int) -> dict[str, float]:
    """The medians, in turns."""
    took: dict[str, list[float]] = {name: [] for name in several}
    for number in range(max(rounds, COMMANDS) + 1):
        for name, arguments in several.items():
            seconds = command(*arguments, cache=home / "compiled")
            if number:  # the first one has compiled
                took[name].append(seconds)
    return {name: statistics.median(seconds) for name, seconds in took.items()}


async def _many(store: SqliteStore, count: int) -> None:
    """Runs of one plan, all in one file."""
    plan = fan_out(1)
    state = RunState(plan)
    row = make_row(state)
    async with store.database.write() as execute:
        for number in range(count):
            row.run_id, row.created_at = f"run-{number}", number
            store.runs._insert(execute, row, store.tier, 0, None)


async def _rows(store: SqliteStore, limit: int) -> None:
    assert len(await store.runs.rows(RunQuery(limit=limit))) == limit


def lists(home: Path, rounds: int) -> list[str]:
    """`rows` over LISTED runs beside the same query by hand, and `aether ls` beside that and the start of a process."""
    path = str(home / "many.db")
    store = open_sqlite(path, durability="normal")
    asyncio.run(_many(store, LISTED))
    text = f"SELECT {COLUMNS} FROM runs ORDER BY created_at DESC, run_id DESC LIMIT ?"
    where = ("--store", f"sqlite:{path}")
    several = {"start-up": ("--version",), "50": ("ls", *where), f"{LISTED}": ("ls", "--limit", str(LISTED), *where)}
    took = commands(home, several, rounds)
    print(f"\nstart-up (aether --version): {took['start-up']:.3f} s of processor time")
    print("\n| newest of 100 000 | bare SQL ms | store ms | ratio | start-up + SQL ms | aether ls ms | ratio |")
    print("|---:|---:|---:|---:|---:|---:|---:|")
    missed = []
    for limit in (50, LISTED):
        base, whole = [], []
        for _ in range(rounds):
            gc.collect()
            start = time.process_time()
            assert len(store.database.execute(text, (limit,)).fetchall()) == limit
            base.append(time.process_time() - start)
            gc.collect()
            start = time.process_time()
            asyncio.run(_rows(store, limit))
            whole.append(time.process_time() - start)
        low, high, listed = statistics.median(base), statistics.median(whole), took[str(limit)]
        least = low + took["start-up"]
        cells = [f"{low * 1e3:.1f} | {high * 1e3:.1f} | {high / low:.2f}", f"{least * 1e3:.0f} | {listed * 1e3:.0f}"]
        print(f"| {limit} | {' | '.join(cells)} | {listed / least:.2f} |", flush=True)
        if listed / least > LIST_LIMIT:
            missed.append(f"aether ls of {limit}: {listed / least:.2f} times start-up and query, at most {LIST_LIMIT:g}")
    asyncio.run(store.close())
    return missed


# --- long runs -------------------------------------------------------------------------------------------------------


async def _opened(path: str) -> None:
    """Print processor seconds to open the only run of a file: from the store, and with its state; steps, steps replayed."""
    store = open_sqlite(path)
    [row] = await store.runs.rows(RunQuery())
    start = time.process_time()
    found = await store.runs.load(row.run_id)
    loaded = time.process_time() - start
    rebuild(found)
    print(loaded, time.process_time() - start, row.seq, len(found.lines))
    await store.close()


def print_opened(path: str) -> None:
    gc.set_threshold(*THRESHOLDS)
    asyncio.run(_opened(path))


def opening(home: Path, rounds: int) -> list[str]:
    """What it costs to have a long run back, and to show it."""
    path = str(home / "long.db")
    asyncio.run(engine(fan_out(OPEN_TASKS), Path(path), "normal"))
    found = [child(f"print_opened({path!r})") for _ in range(rounds)]
    loaded, state = (statistics.median([one[column] for one in found]) for column in (0, 1))
    steps, lines = found[0][2:]
    show = ("show", "latest", "--store", f"sqlite:{path}")
    took = commands(home, {"text": show, "json": (*show, "--output", "json")}, rounds)
    print(f"\nopening a run of {steps:.0f} steps ({lines:.0f} of them replayed), seconds of processor time:")
    print(f"{loaded:.2f} to load it, {state:.2f} with its state; aether show {took['text']:.2f}, as JSON {took['json']:.2f}")
    missed = {"opening": state, "aether show": took["text"]}
    return [f"{name} takes {value:.2f} s, at most {OPEN_LIMIT_S:g}" for name, value in missed.items() if value > OPEN_LIMIT_S]


async def _leave(path: Path) -> None:
    """A run that its engine leaves at step LEFT_AT."""
    clock = SystemClock()
    store = open_sqlite(str(path), durability="normal")
    async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as made:
        run = await made.submit(fan_out(LEFT_TASKS))
        while made.driven.state(run).seq < LEFT_AT:  # noqa: ASYNC110  # the driver yields once in a turn
            await asyncio.sleep(0)
        await made._driver.halt()


async def _resumed(path: str) -> None:
    """Print processor seconds until an engine has the only run of a file back and goes on with it; its steps."""
    clock = SystemClock()
    store = open_sqlite(path, durability="normal")
    broker = LocalBroker([NoopExecutor()], clock)
    async with RunEngine(store=store, broker=broker, clock=clock, ids=RandomIds()) as made:
        start = time.process_time()
        [run] = await made.recover()
        used = time.process_time() - start
        print(used, made.driven.state(run).seq)
        await made._driver.halt()


def print_resumed(path: str) -> None:
    gc.set_threshold(*THRESHOLDS)
    asyncio.run(_resumed(path))


def resuming(home: Path, rounds: int) -> list[str]:
    """What it costs to go on with a long run."""
    left = home / "left.db"
    asyncio.run(_leave(left))
    found = []
    for number in range(rounds):
        copy = home / f"left-{number}.db"
        shutil.copy(left, copy)
        found.append(child(f"print_resumed({str(copy)!r})"))
    with sqlite3.connect(left) as connection:
        [saved] = connection.execute("SELECT seq FROM snapshots").fetchone()
    connection.close()
    seconds, steps = statistics.median([one[0] for one in found]), found[0][1]
    print(f"\nresuming a run left at step {steps:.0f}: {seconds:.2f} s of processor time ({steps - saved:.0f} steps replayed)")
    return [f"resuming takes {seconds:.2f} s, at most {RESUME_LIMIT_S:g}"] if seconds > RESUME_LIMIT_S else []


# --- memory ----------------------------------------------------------------------------------------------------------


def print_grown(size: int) -> None:
    """Print by how many KB a task the resident set has grown at its highest."""
    plan = fan_out(size)
    with tempfile.TemporaryDirectory() as home:
        asyncio.run(engine(fan_out(1000), Path(home) / "warm.db", "normal"))
        before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        asyncio.run(engine(plan, Path(home) / "a.db", "normal"))
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / 1024 / size)


def memory() -> list[str]:
    """Growth of the resident set, in a process of its own."""
    size = 100_000
    [grown] = child(f"print_grown({size})")
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
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--only", nargs="+", metavar="PART", help="tasks, lists, opening, resume, memory")
    parser.add_argument("--profile", metavar="SHAPE:TASKS", help="profile the engine on SQLite instead")
    parser.add_argument("--postgres", action="store_true", help="the engine on PostgreSQL beside bare asyncpg instead")
    options = parser.parse_args()
    if options.postgres:
        import bench_postgres  # asyncpg is an extra

        missed = bench_postgres.tasks(5 if options.quick else 15)
        for line in missed:
            print(f"missed: {line}")
        return 1 if missed else 0
    with tempfile.TemporaryDirectory() as text:
        home = Path(text)
        if options.profile:
            profile(options.profile, home)
            return 0
        rounds, few = (5, 3) if options.quick else (25, 9)
        parts: dict[str, Callable[[], list[str]]] = {
            "tasks": lambda: tasks(home, rounds),
            "lists": lambda: lists(home, few),
            "opening": lambda: opening(home, few),
            "resume": lambda: resuming(home, few),
            "memory": memory,
        }
        missed = [line for name in options.only or parts for line in parts[name]()]
    for line in missed:
        print(f"missed: {line}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
