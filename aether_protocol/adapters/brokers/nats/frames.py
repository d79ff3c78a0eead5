"""Messages of any length, over a transport that limits them: a message that is too long goes in parts, under one name.

Law: parts of a message come in order or not at all, as NATS gives them; where one is missing the message never comes, and its
sender sends it again.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

MOST_BYTES: Final = 64 * 2**20  # of a message in all its parts
_NAME: Final = 8
_HEAD: Final = 1 + _NAME + 8  # the kind, the name, the number of the part and how many there are
_OPEN: Final = 256  # messages of which parts have come
_WHOLE: Final = b"w"
_PART: Final = b"p"


def split(message: bytes, limit: int) -> Iterator[bytes]:
    """Give the parts of a message, none longer than `limit` bytes."""
    if len(message) < limit:
        yield _WHOLE + message
        return
    name, room = secrets.token_bytes(_NAME), limit - _HEAD
    count = -(-len(message) // room)
    for number in range(count):
        head = _PART + name + number.to_bytes(4, "big") + count.to_bytes(4, "big")
        yield head + message[number * room : (number + 1) * room]


class _Open:
    """A message of which `count` parts have come."""

    __slots__ = ("count", "data")

    def __init__(self) -> None:
        self.count = 0
        self.data = bytearray()


class Parts:
    """Puts messages together again. What is open has MOST_BYTES at most, all messages together: where there is more, those go
    of which no part has come for longest."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, _Open] = OrderedDict()
        self._size = 0

    def take(self, data: bytes) -> bytes | None:
        """Take a part in; give the message where it was the last one."""
        if data[:1] == _WHOLE:
            return data[1:]
        if data[:1] != _PART or len(data) <= _HEAD:
            return None
        name, number = data[1 : 1 + _NAME], int.from_bytes(data[1 + _NAME : 5 + _NAME], "big")
        count = int.from_bytes(data[5 + _NAME : _HEAD], "big")
        message = self._open.setdefault(name, _Open())
        if number != message.count:  # one is missing: the rest is of no use
            self._drop(name)
            return None
        message.count += 1
        message.data += data[_HEAD:]
        self._size += len(data) - _HEAD
        self._open.move_to_end(name)
        while self._size > MOST_BYTES or len(self._open) > _OPEN:
            self._drop(next(iter(self._open)))
        if name not in self._open or message.count < count:
            return None
        self._drop(name)
        return bytes(message.data)

    def _drop(self, name: bytes) -> None:
        self._size -= len(self._open.pop(name).data)
