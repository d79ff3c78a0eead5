"""An executor that writes down what it does, for tests of workers that are processes (`executors` of this module).

Law: each attempt is a line in a file when it begins, and one when it has ended, with its process; so a test sees what really
ran, whatever was reported. A worker offers it with `--import aether_protocol.testing.probe`.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from aether_protocol.plan.config_fields import ConfigField
from aether_protocol.plan.executors import ExecutorType
from aether_protocol.ports.executor import ExecutionContext, Mode
from aether_protocol.ports.wire import AttemptRef, TaskAssignment, TaskResult

PROBE: Final = ExecutorType(
    "probe",
    "Writes down that it begins and ends, and takes a while.",
    config=(
        ConfigField("journal", "string", "The file to which it appends.", required=True),
        ConfigField("seconds", "number", "How long it takes.", default=0),
        ConfigField("lines", "integer", "How many lines it logs.", default=0),
        ConfigField("load", "string", "Anything; how long it is comes back.", default=""),
    ),
)
_STEP_S: Final = 0.02  # between two looks whether it has to stop


class ProbeLine(Struct, frozen=True):
    """A line of a journal. `pid` is the process that carries the attempt out, `parent` the one that began that process."""

    what: Literal["begins", "ends", "stops"]
    ref: AttemptRef
    pid: int
    parent: int


class ProbeExecutor:
    """See `PROBE`."""

    type: ExecutorType = PROBE
    mode: Mode = "thread"

    def execute(self, task: TaskAssignment, context: ExecutionContext) -> TaskResult:
        config = task.config
        self._write(config["journal"], "begins", task.ref)
        for number in range(int(config.get("lines") or 0)):
            context.log(f"line {number}\n")
        until = time.monotonic() + float(config.get("seconds") or 0)
        while time.monotonic() < until:
            if context.cancelled():
                self._write(config["journal"], "stops", task.ref)
                return task.fail("it was stopped")
            time.sleep(_STEP_S)
        self._write(config["journal"], "ends", task.ref)
        return task.succeed(load=len(config.get("load") or ""), key=task.idempotency_key)

    @staticmethod
    def _write(journal: str, what: str, ref: AttemptRef) -> None:
        line = "\t".join(map(str, (what, ref.run_id, ref.path, ref.attempt, ref.epoch, os.getpid(), os.getppid())))
        file = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
        try:
            os.write(file, f"{line}\n".encode())  # one write: lines of several processes do not mix
        finally:
            os.close(file)


def read_journal(journal: Path) -> list[ProbeLine]:
    """Read what probes have written, in its order."""
    found = []
    for line in journal.read_text().splitlines() if journal.exists() else ():
        what, run_id, path, attempt, epoch, pid, parent = line.split("\t")
        ref = AttemptRef(run_id, path, int(attempt), int(epoch))
        found.append(ProbeLine(what, ref, int(pid), int(parent)))  # type: ignore[arg-type]
    return found


executors = [ProbeExecutor()]
