"""How the time of all static checks grows with each list that a document can hold (see README.md).

Law: processor time, doubled sizes, in one process. From the size on that takes 20 ms, no doubling may take more than 2.4 times
as long, up to a megabyte of text. A case that goes beyond 20 s is not taken further.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from statistics import median

from aether_protocol.assembly.files import FileBytes
from aether_protocol.assembly.workspace import DocumentWorkspace
from aether_protocol.cli.render.diagnostics import FORMATS
from bench.growth_documents import CASES, Maker

LIMIT, JUDGED_FROM, LARGEST, LONGEST = 2.4, 0.02, 1_000_000, 20.0
PAIRS = 5  # of a doubling that looks too slow: both sizes in turn, the median of their ratios counts


def check(data: bytes) -> int:
    """Read and check as `aether validate -o json` does; gives the number of findings."""
    workspace = DocumentWorkspace()
    file = workspace.take(FileBytes("big.yaml", data))
    found = workspace.check([[file]])
    FORMATS["json"](found)
    return len(found)


def seconds(data: bytes) -> tuple[float, int]:
    gc.collect()
    start = time.process_time()
    found = check(data)
    return time.process_time() - start, found


def measure(maker: Maker) -> tuple[float, float, int, int]:
    """Worst growth, seconds at the end, bytes at the end, findings at the end."""
    count, worst, before, half = 8, 0.0, 0.0, b""
    while True:
        data = maker(count)
        took, found = seconds(data)
        if before >= JUDGED_FROM:
            ratio = took / before
            if ratio > LIMIT:  # the machine changes its pace between two measures: take turns
                ratio = median(seconds(data)[0] / seconds(half)[0] for _ in range(PAIRS))
            worst = max(worst, ratio)
        if len(data) >= LARGEST or took > LONGEST or (worst > LIMIT and took > 2):
            return worst, took, len(data), found
        count, before, half = count * 2, took, data


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help="parts of the names of cases")
    wanted = parser.parse_args().cases
    check(CASES["tasks"](10))  # imports are not counted
    failed = 0
    print("| list | bytes | s | findings | worst growth |\n|---|---:|---:|---:|---:|")
    for name, maker in CASES.items():
        if wanted and not any(part in name for part in wanted):
            continue
        worst, took, size, found = measure(maker)
        failed += worst > LIMIT
        mark = " **quadratic**" if worst > LIMIT else ""
        print(f"| {name} | {size} | {took:.2f} | {found} | {worst:.2f}{mark} |", flush=True)
    print(f"\n{failed} of {len(CASES)} grow faster than {LIMIT}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
