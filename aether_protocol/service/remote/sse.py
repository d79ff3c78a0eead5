"""Messages of an event stream, read from the bytes of an answer.

Law: a message counts once its empty line has come; what was cut before that is as if it had never come.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

from msgspec import Struct


class StreamMessage(Struct, frozen=True):
    """A message: its number, what it is (empty: pieces), and its data as JSON text."""

    id: int | None
    event: str
    data: bytes


async def read_messages(chunks: AsyncIterator[bytes]) -> AsyncIterator[StreamMessage]:
    """Read messages; comments are left out."""
    rest = b""
    async for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n\n")
        for text in whole:
            message = _read(text)
            if message is not None:
                yield message


def _read(text: bytes) -> StreamMessage | None:
    number: int | None = None
    event, data = "", b""
    for line in text.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"id":
            number = int(value)
        elif name == b"event":
            event = value.decode()
        elif name == b"data":
            data = value
    return StreamMessage(number, event, data) if data else None
