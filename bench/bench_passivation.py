"""What a passivated run costs in memory: runs that wait for an answer, on a SQLite store, passivated as soon as they wait.

    python bench/bench_passivation.py [--runs 100000]

The resident memory of the process is read after a first batch, when everything is loaded and warm, and after all runs; beside
it stands what the same runs cost where they stay in memory (measured on a tenth of them).
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import tempfile
import time
from pathlib import Path

from aether_protocol import Engine
from aether_protocol.ports.store import RunQuery

DOCUMENT = {
    "apiVersion": "aether/v1",
    "kind": "Workflow",
    "metadata": {"name": "asks"},
    "spec": {
        "entrypoint": "main",
        "templates": [{"dag": {"name": "main", "tasks": [{"name": "ask", "executor": {"type": "await"}}]}}],
    },
}
WARM = 1_000


def resident() -> int:
    """The bytes of this process that are in memory."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


async def measure(count: int, passivate_after_s: float | None) -> tuple[float, float, int]:
    """Bytes and microseconds a run, and how many sleep in the end."""
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:{folder}/runs.db?durability=normal"
        async with Engine(store=store, passivate_after_s=passivate_after_s) as engine:
            plan = await engine.resolve(DOCUMENT)

            async def begin(first: int, last: int) -> None:
                for number in range(first, last):
                    await engine.submit(plan, run_id=f"r{number}")
                    if number % 100 == 99:
                        await asyncio.sleep(0.001)
                await asyncio.sleep(0.2)

            await begin(0, WARM)
            before, start = resident(), time.perf_counter()
            await begin(WARM, WARM + count)
            seconds, after = time.perf_counter() - start, resident()
            asleep = len(await engine.store.runs.rows(RunQuery(asleep=True)))
    return (after - before) / count, seconds / count * 1_000_000, asleep


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000)
    count = parser.parse_args().runs
    for name, number, after in (("passivated", count, 0.0), ("in memory", count // 10, None)):
        size, took, asleep = asyncio.run(measure(number, after))
        print(f"{name}: {number} runs, {size:.0f} bytes and {took:.0f} us a run, {asleep} asleep")


if __name__ == "__main__":
    main()
