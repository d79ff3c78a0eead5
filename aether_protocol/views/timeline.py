"""When each task run of a run was ready, ran, waited: its attempts and the stretches between them, from the event records.

Law: pure. Records of a run are taken oldest first, from the first one on; what is open at the end has no end.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from msgspec import Struct, field

from aether_protocol.views.event_feed import EventRecord

OPEN: Final = frozenset({"Created", "Ready", "Running", "Suspended"})


class PhaseStretch(Struct):
    """Of a task run: in which phase it was, from when until when. `waits`: for its next attempt."""

    phase: str
    start: str
    end: str | None = None
    waits: bool = False


class TimedAttempt(Struct):
    """One dispatch of a task. `phase` and what follows: how it ended; `due`: when the next one begins;
    `repeats`: how often it was lost and began again, with `losses` of which it was blamed for in a row."""

    number: int
    dispatched_at: str
    started_at: str | None = None
    ended_at: str | None = None
    phase: str | None = None
    code: int | None = None
    message: str = ""
    due: str | None = None
    losses: int = 0
    repeats: int = 0


class TaskTimeline(Struct):
    """One task run, or one run of a hook."""

    path: str
    kind: str
    depth: int
    item: str | None = None
    hook: str | None = None
    stretches: list[PhaseStretch] = field(default_factory=list)
    attempts: list[TimedAttempt] = field(default_factory=list)

    @property
    def phase(self) -> str:
        """The phase that it is in, or ended in."""
        return self.stretches[-1].phase if self.stretches else "Created"

    def enter(self, phase: str, at: str, *, waits: bool = False) -> None:
        """It is in this phase from here on."""
        if self.stretches:
            self.stretches[-1].end = at
        self.stretches.append(PhaseStretch(phase, at, at if phase not in OPEN else None, waits))


def timelines(records: Iterable[EventRecord]) -> dict[str, TaskTimeline]:
    """By name (a path, or the name of a hook), in the order of their making."""
    found: dict[str, TaskTimeline] = {}
    for record in records:
        name = record.get("hook") or record.get("path")
        if name is None or "id" not in record:
            continue
        task = found.get(name)
        if task is None or record["kind"] == "HookFired":
            kind = record.get("templateType", "task")
            task = TaskTimeline(record["path"], kind, record.get("depth", 0), record.get("item"), record.get("hook"))
            found[name] = task
        _take(task, record)
    return found


def _take(task: TaskTimeline, record: EventRecord) -> None:
    kind, at = record["kind"], record["at"]
    attempt = task.attempts[-1] if task.attempts else None
    if kind == "TaskDispatched":
        task.attempts.append(TimedAttempt(record["attempt"], at))
    elif attempt is not None and kind == "TaskRunning":
        attempt.started_at = attempt.started_at or at
    elif attempt is not None and kind == "RetryScheduled":
        attempt.ended_at, attempt.phase, attempt.code = at, record["after"], record["code"]
        attempt.message, attempt.due = record["message"], record["due"]
    elif attempt is not None and kind == "NodeEnded" and attempt.ended_at is None:  # else it ends while it waits for another
        attempt.ended_at, attempt.phase, attempt.code, attempt.message = at, record["phase"], record["code"], record["message"]
    elif attempt is not None and kind == "TaskSuspended":
        attempt.message = record["message"]
    elif attempt is not None and kind == "AttemptRepeated":
        attempt.losses = record["losses"]
        attempt.repeats += 1
    if record.get("phase") is not None:
        task.enter(record["phase"], at, waits=kind == "RetryScheduled")
