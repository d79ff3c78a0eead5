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


class Parts:
    """Puts messages together again."""

    def __init__(self) -> None:
        self._open: OrderedDict[bytes, list[bytes]] = OrderedDict()

    def take(self, data: bytes) -> bytes | None:
        """Take a part in; give the message where it was the last one."""
        if data[:1] == _WHOLE:
            return data[1:]
        if data[:1] != _PART or len(data) < _HEAD:
            return None
        name, number = data[1 : 1 + _NAME], int.from_bytes(data[1 + _NAME : 5 + _NAME], "big")
        count = int.from_bytes(data[5 + _NAME : _HEAD], "big")
        parts = self._open.setdefault(name, [])
        if number != len(parts):  # one is missing: the rest is of no use
            del self._open[name]
            return None
        parts.append(data[_HEAD:])
        if len(parts) < count:
            while len(self._open) > _OPEN:
                self._open.popitem(last=False)
            return None
        del self._open[name]
        return b"".join(parts)
