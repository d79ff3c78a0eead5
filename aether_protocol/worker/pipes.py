"""Messages between a supervisor and a child, over pipes: a length of four bytes, then JSON.

The child reads from its standard input and writes to a pipe of its own, so that what executors print goes elsewhere.

To the child (`do`):

    begin   token, assignment             carry out this attempt
    several items: [token, assignment]... carry these out, one after the other
    texts   id, texts or fault            the answer to `secrets`
    moved   id, and a fault if there is one   the answer to `artifact`
    stop                                  stop, in your own time, and end

From the child (`say`, each with the token of its attempt):

    several  all                          these messages, of a batch
    started                               the executor has begun
    logged  stream, offset, text          it wrote this
    progressed  details                   how far it is
    secrets  id, secrets                  get the texts of these
    artifact  id, move, digest            bring it to this machine's cache, or send it to the server
    finished  result                      it gave this
    lost  reason                          what carried it out broke, not the child
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec
from msgspec import Struct

MOST_BYTES: Final = 2**31 - 1
_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder().decode


class ChildSettings(Struct, frozen=True, kw_only=True):
    """What a child is given when it is started.

    Args:
        workspaces: the folder below which attempts get their workspaces; empty: that of the system for temporary files.
        artifacts: the folder or the URL of the repository of artifacts, where this machine has it.
        cache: the folder of what comes from and goes to a repository elsewhere. Without either, attempts with artifacts end in
            an Error.
    """

    workspaces: str = ""
    artifacts: str = ""
    cache: str = ""


def encode_settings(settings: ChildSettings) -> str:
    """Return the text of settings, for the command line of a child."""
    return _encode(settings).decode()


def decode_settings(text: str) -> ChildSettings:
    """Return the settings of a text."""
    return msgspec.json.decode(text, type=ChildSettings)


def frame(message: dict[str, Any]) -> bytes:
    """Return the bytes of a message."""
    body = _encode(message)
    return len(body).to_bytes(4, "big") + body


async def read(reader: asyncio.StreamReader) -> dict[str, Any] | None:
    """Return the next message; None at the end."""
    try:
        size = int.from_bytes(await reader.readexactly(4), "big")
        message = _decode(await reader.readexactly(size))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return message if isinstance(message, dict) else None
