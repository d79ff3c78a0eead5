"""Logs: what tasks wrote, bounded per task run."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from msgspec import Struct

NOTE: Final = "note"  # the stream of what no task wrote
LOSS: Final = "the attempt was lost here\n"


class LogLine(Struct):
    """A piece of a task's log, masked. `seq` is the store's, growing; 0 until it is stored.

    `stream` is stdout, stderr or `note`: what the store says itself (older lines were dropped), or the engine (`LOSS`: what
    follows in the log of the task was written after its attempt was lost and began again, RT-159). Where lines may come twice,
    `delivery` is not 0: the store keeps what is new of the bytes `start_byte` to `end_byte` of this stream of that delivery.
    """

    run_id: str
    node: int
    path: str
    attempt: int
    stream: str
    text: str
    at: int
    seq: int = 0
    delivery: int = 0
    start_byte: int = 0
    end_byte: int = 0


def new_of(line: LogLine, known: int) -> str:
    """Return what of a line of a delivery is new, where the bytes up to `known` are stored. A text that was masked on its way
    has not the bytes that were counted: of one that is partly new, all is kept."""
    if line.start_byte >= known:
        return line.text
    if line.end_byte <= known:
        return ""
    data = line.text.encode("utf-8", "replace")
    if len(data) != line.end_byte - line.start_byte:
        return line.text
    return data[known - line.start_byte :].decode("utf-8", "replace")


class LogStore(Protocol):
    """What tasks wrote. Bounded per task run: the oldest is dropped, and a line of stream `note` says so."""

    async def write(self, lines: Sequence[LogLine]) -> None:
        """Keep lines in this order. Those of unknown runs are dropped; of deliveries, what is stored already is left out."""
        ...

    async def read(
        self, run_id: str, path: str | None = None, after: int = 0, limit: int = 1_000, *, before: int | None = None
    ) -> list[LogLine]:
        """Read lines in order.

        Args:
            run_id: The run; of an unknown one there are none.
            path: Of a task run: only its lines, and those of task runs below it.
            after: The `seq` of the last line that is known already.
            limit: How many lines at most.
            before: A `seq`: only lines before it, and of these the last ones; in order all the same.
        """
        ...
