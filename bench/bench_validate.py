"""How long `aether validate` takes, beside its floors, in one run (see README.md).

Law: two ratios. A one-page document as a whole process, beside the imports that it cannot do without. A document of 10 000
tasks inside of one process (read, checked against the schema, modelled, compiled with all static checks), beside our own
event loader alone for the same bytes.
"""

from __future__ import annotations

import compileall
import gc
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from aether_protocol.compiler.compile import CompileOptions, compile_document
from aether_protocol.documents.library import Library
from aether_protocol.documents.load import load_bytes
from aether_protocol.documents.parse import parse
from aether_protocol.documents.source import Limits
from aether_protocol.plan.executors import ExecutorType

ROUNDS = 9
PAGE = Path(__file__).parents[1] / "examples" / "workflows" / "release.yaml"
FLOOR = "import click, ruamel.yaml; from pydantic import BaseModel"
LIMIT_PAGE, LIMIT_BIG = 2.5, 4.0


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


def seconds(call: Callable[[], object], clock: Callable[[], float]) -> float:
    gc.collect()
    start = clock()
    call()
    return clock() - start


def process(*command: str) -> float:
    return seconds(lambda: subprocess.run(command, check=True, capture_output=True), time.perf_counter)


def validate(data: bytes) -> None:
    loaded = load_bytes(data, "big.yaml")
    options = CompileOptions(executor_types={"noop": ExecutorType("noop", "nothing")})
    compiled = compile_document(loaded.documents[0], Library(), options)
    assert compiled.plan is not None
    assert not loaded.diagnostics
    assert not compiled.diagnostics


def main() -> int:
    compileall.compile_dir(PAGE.parents[2] / "aether_protocol", quiet=2)  # an installed package has its bytecode
    data = big_document(10_000)
    floors, pages, loads, wholes = [], [], [], []
    for _ in range(ROUNDS):
        floors.append(process(sys.executable, "-c", FLOOR))
        pages.append(process(sys.executable, "-m", "aether_protocol.cli", "validate", str(PAGE)))
        loads.append(seconds(lambda: parse(data, "big.yaml", Limits()), time.process_time))
        wholes.append(seconds(lambda: validate(data), time.process_time))
    page = statistics.median(p / f for p, f in zip(pages, floors, strict=True))
    big = statistics.median(w / b for w, b in zip(wholes, loads, strict=True))
    print("| what | floor s | here s | ratio | limit |\n|---|---:|---:|---:|---:|")
    row = "| {} | {:.3f} | {:.3f} | {:.2f} | {} |"
    print(row.format("one page, whole process", statistics.median(floors), statistics.median(pages), page, LIMIT_PAGE))
    print(row.format("10 000 tasks, in process", statistics.median(loads), statistics.median(wholes), big, LIMIT_BIG))
    return int(page > LIMIT_PAGE or big > LIMIT_BIG)


if __name__ == "__main__":
    sys.exit(main())
