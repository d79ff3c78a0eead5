"""What a task costs through an engine and a worker behind NATS, beside the bare pipe of the same server.

    python bench/bench_nats.py [--tasks 5000] [--rounds 5]

Real processes over the loopback: nats-server, an engine (store in memory), a worker (supervisor and children), and a fan-out of
no-ops. The pipe is what research measured for this transport: the same assignments, published one by one into a work-queue
stream without waiting for acknowledgements, pulled 32 at a time, decoded, and answered over core NATS with a result each, which
is decoded again; at most 512 under way, nothing behind it. CPU is that of all processes of a side with their server, in
microseconds a task; the sides take turns, each with a server of its own, and the median counts.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import msgspec

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

from bench_fleet import assignment_of_ours, cpu_of, document, end  # noqa: E402

from tests.nats_server import NatsServer, described  # noqa: E402

LIMIT: Final = 2.0
PULL: Final = 32
WINDOW: Final = 512
STREAM: Final = "BARE"


# --- the pipe ---


async def pipe_sender(url: str, tasks: int, assignment: bytes) -> None:
    """Sends so many assignments for each line on standard input; writes how long it took until all results were there."""
    import nats
    from nats.js.api import RetentionPolicy, StorageType

    client = await nats.connect(url, pending_size=64 * 2**20)
    await client.jetstream().add_stream(
        name=STREAM, subjects=["bare.work"], retention=RetentionPolicy.WORK_QUEUE, storage=StorageType.MEMORY
    )
    done, slots, ended = 0, asyncio.Semaphore(WINDOW), asyncio.Event()
    encode = msgspec.json.Encoder().encode

    async def heard(message: Any) -> None:
        nonlocal done
        msgspec.json.decode(message.data)
        slots.release()
        done += 1
        if done == tasks:
            ended.set()

    await client.subscribe("bare.results", cb=heard)
    one = msgspec.json.decode(assignment)
    print("ready", flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        begun, done = time.perf_counter(), 0
        ended.clear()
        for _ in range(tasks):
            await slots.acquire()
            await client.publish("bare.work", encode(one))
        await ended.wait()
        print(json.dumps([time.perf_counter() - begun, "Succeeded"]), flush=True)


async def pipe_worker(url: str) -> None:
    """Pulls, and answers."""
    import nats

    client = await nats.connect(url, pending_size=64 * 2**20)
    jetstream = client.jetstream()
    pulled = await jetstream.pull_subscribe("bare.work", durable="bare", stream=STREAM)
    encode, names = msgspec.json.Encoder().encode, ("taskRunId", "workflowRunId", "attempt", "epoch")
    while True:
        try:
            messages = await pulled.fetch(PULL, timeout=5)
        except TimeoutError:
            continue
        for message in messages:
            assignment = msgspec.json.decode(message.data)
            await client.publish("bare.results", encode({**{name: assignment[name] for name in names}, "code": 0}))
            await message.ack()


# --- ours ---


async def our_engine(url: str, tasks: int) -> None:
    """Runs one fan-out for each line on standard input; writes how long it took."""
    from aether_protocol import Engine
    from aether_protocol.service import client_of

    async with Engine(broker=url) as engine:
        plan = engine.plan(document(tasks))
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            begun = time.perf_counter()
            report = await client_of(engine).runs.wait(await engine.submit(plan))
            print(json.dumps([time.perf_counter() - begun, str(report.phase)]), flush=True)


def our_worker(url: str, slots: int) -> None:
    from aether_protocol.worker.nats.process import NatsWorker

    NatsWorker(url, slots={"tasks": slots}, executors=["noop"]).run()


class Side:
    """Two processes and their server."""

    def __init__(self, folder: Path, tasks: int, first: list[object], second: list[object]) -> None:
        self.tasks = tasks
        self.nats = NatsServer(folder)
        self.nats.start()
        command = [sys.executable, __file__]
        words = [self.nats.url if one == "URL" else str(one) for one in first]
        self.one = subprocess.Popen([*command, *words], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self.one.stdout is not None
        assert self.one.stdout.readline() == "ready\n"
        words = [self.nats.url if one == "URL" else str(one) for one in second]
        self.two = subprocess.Popen([*command, *words], text=True)
        time.sleep(2)
        assert self.nats._process is not None
        self.pids = (self.one.pid, self.two.pid, self.nats._process.pid)
        self.rounds: list[tuple[float, float]] = []
        self.parts: list[list[float]] = []

    def round(self) -> None:
        """One fan-out: CPU and wall time, in microseconds a task."""
        assert self.one.stdin is not None
        assert self.one.stdout is not None
        before = [cpu_of(pid) for pid in self.pids]
        print("go", file=self.one.stdin, flush=True)
        took, phase = json.loads(self.one.stdout.readline())
        assert phase == "Succeeded", phase
        parts = [(cpu_of(pid) - first) / self.tasks * 1e6 for pid, first in zip(self.pids, before, strict=True)]
        self.parts.append(parts)
        self.rounds.append((sum(parts), took / self.tasks * 1e6))

    def medians(self) -> tuple[float, float, list[float]]:
        """CPU and wall of the rounds but the first, and the CPU of each process."""
        cost, wall = (statistics.median(several) for several in zip(*self.rounds[1:], strict=True))
        return cost, wall, [statistics.median(several) for several in zip(*self.parts[1:], strict=True)]

    def close(self) -> None:
        end(self.two)
        end(self.one)
        self.nats.stop()


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--tasks", type=int, default=5_000)
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--slots", type=int, default=1_000)
    given = options.parse_args()
    print(described())
    with tempfile.TemporaryDirectory() as folder:
        pipe = Side(
            Path(folder, "pipe"), given.tasks, ["pipe-sender", "URL", given.tasks, assignment_of_ours().decode()],
            ["pipe-worker", "URL"],
        )
        ours = Side(Path(folder, "ours"), given.tasks, ["our-engine", "URL", given.tasks], ["our-worker", "URL", given.slots])
        try:
            for _ in range(given.rounds + 1):
                pipe.round()
                ours.round()
        finally:
            pipe.close()
            ours.close()
    bare, bare_wall, bare_parts = pipe.medians()
    cost, wall, parts = ours.medians()
    names = "sender {:.0f}, worker {:.0f}, nats-server {:.0f}"
    print(f"bare pipe    {bare:7.1f} us CPU a task ({names.format(*bare_parts)}), {bare_wall:.1f} wall")
    print(f"ours         {cost:7.1f} us CPU a task ({names.format(*parts)}), {wall:.1f} wall")
    print(f"ours is {cost / bare:.2f} times its CPU and {wall / bare_wall:.2f} times its wall time, limit {LIMIT}")
    return int(max(cost / bare, wall / bare_wall) > LIMIT)


if __name__ == "__main__":
    gc.set_threshold(50_000, 20, 50)  # as `aether serve` and `aether worker` set it
    match sys.argv[1:]:
        case ["pipe-sender", url, tasks, assignment]:
            asyncio.run(pipe_sender(url, int(tasks), assignment.encode()))
        case ["pipe-worker", url]:
            asyncio.run(pipe_worker(url))
        case ["our-engine", url, tasks]:
            asyncio.run(our_engine(url, int(tasks)))
        case ["our-worker", url, slots]:
            our_worker(url, int(slots))
        case _:
            sys.exit(main())
