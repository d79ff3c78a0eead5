"""Ids and seeds: the only source of chance.

Law: run ids are UUIDs of version 7, so they sort by the time of submission.
"""

from __future__ import annotations

import os
import socket

from aether_protocol.ports.clock import IdKind


def uuid7(now_us: int) -> str:
    """A UUID of version 7 (RFC 9562) for instant `now_us` (microseconds since the epoch)."""
    milliseconds, rest = divmod(now_us, 1000)
    value = (milliseconds & 0xFFFFFFFFFFFF) << 80
    value |= 0x7 << 76 | (rest * 4096 // 1000) << 64  # the 12 bits after the version: the fraction of the millisecond
    value |= 0b10 << 62 | _bits(62)
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def new_owner() -> str:
    """A name for an engine that no other has: the machine's, the process's, and chance."""
    return f"{socket.gethostname()}-{os.getpid()}-{os.urandom(4).hex()}"


class RandomIds:
    """See `ports.clock.IdGenerator`."""

    def new_id(self, kind: IdKind, now_us: int, run: str | None = None) -> str:
        return new_owner() if kind == "engine" else uuid7(now_us)

    def seed(self, run: str) -> int:
        return _bits(63)


def _bits(count: int) -> int:
    """So many bits of chance, at most 64, from the system (`secrets` gives the same, and loads 3 more modules)."""
    return int.from_bytes(os.urandom(8), "big") >> (64 - count)
