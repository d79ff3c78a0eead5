"""What happened outside: the only way into the scheduler (`machine.handle`).

Law: an event carries everything that the rules may not find out for themselves: the time `at` (microseconds since the
epoch), ids and seeds. `cause` names the stimulus (`api`, `broker`, `timer`, `driver`, `recovery`, `case`).
Events are made on the hot path: slots, not frozen at run time, yet never changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.attempts import TaskResult


class RunConfiguration(Struct, gc=False):
    """The configuration under which a run was submitted: the sha256 of its settings, in hex, and the profile chosen."""

    digest: str
    profile: str | None = None


MOST_DEATHS: Final = 3  # of the process of one attempt in a row, unless settings say otherwise
DOCUMENT: Final = "document"  # the kind of program that a compiled document is


class RunHeader(Struct, gc=False):
    """What a run is given at submission and never changes. Times in microseconds since the epoch.

    `parameters` are bound (DATA-14); `variables` are the namespaces of DATA-4 that sources inject (`system` among them).
    `trace_context`: the W3C context that the run was begun under; that of its own span where a trace begins with it (RT-137).
    """

    run_id: str
    created_at: int
    scheduled_time: int | None
    parameters: Mapping[str, Json]
    variables: Mapping[str, Mapping[str, Json]]
    seed: int
    trace_context: str | None = None
    retry_of: str | None = None  # the run that this one retries (CTRL-4)
    reused: Mapping[str, Mapping[str, Json]] | None = None  # what it reuses of that run, by path
    folder: str | None = None  # where the document lies, if it came from a file (ART-4)
    fetched: Mapping[str, Mapping[str, Json]] | None = None  # what that run fetched, by path and artifact: {source, fetched}
    configuration: RunConfiguration | None = None
    reason: str | None = None  # why a retry was asked for, in the words of who did (CTRL-4)
    program: str = DOCUMENT  # the kind of program, which says what machine decides for the run
    document_version: int | None = None  # of the stored workflow that it was started from by name
    trace_link: str | None = None  # the trace context of the run that it retries
    submitted_by: str | None = None  # the caller, where a server knows its callers (RT-129)


class Submitted(Struct, gc=False):
    """A run begins."""

    at: int
    header: RunHeader
    cause: str


class Continued(Struct, gc=False):
    """The driver's answer to `Continue`: start the next ready tasks."""

    at: int
    cause: str


class TaskStarted(Struct, gc=False):
    """A worker confirmed the start of an attempt."""

    at: int
    node: int
    attempt: int
    cause: str


class TaskFinished(Struct, gc=False):
    """An attempt returned this (WIRE-2). Secrets are masked already."""

    at: int
    node: int
    result: TaskResult
    cause: str


class TimerKind(IntEnum):
    """What a timer of a node is for: its own timeout, or the end of a backoff."""

    TIMEOUT = 0
    BACKOFF = 1


class TimerFired(Struct, gc=False):
    """The timer (`node`, `kind`) set for instant `due` is over. A stale one (another `due` was set since) changes nothing."""

    at: int
    node: int
    kind: TimerKind
    due: int
    cause: str


class ResumeRequested(Struct, gc=False):
    """Resume a suspended task (CTRL-2). `reason` is why, in the words of the caller."""

    at: int
    node: int
    payload: Mapping[str, Json]
    cause: str
    reason: str = ""


class CancelRequested(Struct, gc=False):
    """Cancel the run (CTRL-3). `reason` is why, in the words of the caller."""

    at: int
    cause: str
    reason: str = ""


class AttemptLost(Struct, gc=False):
    """The engine or worker that held this attempt is gone; it is repeated under the same number (SCHED-9).

    `blamed`: its own process died, and the loss counts towards the `most` in a row that are an Error (RT-22). `goes_on`: the
    repetition does what is left of it, and does not begin again. `reason`: how its process died, then the last lines of its
    log.
    """

    at: int
    node: int
    attempt: int
    cause: str
    blamed: bool = False
    goes_on: bool = False
    reason: str = ""
    most: int = MOST_DEATHS


class ClockSetBack(Struct, gc=False):
    """The machine's clock is `by_us` behind the run's time, which continues from where it was."""

    at: int
    by_us: int
    cause: str


Event = (
    Submitted
    | Continued
    | TaskStarted
    | TaskFinished
    | TimerFired
    | ResumeRequested
    | CancelRequested
    | AttemptLost
    | ClockSetBack
)
