"""The phase table (SCHED): every phase change that may ever happen stands here, and the docs diagram is drawn from it.

Law: a phase changes only along an arrow of `TRANSITIONS`; terminal phases have none. `invariants.check` and the property
tests hold every run against this table.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Phase(StrEnum):
    """SCHED: Ready is dispatched, Running is a confirmed start."""

    CREATED = "Created"
    READY = "Ready"
    RUNNING = "Running"
    SUSPENDED = "Suspended"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    ERROR = "Error"
    TIMEOUT = "Timeout"
    SKIPPED = "Skipped"
    CANCELLED = "Cancelled"


CREATED: Final = Phase.CREATED
READY: Final = Phase.READY
RUNNING: Final = Phase.RUNNING
SUSPENDED: Final = Phase.SUSPENDED
SUCCEEDED: Final = Phase.SUCCEEDED
FAILED: Final = Phase.FAILED
ERROR: Final = Phase.ERROR
TIMEOUT: Final = Phase.TIMEOUT
SKIPPED: Final = Phase.SKIPPED
CANCELLED: Final = Phase.CANCELLED

TERMINAL: Final = frozenset({SUCCEEDED, FAILED, ERROR, TIMEOUT, SKIPPED, CANCELLED})

# What an executor's code means (SCHED-7); any other code is Error.
CODE_PHASES: Final = {0: SUCCEEDED, 1: SUSPENDED, 2: FAILED, 3: ERROR, 4: TIMEOUT}

# phase -> {next phase: why}. The same table serves leaves, containers and hooks.
TRANSITIONS: Final[dict[Phase, dict[Phase, str]]] = {
    CREATED: {
        READY: "dispatched (a container: its first leaf was)",
        SUCCEEDED: "a container without leaves ended",
        FAILED: "a container without leaves ended by its phaseConditions",
        ERROR: "not dispatched: inputs, when or items could not be resolved, or a container without leaves ended so",
        TIMEOUT: "the timeout of what is above it, or its own as a container",
        SKIPPED: "when was false",
        CANCELLED: "the run was cancelled",
    },
    READY: {
        RUNNING: "a worker confirmed the start",
        TIMEOUT: "the timeout of what is above it, or its own as a container",
        SUCCEEDED: "a container whose dispatched leaves were lost before any start, and that tolerates it",
        FAILED: "a container whose dispatched leaves were lost before any start, by its phaseConditions",
        ERROR: "the attempt was lost too often before it started",
        CANCELLED: "the run was cancelled",
    },
    RUNNING: {
        SUSPENDED: "the executor returned code 1 (a container: nothing else is running)",
        CREATED: "a retry waits for its backoff",
        SUCCEEDED: "code 0, or phaseConditions",
        FAILED: "code 2, or phaseConditions",
        ERROR: "code 3 or unknown, or phaseConditions",
        TIMEOUT: "code 4, or a timeout passed",
        CANCELLED: "the run was cancelled",
    },
    SUSPENDED: {
        READY: "resumed and dispatched again",
        RUNNING: "a container: something in it was resumed or continues",
        CREATED: "its timeout passed and a retry waits",
        SUCCEEDED: "a container whose last suspended task ended",
        FAILED: "a container whose last suspended task ended",
        ERROR: "a resume that could not be dispatched",
        TIMEOUT: "a timeout passed",
        CANCELLED: "the run was cancelled",
    },
    SUCCEEDED: {},
    FAILED: {},
    ERROR: {},
    TIMEOUT: {},
    SKIPPED: {},
    CANCELLED: {},
}


def diagram() -> str:
    """The table as a Mermaid state diagram, for the documentation."""
    lines = ["stateDiagram-v2", f"    [*] --> {CREATED}"]
    lines += [f"    {start} --> {end}" for start, ways in TRANSITIONS.items() for end in ways]
    lines += [f"    {phase} --> [*]" for phase in Phase if phase in TERMINAL]
    return "\n".join(lines) + "\n"


def table() -> str:
    """The table as Markdown rows: from, to, when."""
    rows = ["| from | to | when |", "|---|---|---|"]
    rows += [f"| {start} | {end} | {why} |" for start, ways in TRANSITIONS.items() for end, why in ways.items()]
    return "\n".join(rows) + "\n"
