"""What masking costs: a log that passes the masker of a run with many secrets, beside the same log passed on as it is.

Run: python bench/bench_masking.py [--secrets 100] [--size 32]

The plain copy is what is done with a log anyway: a run whose task prints so much, read from a pipe, decoded, cut into lines and
stored in SQLite. Beside it the bare minimum, a pipe copied to a file. Ratios are of processor time, the least of several runs
in one process.
"""

from __future__ import annotations

import argparse
import os
import random
import string
import tempfile
import threading
import time
from collections.abc import Callable

import aether_protocol
from aether_protocol.execution.masking import Masker, StreamMask

CHUNK = 65_536


def secrets(count: int) -> list[str]:
    """Tokens and passwords of 12 to 60 characters."""
    dice = random.Random(7)
    letters = string.ascii_letters + string.digits + "/+=%&\"' "
    return ["".join(dice.choices(letters, k=dice.randint(12, 60))) for _ in range(count)]


def log_text(size: int) -> bytes:
    lines = (
        f"2026-11-29T12:{i // 60 % 60:02}:{i % 60:02}Z INFO worker.{i % 7} processed batch {i} rows={i * 3} "
        f"path=/var/lib/data/{i * 7919:08x}.parquet\n"
        for i in range(size // 90)
    )
    return "".join(lines).encode()


def passed(data: bytes, feed: Callable[[str], str]) -> float:
    """Seconds of this thread's processor time to take `data` from a pipe to a file."""
    reader, writer = os.pipe()

    def fill() -> None:
        with open(writer, "wb") as pipe:
            pipe.write(data)

    thread = threading.Thread(target=fill)
    thread.start()
    pending = ""
    with tempfile.TemporaryFile("w", encoding="utf-8") as log:
        begin = time.thread_time()
        while chunk := os.read(reader, CHUNK):
            text = pending + chunk.decode("utf-8", "replace")
            end = text.rfind("\n") + 1
            pending = text[end:]
            log.write(feed(text[:end]))
        log.flush()
        spent = time.thread_time() - begin
    thread.join()
    os.close(reader)
    return spent


def run(size: int, given: list[str]) -> float:
    """Seconds of this process's processor time for a run whose task prints `size` MB and has these secrets."""
    lines = "".join(f"batch {i:06} rows={i * 3} path=/var/lib/data/{i * 7919:08x}.parquet ok\\n" for i in range(1000))
    source = f"import os\nfor _ in range({size * 1_000_000 // len(lines)}):\n    os.write(1, b'{lines}')"
    inputs = [
        {"name": f"s{i}", "valueFrom": {"secretKeyRef": {"name": "bench", "key": f"k{i}"}}} for i in range(len(given))
    ]
    task = {
        "name": "main",
        "inputs": {"parameters": inputs},
        "executor": {"type": "script", "config": {"runtime": "python3", "source": source}},
    }
    document = {
        "apiVersion": "aether/v1",
        "kind": "Workflow",
        "metadata": {"name": "bench"},
        "spec": {"entrypoint": "main", "templates": [{"task": task}]},
    }
    secrets = {"bench": {f"k{i}": text for i, text in enumerate(given)}}
    with tempfile.TemporaryDirectory() as folder:
        begin = time.process_time()
        report = aether_protocol.run(document, store=f"sqlite:{folder}/bench.db", secrets=secrets)
        spent = time.process_time() - begin
    assert report.phase == "Succeeded", report.message
    return spent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--secrets", type=int, default=100)
    parser.add_argument("--size", type=int, default=32, help="MB of log")
    options = parser.parse_args()
    given = secrets(options.secrets)
    run(1, [])  # what is imported once
    plain = min(run(options.size, []) for _ in range(3))
    masked = min(run(options.size, given) for _ in range(3))
    print(f"a run that prints {options.size} MB: {plain:.2f} s of CPU, with {options.secrets} secrets {masked:.2f} s: "
          f"{masked / plain:.2f} times")
    data = log_text(options.size * 1_000_000)
    masker = Masker()
    begin = time.process_time()
    masker.learn(given)
    learned = time.process_time() - begin
    plain = min(passed(data, lambda text: text) for _ in range(5))
    masked = min(passed(data, StreamMask(masker).feed) for _ in range(5))
    print(f"{options.secrets} secrets are learned in {learned * 1000:.0f} ms")
    print(f"bare copy from pipe to file {len(data) / plain / 1e6:.0f} MB/s, masked {len(data) / masked / 1e6:.0f} MB/s: "
          f"{masked / plain:.2f} times")


if __name__ == "__main__":
    main()
