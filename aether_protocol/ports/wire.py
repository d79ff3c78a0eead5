"""The messages between engine and workers (WIRE-1, WIRE-2), as values; what they are as JSON is the affair of `wire_json`."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from aether_protocol.expressions.values import Json
from aether_protocol.scheduler.attempts import (
    ERROR,
    FAILED,
    NOTHING,
    SUCCEEDED,
    SUSPENDED,
    TIMEOUT,
    AttemptRef,
    TaskAssignment,
    TaskResult,
)

__all__ = [
    "ERROR",
    "FAILED",
    "NOTHING",
    "SUCCEEDED",
    "SUSPENDED",
    "TIMEOUT",
    "AttemptRef",
    "HeartbeatMessage",
    "LogMessage",
    "LostMessage",
    "StartedMessage",
    "StopMessage",
    "Stream",
    "TaskAssignment",
    "TaskResult",
    "cut_known",
]

Stream = Literal["stdout", "stderr"]


class StartedMessage(Struct, gc=False):
    """A worker has begun an attempt."""

    ref: AttemptRef


class LogMessage(Struct, gc=False):
    """A piece of what an attempt wrote. `offset`: how many bytes of UTF-8 of this stream came before it, where pieces may come
    twice."""

    ref: AttemptRef
    stream: Stream
    offset: int | None
    text: str


def bytes_of(text: str) -> int:
    """How many bytes a text has in UTF-8."""
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def cut_known(known: dict[str, int], stream: str, text: str, offset: int) -> str:
    """Return what of a piece of a log has not come yet: pieces may come twice, and overlap.

    Args:
        known: how many bytes of each stream have come; kept up to date here.
        stream: that of the piece.
        text: the piece.
        offset: how many bytes of UTF-8 of its stream came before it.
    """
    data = text.encode("utf-8", "replace")
    seen = known.get(stream, 0)
    known[stream] = max(seen, offset + len(data))
    return text if offset >= seen else data[seen - offset :].decode("utf-8", "replace")


class HeartbeatMessage(Struct, gc=False):
    """An attempt is alive; `details` say how far it is."""

    ref: AttemptRef
    details: Json = None


class LostMessage(Struct, gc=False):
    """An attempt will give no result. `blamed`: its own process died, not the worker or the machine with it."""

    ref: AttemptRef
    reason: str
    blamed: bool = False


class StopMessage(Struct, gc=False):
    """An attempt is to stop; what it gives afterwards changes nothing."""

    ref: AttemptRef
