"""What a task costs: the scheduler alone and the whole engine, beside a bare graphlib loop in the same process.

    python bench/bench_core.py [--quick] [--profile fan_out:10000]

Every figure is the median of several rounds, in microseconds a task; the rounds of all columns take turns, so that a
machine that slows down slows all of them down. Ratios are to the floor of the same shape and size.
"""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import gc
import pstats
import statistics
import sys
import time
from collections.abc import Callable
from graphlib import TopologicalSorter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from plans import chain, fan_out

from aether_protocol.adapters.brokers.local import LocalBroker
from aether_protocol.adapters.executors.noop import NoopExecutor
from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.engine.api import RunEngine
from aether_protocol.engine.clock import SystemClock
from aether_protocol.engine.ids import RandomIds
from aether_protocol.plan.model import DagDef, Plan
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.commands import Continue, DispatchTask
from aether_protocol.scheduler.events import Continued, RunHeader, Submitted, TaskFinished
from aether_protocol.scheduler.machine import Machine

SHAPES: dict[str, Callable[[int], Plan]] = {"fan_out": fan_out, "chain": chain}
SIZES = [("fan_out", 1_000), ("fan_out", 10_000), ("fan_out", 100_000), ("chain", 1_000), ("chain", 10_000)]
LIMITS = {("fan_out", 1_000): (6.0, 6.0), ("chain", 1_000): (6.0, 7.5)}  # scheduler, engine
GROWTH = 1.25  # of the time a task takes, from 1 000 to 100 000


def _call() -> None:
    """What a task of the floor does."""


def floor(plan: Plan) -> float:
    """Seconds for a graphlib loop over the same graph that calls a function for each task."""
    dag = plan.root.target
    assert isinstance(dag, DagDef)
    graph = {call.position: call.dependencies for call in dag.tasks}
    work = {call.position: _call for call in dag.tasks}
    start = time.process_time()
    sorter = TopologicalSorter(graph)
    sorter.prepare()
    while sorter.is_active():
        for node in sorter.get_ready():
            work[node]()
            sorter.done(node)
    return time.process_time() - start


def scheduler(plan: Plan) -> float:
    """Seconds for the machine alone: every assignment is answered with a result."""
    machine = Machine(plan)
    start = time.process_time()
    step = machine.handle(Submitted(0, RunHeader("r", 0, None, {}, {}, 1), "bench"))
    todo = list(step.commands)
    at = 0
    while todo:
        commands, todo = todo, []
        for command in commands:
            if isinstance(command, DispatchTask):
                event = TaskFinished(0, command.node, TaskResult(command.assignment.ref), "bench")
                todo += machine.handle(event).commands
            elif isinstance(command, Continue):
                todo += machine.handle(Continued(at, "bench")).commands
    seconds = time.process_time() - start
    assert machine.state.closed
    return seconds


async def _engine(plan: Plan) -> float:
    clock = SystemClock()
    broker = LocalBroker([NoopExecutor()], clock)
    async with RunEngine(store=MemoryStore(), broker=broker, clock=clock, ids=RandomIds()) as engine:
        start = time.process_time()
        run = await engine.submit(plan)
        await engine.driven.join(run)
        seconds = time.process_time() - start
        assert engine.driven.state(run).phase == "Succeeded"
    return seconds


def engine(plan: Plan) -> float:
    """Seconds for the whole engine: memory store, local broker, the inline no-op executor."""
    return asyncio.run(_engine(plan))


COLUMNS: dict[str, Callable[[Plan], float]] = {"floor": floor, "scheduler": scheduler, "engine": engine}


def measure(shape: str, size: int, rounds: int) -> dict[str, float]:
    """Median microseconds a task, by column."""
    plan = SHAPES[shape](size)
    seconds: dict[str, list[float]] = {name: [] for name in COLUMNS}
    for _ in range(rounds):
        for name, run in COLUMNS.items():
            gc.collect()
            seconds[name].append(run(plan))
    return {name: statistics.median(values) / size * 1e6 for name, values in seconds.items()}


def table(rounds: int) -> int:
    """Print the table; the number of targets that were missed."""
    print("| shape | tasks | graphlib µs | scheduler µs | ratio | engine µs | ratio |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    found: dict[tuple[str, int], dict[str, float]] = {}
    for shape, size in SIZES:
        got = found[shape, size] = measure(shape, size, max(5, rounds * 1_000 // size))
        base = got["floor"]
        alone, whole = got["scheduler"], got["engine"]
        print(
            f"| {shape} | {size} | {base:.2f} | {alone:.2f} | {alone / base:.1f} | {whole:.2f} | {whole / base:.1f} |",
            flush=True,
        )
    missed = []
    for key, limits in LIMITS.items():
        for name, limit in zip(("scheduler", "engine"), limits, strict=True):
            ratio = found[key][name] / found[key]["floor"]
            if ratio > limit:
                missed.append(f"{name} of {key[0]} {key[1]}: {ratio:.1f} times the floor, at most {limit:g}")
    for name in ("scheduler", "engine"):
        growth = found["fan_out", 100_000][name] / found["fan_out", 1_000][name]
        print(f"\n{name}: a task costs {growth:.2f} times as much in 100 000 as in 1 000")
        if growth > GROWTH:
            missed.append(f"{name} grows {growth:.2f} times, at most {GROWTH:g}")
    for line in missed:
        print(f"missed: {line}")
    return len(missed)


def profile(what: str) -> None:
    shape, _, size = what.partition(":")
    plan = SHAPES[shape](int(size or 10_000))
    profiler = cProfile.Profile()
    profiler.enable()
    engine(plan)
    profiler.disable()
    pstats.Stats(profiler).sort_stats("tottime").print_stats(30)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds")
    parser.add_argument("--profile", metavar="SHAPE:TASKS", help="profile the engine instead")
    options = parser.parse_args()
    if options.profile:
        profile(options.profile)
        return 0
    return 1 if table(9 if options.quick else 41) else 0


if __name__ == "__main__":
    sys.exit(main())
