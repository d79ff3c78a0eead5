"""A beat beside reports: how late a loop that drives runs comes to its work while reports of 20 000 tasks are made.

    python bench/bench_beat.py [TASKS]

Law: the beat is a sleep of one millisecond; late is what it slept longer. A report is made over and over by the client of the
engine that drives the run, and by one without an engine.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from typing import Any

from aether_protocol import Engine
from aether_protocol.service import client_of, connect
from aether_protocol.service.client import Client

BEAT_S = 0.001
REPORTS = 5


def fan_out(size: int) -> dict[str, Any]:
    tasks = [{"name": f"t{number}", "executor": {"type": "noop"}} for number in range(1, size)]
    tasks.append({"name": "ask", "executor": {"type": "await"}})
    return {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "wide"},
        "spec": {"entrypoint": "main", "templates": [{"dag": {"name": "main", "tasks": tasks}}]},
    }


async def measure(client: Client | None, run: str, what: str) -> None:
    """Print how late the beats were beside reports; without a client, beside nothing."""
    late: list[float] = []
    made = 0.0

    async def reports() -> None:
        nonlocal made
        for _ in range(REPORTS):
            begun = time.perf_counter()
            await (client.runs.report(run) if client is not None else asyncio.sleep(1))
            made += time.perf_counter() - begun

    reading = asyncio.ensure_future(reports())
    while not reading.done():
        begun = time.perf_counter()
        await asyncio.sleep(BEAT_S)
        late.append((time.perf_counter() - begun - BEAT_S) * 1_000)
    await reading
    late.sort()
    p50, p99, worst = late[len(late) // 2], late[len(late) * 99 // 100], late[-1]
    took = f"a report {made / REPORTS * 1_000:5.0f} ms"
    print(f"{what:8} {took}, {len(late)} beats late by p50 {p50:.2f}, p99 {p99:.2f}, at most {worst:.1f} ms")


async def main(tasks: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:{folder}/aether.db"
        async with Engine(store=url) as engine, connect(url) as other:
            run = await engine.submit(fan_out(tasks))
            await client_of(engine).runs.wait(run, or_suspended=True)
            await measure(None, run, "nothing")
            await measure(client_of(engine), run, "driven")
            await measure(other, run, "stored")
            await client_of(engine).control.resume(run, "ask", {})
            await engine.driven.join(run)
            await measure(client_of(engine), run, "ended")


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 20_000))
