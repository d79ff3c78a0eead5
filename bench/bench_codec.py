"""What a record costs: log entries, snapshots and plans written and read, beside msgspec and json on the same JSON.

    python bench/bench_codec.py [--quick]

Every figure is the least of several rounds, in microseconds a task; all columns of a row take turns. The floor of writing is
msgspec (and json) given the finished JSON values, that of reading the text as plain JSON values: what a codec can never beat.
"""

from __future__ import annotations

import argparse
import gc
import json
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

sys.path.insert(0, str(Path(__file__).parent))

from plans import chain

from aether_protocol.plan.codec import decode_plan, encode_plan
from aether_protocol.plan.model import Plan
from aether_protocol.scheduler.attempts import TaskResult
from aether_protocol.scheduler.codec import decode_entry, encode_entry
from aether_protocol.scheduler.commands import Continue, DispatchTask, LogEntry
from aether_protocol.scheduler.events import Continued, Event, RunHeader, Submitted, TaskFinished, TaskStarted
from aether_protocol.scheduler.machine import Machine
from aether_protocol.scheduler.snapshot import restore, snapshot

OUTPUTS: dict[str, Any] = {"rows": 1204, "path": "/data/in/part-0001.parquet", "columns": ["id", "name", "at"]}
LIMITS = {"entries": (2.0, 2.5), "entries, three outputs each": (2.0, 2.5)}  # written and read, in times of msgspec

Row = tuple[str, Callable[[], Sequence[str]], Callable[[Sequence[str]], object]]


def play(plan: Plan, outputs: dict[str, Any]) -> tuple[Machine, list[LogEntry]]:
    """A run of `plan`, each task started and ended by events of its own."""
    machine = Machine(plan)
    entries: list[LogEntry] = []
    todo: list[Event] = [Submitted(0, RunHeader("run", 0, None, {}, {}, 1), "api")]
    now = 0
    while todo:
        entry = machine.handle(todo.pop())
        if entry.facts:
            entries.append(entry)
        for command in entry.commands:
            now += 1_000
            if isinstance(command, Continue):
                todo.append(Continued(now, "driver"))
            elif isinstance(command, DispatchTask):
                node, attempt = command.node, command.assignment.attempt
                todo.append(TaskFinished(now + 500, node, TaskResult(command.assignment.ref, outputs=dict(outputs)), "broker"))
                todo.append(TaskStarted(now, node, attempt, "broker"))
    return machine, entries


def least(rounds: int, columns: Sequence[Callable[[], object]]) -> list[float]:
    """The least CPU seconds of each column."""
    times = [float("inf")] * len(columns)
    for _ in range(rounds):
        for index, column in enumerate(columns):
            gc.collect()
            gc.disable()
            start = time.process_time()
            column()
            times[index] = min(times[index], time.process_time() - start)
            gc.enable()
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, a smaller run")
    options = parser.parse_args()
    size, rounds = (1_000, 5) if options.quick else (5_000, 9)
    plan = chain(size)
    machine, entries = play(plan, {})
    fuller, full = play(plan, OUTPUTS)
    rows: list[Row] = [
        ("entries", lambda: [encode_entry(one) for one in entries], lambda lines: [decode_entry(one) for one in lines]),
        (
            "entries, three outputs each",
            lambda: [encode_entry(one) for one in full],
            lambda lines: [decode_entry(one) for one in lines],
        ),
        ("snapshot", lambda: [snapshot(machine.state)], lambda lines: [restore(plan, one) for one in lines]),
        (
            "snapshot, three outputs each",
            lambda: [snapshot(fuller.state)],
            lambda lines: [restore(plan, one) for one in lines],
        ),
        ("plan", lambda: [encode_plan(plan)], lambda lines: [decode_plan(one) for one in lines]),
    ]
    print("| record | bytes a task | written µs | msgspec | json | read µs | msgspec | json |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    missed = False
    for name, write, read in rows:
        texts = write()
        values = [json.loads(text) for text in texts]
        columns: list[Callable[[], object]] = [
            write,
            lambda values=values: [msgspec.json.encode(one) for one in values],
            lambda values=values: [json.dumps(one) for one in values],
            lambda read=read, texts=texts: read(texts),
            lambda texts=texts: [msgspec.json.decode(one) for one in texts],
            lambda texts=texts: [json.loads(one) for one in texts],
        ]
        written, w_floor, w_json, got, r_floor, r_json = (spent / size * 1e6 for spent in least(rounds, columns))
        ratios = written / w_floor, written / w_json, got / r_floor, got / r_json
        weight = sum(map(len, texts)) / size
        shown = f"{written:.2f} | {ratios[0]:.2f} | {ratios[1]:.2f} | {got:.2f} | {ratios[2]:.2f} | {ratios[3]:.2f}"
        print(f"| {name} | {weight:.0f} | {shown} |")
        limits = LIMITS.get(name)
        missed = missed or (limits is not None and (ratios[0] > limits[0] or ratios[2] > limits[1]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
