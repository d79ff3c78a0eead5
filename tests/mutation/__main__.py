"""The mutation check: `python -m tests.mutation [RULE ...]` puts each fault into a copy of the package and runs all cases; with
`--simulation` each fault of durable runs, and plays seeds of the simulation, or runs the tests that the fault names.

Law: the checkout is never written to. Each fault is tried alone, in a process of its own, and counts as detected when a case
does not pass, or a seed breaks a law. The check fails if a fault survives, does not fit its file, or if a rule that must have
one has none.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.mutation import (
    faults_celery,
    faults_data,
    faults_durable,
    faults_fleet,
    faults_nats,
    faults_run,
    faults_serve,
    faults_share,
    faults_simulated_fleet,
    faults_simulated_servers,
    faults_workers,
)
from tests.mutation.faults import RULES, Fault

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "aether_protocol"
CASES = Path(__file__).with_name("judge.py")
SEEDS = Path(__file__).with_name("judge_simulation.py")
LIMIT_S = 120.0  # of one process: a fault may make it hang
LONGER = 5  # times as long as it takes without any fault, where that is more: the machine may be busy
TESTS_LIMIT_S = 300  # of a file of tests
MANY = 400  # seeds by which a fault must have been detected
SIMULATED: tuple[Fault, ...] = (*faults_durable.FAULTS, *faults_simulated_fleet.FAULTS, *faults_simulated_servers.FAULTS)
FAULTS: tuple[Fault, ...] = (
    *faults_data.FAULTS,
    *faults_run.FAULTS,
    *faults_celery.FAULTS,
    *faults_nats.FAULTS,
    *faults_serve.FAULTS,
    *faults_share.FAULTS,
    *faults_fleet.FAULTS,
    *faults_workers.FAULTS,
)


def problems() -> list[str]:
    """What is wrong with the list of faults itself."""
    found = [f"no fault breaks {rule}" for rule in RULES if not any(fault.rule == rule for fault in FAULTS)]
    for fault in (*FAULTS, *SIMULATED):
        count = (PACKAGE / fault.file).read_text("utf-8").count(fault.old)
        if count != 1:
            found.append(f"{fault.rule}, {fault.title!r}: its text stands {count} times in {fault.file}")
    return found


class Copy:
    """A copy of the package that takes one fault at a time. `judge` is a script, which gets the folder, the rule that is
    broken and `arguments`."""

    def __init__(self, folder: Path, script: Path, arguments: Sequence[str]) -> None:
        self.folder = folder
        self.limit_s = 0.0
        self.script = script
        self.arguments = arguments
        shutil.copytree(PACKAGE, folder / PACKAGE.name)
        shutil.copytree(ROOT / "schemas", folder / "schemas")

    def judge(self, fault: Fault | None) -> dict[str, Any]:
        """What the judge says to `fault`, or to the package as it is."""
        if fault is None:
            began = time.monotonic()
            told = self._run("")
            self.limit_s = max(LIMIT_S, LONGER * (time.monotonic() - began))
            return told
        path = self.folder / PACKAGE.name / fault.file
        text, stamp = path.read_text("utf-8"), path.stat()
        path.write_text(text.replace(fault.old, fault.new), "utf-8")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns + 3_600_000_000_000))  # compiled code of before is stale
        try:
            return self.test(fault.tests) if fault.tests else self._run(fault.rule)
        finally:
            path.write_text(text, "utf-8")
            os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    def test(self, tests: str) -> dict[str, Any]:
        """Whether a file of tests notices it. It stands beside the copy, so that it is the copy that it tests."""
        if not (self.folder / "tests").exists():
            shutil.copytree(ROOT / "tests", self.folder / "tests", ignore=shutil.ignore_patterns("conformance"))
            shutil.copy(ROOT / "pyproject.toml", self.folder)
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests.split()]
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        try:
            done = subprocess.run(
                command, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=TESTS_LIMIT_S, check=False
            )
        except subprocess.TimeoutExpired:
            return {"case": f"(hangs for {TESTS_LIMIT_S} s)", "file": tests}
        if done.returncode not in (0, 1):
            return {"broken": f"pytest ended with {done.returncode}: {done.stdout[-200:]}"}
        failed = re.search(r"^FAILED (\S+)", done.stdout, re.MULTILINE)
        return {"case": failed[1].rpartition("::")[2], "file": tests} if failed else {"passed": 1}

    def _run(self, rule: str) -> dict[str, Any]:
        environment = {**os.environ, "PYTHONPATH": str(self.folder), "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-P", str(self.script), str(self.folder), rule, *self.arguments]
        try:
            done = subprocess.run(
                command, env=environment, capture_output=True, text=True, timeout=self.limit_s or None, check=False
            )
        except subprocess.TimeoutExpired:
            return {"case": f"(hangs for {self.limit_s:.0f} s)", "file": "", "outcome": "failed", "why": ""}
        if done.returncode:
            return {"broken": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


def try_all(faults: Sequence[Fault], jobs: int, script: Path, arguments: Sequence[str]) -> Iterator[dict[str, Any]]:
    """The outcome of each fault, in order, as soon as it is known."""
    with tempfile.TemporaryDirectory(prefix="aether-mutation-") as folder, ThreadPoolExecutor(jobs) as pool:
        copies: queue.SimpleQueue[Copy] = queue.SimpleQueue()
        for number in range(jobs):
            place = Path(folder, str(number)).resolve()
            place.mkdir()
            copies.put(Copy(place, script, arguments))

        def work(judge: Callable[[Copy], dict[str, Any]]) -> dict[str, Any]:
            copy = copies.get()
            try:
                return judge(copy)
            finally:
                copies.put(copy)

        whole = [lambda copy: copy.judge(None)]
        whole += [lambda copy, tests=tests: copy.test(tests) for tests in sorted({one.tests for one in faults} - {""})]
        for healthy in pool.map(work, whole):
            if "passed" not in healthy:
                sys.exit(f"without any fault something does not pass: {healthy}")
        yield from pool.map(work, [lambda copy, fault=fault: copy.judge(fault) for fault in faults])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description="break rules and see that a case notices")
    parser.add_argument("rules", nargs="*", metavar="RULE", help="only faults of these rules, or of these titles' words")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once (default 2)")
    parser.add_argument("--cases", nargs="+", default=[], metavar="FOLDER", help="only cases in these conformance folders")
    parser.add_argument("--simulation", action="store_true", help="faults of durable runs, judged by the simulation")
    parser.add_argument("--seeds", type=int, default=MANY, help=f"seeds of the simulation (default {MANY})")
    options = parser.parse_args(arguments)
    wrong = problems()
    if wrong:
        print("\n".join(wrong))
        return 1
    faults = SIMULATED if options.simulation else FAULTS
    judge = (SEEDS, [str(options.seeds)]) if options.simulation else (CASES, options.cases)
    chosen = [f for f in faults if not options.rules or any(word == f.rule or word in f.title for word in options.rules)]
    alive = 0
    for fault, told in zip(chosen, try_all(chosen, options.jobs, *judge), strict=True):
        if "case" in told:
            end = f"{told['case']} ({told['file']})"
        else:
            alive += 1
            end = f"BROKEN: {told['broken']}" if "broken" in told else "SURVIVED"
        print(f"{fault.rule:<12} {fault.title:<78} {end}", flush=True)
    print(f"\n{len(chosen)} faults, {alive} not noticed")
    return 1 if alive else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
