"""What to do: the scheduler's orders to the driver, carried out after the step's facts are stored.

Law: a command is complete (its carrier reads no state) and may be issued twice under the same ids. `cause` is the number
of the step that gave it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from aether_protocol.scheduler.attempts import TaskAssignment

if TYPE_CHECKING:
    from aether_protocol.scheduler.events import TimerKind
    from aether_protocol.scheduler.facts import Fact


class DispatchTask(Struct, gc=False):
    """Hand this attempt of task run `node` to the broker."""

    node: int
    assignment: TaskAssignment
    cause: int


class StopTask(Struct, gc=False):
    """Request that this attempt stops; what it still reports changes nothing."""

    node: int
    attempt: int
    cause: int


class SetTimer(Struct, gc=False):
    """Send `TimerFired(node, kind, due)` at instant `due`; it takes the place of an earlier timer (node, kind)."""

    node: int
    kind: TimerKind
    due: int
    cause: int


class ClearTimer(Struct, gc=False):
    """The timer (node, kind) is not wanted any more."""

    node: int
    kind: TimerKind
    cause: int


class Continue(Struct, gc=False):
    """There is more to start: send `Continued` after what has arrived by now."""

    cause: int


class CloseRun(Struct, gc=False):
    """The run has ended and its hooks too: forget it."""

    cause: int


Command = DispatchTask | StopTask | SetTimer | ClearTimer | Continue | CloseRun


class LogEntry(Struct, gc=False):
    """What one event led to: step number `seq` (from 1) at instant `at`, caused by `cause` (`broker:TaskFinished`).

    `refused` is the reason why a resume or cancel was turned down; then there are no facts and no commands.
    """

    seq: int
    at: int
    cause: str
    facts: list[Fact]
    commands: list[Command]
    refused: str | None = None
