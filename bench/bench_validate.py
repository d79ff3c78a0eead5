"""How long commands and checks take, beside their floors, in one run (see README.md).

Law: CPU time, floors and candidates in turn, the median of their ratios. `validate` of a page, `run` of a hello and `ls` as
whole processes in a folder without settings, beside `python -c "import click"`. A document of 10 000 tasks inside of one
process (read, checked against the schema, modelled, compiled with all static checks), beside our own event loader alone for
the same bytes; and as a dict, in µs a task.
"""

from __future__ import annotations

import compileall
import gc
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aether_protocol.assembly.documents import load_plan
from aether_protocol.assembly.workspace import collector_held
from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import TemplateLibrary
from aether_protocol.documents.load import load_bytes
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import DocumentLimits
from aether_protocol.plan.executors import ExecutorType

ROUNDS = 9
ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "examples" / "workflows" / "release.yaml"
HELLO = """apiVersion: aether/v1
kind: Workflow
metadata: { name: hello }
spec:
  entrypoint: hello
  templates:
    - task: { name: hello, executor: { type: echo } }
"""
FLOOR = (sys.executable, "-c", "import click")
LIMITS = {"validate": 3.0, "run": 4.0, "ls": 2.2}
LIMIT_BIG = 1.6
LIMIT_DICT = 30.0
TYPES = {"noop": ExecutorType("noop", "nothing")}


def big_document(tasks: int) -> bytes:
    """A dag of `tasks` calls with one dependency and one argument each, as YAML."""
    head = """apiVersion: aether/v1
kind: Workflow
metadata: { name: big }
spec:
  entrypoint: main
  templates:
    - task:
        name: work
        inputs: { parameters: [ { name: n, type: integer } ] }
        executor: { type: noop }
    - dag:
        name: main
        tasks:
"""
    lines = [head]
    for number in range(tasks):
        lines.append(f"          - name: t{number}\n            template: work\n")
        if number:
            lines.append(f"            dependencies: [t{number // 2}]\n")
        lines.append(
            f"            arguments:\n              parameters:\n                - name: n\n                  value: {number}\n"
        )
    return "".join(lines).encode()


def big_dict(tasks: int) -> dict[str, Any]:
    """The same as a dict."""
    calls: list[dict[str, Any]] = [
        {
            "name": f"t{number}",
            "template": "work",
            "arguments": {"parameters": [{"name": "n", "value": number}]},
            **({"dependencies": [f"t{number // 2}"]} if number else {}),
        }
        for number in range(tasks)
    ]
    inputs = {"parameters": [{"name": "n", "type": "integer"}]}
    templates = [
        {"task": {"name": "work", "inputs": inputs, "executor": {"type": "noop"}}},
        {"dag": {"name": "main", "tasks": calls}},
    ]
    spec = {"entrypoint": "main", "templates": templates}
    return {"apiVersion": "aether/v1", "kind": "Workflow", "metadata": {"name": "big"}, "spec": spec}


def seconds(call: Callable[[], object]) -> float:
    """CPU time in this process."""
    gc.collect()
    start = time.process_time()
    call()
    return time.process_time() - start


def process(folder: str, *command: str) -> float:
    """CPU time of a process in `folder`."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, capture_output=True, cwd=folder, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def validate(data: bytes) -> None:
    with collector_held():  # as every door to the compiler does
        loaded = load_bytes(data, "big.yaml")
        compiled = compile_document(loaded.documents[0], TemplateLibrary(), CompileOptions(executor_types=TYPES))
    assert compiled.plan is not None
    assert not loaded.diagnostics
    assert not compiled.diagnostics


def row(what: str, floors: list[float], times: list[float], limit: float) -> bool:
    """Print one ratio; whether it is beyond its limit."""
    ratio = statistics.median(one / floor for one, floor in zip(times, floors, strict=True))
    print(f"| {what} | {statistics.median(floors):.3f} | {statistics.median(times):.3f} | {ratio:.2f} | {limit} |")
    return ratio > limit


def main() -> int:
    compileall.compile_dir(ROOT / "aether_protocol", quiet=2)  # an installed package has its bytecode
    data, value = big_document(10_000), big_dict(10_000)
    floors: list[float] = []
    loads: list[float] = []
    wholes: list[float] = []
    dicts: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        hello, store = Path(folder, "hello.yaml"), f"sqlite:{folder}/runs.db"
        hello.write_text(HELLO)
        aether = (sys.executable, "-m", "aether_protocol.cli")
        commands = {
            "validate": (*aether, "validate", str(PAGE)),
            "run": (*aether, "run", str(hello), "--quiet", "--store", store),
            "ls": (*aether, "ls", "--store", store),
        }
        process(folder, *commands["run"])
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(ROUNDS):
            floors.append(process(folder, *FLOOR))
            for name, command in commands.items():
                times[name].append(process(folder, *command))
            loads.append(seconds(lambda: parse(data, "big.yaml", DocumentLimits())))
            wholes.append(seconds(lambda: validate(data)))
            dicts.append(seconds(lambda: load_plan(value, types=TYPES)))
    print("| what | floor s | here s | ratio | limit |\n|---|---:|---:|---:|---:|")
    late = [row(f"`{name}`, whole process", floors, times[name], LIMITS[name]) for name in commands]
    late.append(row("10 000 tasks of YAML, in process", loads, wholes, LIMIT_BIG))
    task = min(dicts) * 1e6 / 10_000
    print(f"\n10 000 tasks of a dict to a plan: {task:.1f} µs a task, at most {LIMIT_DICT}")
    return int(any(late) or task > LIMIT_DICT)


if __name__ == "__main__":
    sys.exit(main())
