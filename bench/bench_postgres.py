# ruff: noqa: E402 - the path comes first
"""The engine on PostgreSQL beside bare asyncpg: `bench_store.py --postgres` runs it.

The floor of the chain commits one row of 300 bytes a task; that of the fan-out a row of 200 lines of 300 bytes a hundred tasks,
one commit each: what the engine writes at least, by the same driver, on the same server, in turns with the engine.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

import asyncpg
from bench_core import SHAPES

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.postgres.store import APPENDS, open_postgres
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.errors import AetherError
from aether_protocol.plan.model import Plan
from aether_protocol.ports.store import RunAppend
from tests.postgres import VARIABLE, PostgresServer, binaries, described

ROW = "x" * 300
LIMITS = {"fan_out": 2.0, "chain": 2.0}
SIZES = {"fan_out": 10_000, "chain": 1_000}
MANY = 200  # small runs


async def floor(url: str, shape: str, size: int, durability: str) -> tuple[float, float]:
    """Wall-clock and processor seconds for bare asyncpg to write what is the least for that many tasks."""
    commit = "on" if durability == "full" else "off"
    connection = await asyncpg.connect(url, server_settings={"synchronous_commit": commit})
    await connection.execute("DROP TABLE IF EXISTS bench_floor; CREATE TABLE bench_floor (id bigint PRIMARY KEY, text text)")
    a_row, text = (100, ROW * 200) if shape == "fan_out" else (1, ROW)
    insert = await connection.prepare("INSERT INTO bench_floor VALUES ($1, $2)")
    start, used = time.perf_counter(), time.process_time()
    for number in range(0, size, a_row):
        await insert.fetch(number, text)
    took = time.perf_counter() - start, time.process_time() - used
    await connection.close()
    return took


async def engine(url: str, plan: Plan, durability: str) -> tuple[float, float]:
    """Wall-clock and processor seconds for the engine to run `plan`: local broker, the inline no-op executor."""
    clock = SystemClock()
    store = open_postgres(url, schema="bench", durability=durability)
    async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as made:
        await made.driven.join(await made.submit(SHAPES["chain"](3), run_id=uuid4().hex))  # connected, prepared
        start, used = time.perf_counter(), time.process_time()
        run = await made.submit(plan, run_id=uuid4().hex)
        await made.driven.join(run)
        took = time.perf_counter() - start, time.process_time() - used
        assert made.driven.state(run).phase == "Succeeded"
    return took


async def runs_a_second(url: str, durability: str, at_once: int) -> tuple[float, int]:
    """How many runs of a chain of 5 end in a second, of 200 that are submitted at once; how many appends were on their way."""
    clock, plan = SystemClock(), SHAPES["chain"](5)
    store = open_postgres(url, schema="bench", durability=durability)
    store.appends_at_once = at_once
    inner, going, most = store.runs.append, 0, 0

    async def append(batch: Sequence[RunAppend]) -> Mapping[str, AetherError]:
        nonlocal going, most
        going += 1
        most = max(most, going)
        try:
            return await inner(batch)
        finally:
            going -= 1

    store.runs.append = append  # type: ignore[method-assign]
    async with RunEngine(store=store, broker=LocalBroker([NoopExecutor()], clock), clock=clock, ids=RandomIds()) as made:
        await made.driven.join(await made.submit(SHAPES["chain"](3), run_id=uuid4().hex))

        async def one() -> None:
            await made.driven.join(await made.submit(plan, run_id=uuid4().hex))

        start = time.perf_counter()
        await asyncio.gather(*(one() for _ in range(MANY)))
        return MANY / (time.perf_counter() - start), most


def tasks(rounds: int) -> list[str]:
    """The table of fan-out and chain; what was missed."""
    if os.environ.get(VARIABLE):
        return measured(os.environ[VARIABLE], rounds)
    if binaries() is None:
        return [f"PostgreSQL: {described()}"]
    folder = Path(tempfile.mkdtemp(prefix="aether-bench-"))
    server = PostgresServer(folder, ())  # as it comes: a commit is on the disk
    server.start()
    try:
        return measured(server.url, rounds)
    finally:
        server.stop()
        shutil.rmtree(folder)


def measured(url: str, rounds: int) -> list[str]:
    """Measure on the server of a URL."""
    print(f"PostgreSQL: {described()}")
    print("| shape | tasks | synchronous_commit | floor µs | engine µs | ratio | floor CPU µs | engine CPU µs |")
    print("|---|---:|---|---:|---:|---:|---:|---:|")
    missed = []
    for shape, limit in LIMITS.items():
        size = SIZES[shape]
        plan = SHAPES[shape](size)
        for durability in ("normal", "full"):
            base, whole = [], []
            for _ in range(rounds):
                base.append(asyncio.run(floor(url, shape, size, durability)))
                whole.append(asyncio.run(engine(url, plan, durability)))
            low, high = (statistics.median([took[0] for took in many]) / size * 1e6 for many in (base, whole))
            cpu = [min(took[1] for took in many) / size * 1e6 for many in (base, whole)]
            commit = "on" if durability == "full" else "off"
            print(
                f"| {shape} | {size} | {commit} | {low:.1f} | {high:.1f} | {high / low:.2f} | {cpu[0]:.1f} | {cpu[1]:.1f} |",
                flush=True,
            )
            if high / low > limit:
                missed.append(f"{shape} at synchronous_commit {commit}: {high / low:.2f} times the floor, at most {limit:g}")
    for durability in ("normal", "full"):
        for at_once in (1, APPENDS):
            found = [asyncio.run(runs_a_second(url, durability, at_once)) for _ in range(rounds)]
            rate, most = statistics.median([rate for rate, _ in found]), max(most for _, most in found)
            print(f"{MANY} runs of a chain of 5, {durability}: {rate:.0f} runs/s with {most} appends at once", flush=True)
    return missed


if __name__ == "__main__":
    for line in tasks(5):
        print(f"missed: {line}")
