"""What waits in the driver's inbox, and the event that each becomes.

Law: an item says what happened; the instant is put on it when its turn comes, so events of a run never go back in time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import assert_never

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.events import (
    AttemptLost,
    CancelRequested,
    ClockSetBack,
    Continued,
    Event,
    ResumeRequested,
    RunHeader,
    Submitted,
    TaskFinished,
    TaskStarted,
    TimerFired,
    TimerKind,
)


class Submit(Struct):
    header: RunHeader


class Go(Struct):
    """The answer to `Continue`."""


class Started(Struct):
    node: int
    attempt: int


class Due(Struct):
    node: int
    kind: TimerKind
    due: int


class Resume(Struct):
    node: int
    payload: Mapping[str, Json]
    answer: asyncio.Future[None]


class Cancel(Struct):
    answer: asyncio.Future[None]


class Lost(Struct):
    """The attempt went with the engine that drove the run before."""

    node: int
    attempt: int
    counts: bool = True
    goes_on: bool = False


class SetBack(Struct):
    """The machine's clock was set back, or was ahead when the run was recorded."""

    by_us: int


class Settled(Struct):
    """The last item of a recovery: all that was due or asked for by then has been dealt with. The machine is not told."""

    answer: asyncio.Future[None]


Item = TaskFinished | Started | Go | Due | Submit | Resume | Cancel | Lost | SetBack


def to_event(item: Item, at: int) -> Event:
    """What the machine is told; the most frequent first."""
    if isinstance(item, TaskFinished):
        item.at = at
        return item
    if isinstance(item, Started):
        return TaskStarted(at, item.node, item.attempt, "broker")
    if isinstance(item, Go):
        return Continued(at, "driver")
    if isinstance(item, Due):
        return TimerFired(at, item.node, item.kind, item.due, "timer")
    if isinstance(item, Submit):
        return Submitted(at, item.header, "api")
    if isinstance(item, Resume):
        return ResumeRequested(at, item.node, item.payload, "api")
    if isinstance(item, Cancel):
        return CancelRequested(at, "api")
    if isinstance(item, Lost):
        return AttemptLost(at, item.node, item.attempt, "recovery", item.counts, item.goes_on)
    if isinstance(item, SetBack):
        return ClockSetBack(at, item.by_us, "driver")
    assert_never(item)
