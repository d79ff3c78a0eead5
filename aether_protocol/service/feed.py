"""Feeds: what a client gives piece by piece, as it comes.

Law: a feed is read once. It is an async iterator of single pieces, or of the batches in which they came (`batches`): a batch is
whole, so that a reader who knows its last piece can continue after it. One of the two is used, not both.

    async for record in client.runs.events(run, follow=True):
        print(record["kind"])

    async for records in client.runs.events(run).batches():  # those of one log entry
        last = records[-1]["seq"]
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from typing import Generic, Self, TypeVar

from msgspec import Struct

from aether_protocol.ports.store.changes import Change

Piece = TypeVar("Piece")


class ChangeBatch(Struct, frozen=True):
    """Which runs have changed, oldest change first. `cursor` is where to go on, also where nothing was found that the caller
    sees."""

    changes: Sequence[Change]
    cursor: int


class Feed(AsyncIterator[Piece], Generic[Piece]):
    """Pieces, one at a time; `aclose` ends it and frees what it holds."""

    def __init__(self, batches: AsyncGenerator[Sequence[Piece], None]) -> None:
        self._batches = batches
        self._batch: Sequence[Piece] = ()
        self._next = 0

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Piece:
        while self._next >= len(self._batch):
            self._batch = await anext(self._batches)
            self._next = 0
        self._next += 1
        return self._batch[self._next - 1]

    def batches(self) -> AsyncGenerator[Sequence[Piece], None]:
        """Give what comes in batches: of events those of one log entry, of log lines those that were there at once."""
        return self._batches

    async def aclose(self) -> None:
        """End it."""
        await self._batches.aclose()
