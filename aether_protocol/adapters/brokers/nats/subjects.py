"""The names at NATS, and what is said under them. Everything of one installation begins with its prefix (`aether`)."""

from __future__ import annotations

import hashlib
import re
from typing import Final

import msgspec
from msgspec import Struct

from aether_protocol.fleet.work import TASKS, Need

LEVELS: Final = 10
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]")
_MOST_PRIORITY: Final = 1000


class NatsNames(Struct, frozen=True):
    """The names of an installation. NATS keeps several apart, each with its prefix."""

    prefix: str = "aether"

    @property
    def stream(self) -> str:
        """The stream of tickets."""
        return self.prefix.upper().replace(".", "_")

    @property
    def tickets(self) -> str:
        """The subjects of the stream."""
        return f"{self.prefix}.*.*.*"

    @property
    def engines(self) -> str:
        """Where engines announce themselves."""
        return f"{self.prefix}-engines"

    @property
    def workers(self) -> str:
        """Where a worker asks who is there."""
        return f"{self.prefix}-workers"

    def engine(self, site: str, instance: str) -> str:
        """Where an engine answers."""
        return f"{self.prefix}-engine.{site}.{instance}"

    def worker(self, instance: str) -> str:
        """Where a worker is asked to beat at once."""
        return f"{self.prefix}-worker.{instance}"

    def ticket(self, need: Need, priority: int) -> str:
        """The subject of tickets for attempts of this kind."""
        return f"{self.prefix}.{token(need.pool)}.{level_of(priority)}.{class_of(need)}"


def token(text: str) -> str:
    """Write any text as one token of a subject; the empty one is `=`."""
    return "".join(one if _TOKEN.match(one) else f"={ord(one):02X}" for one in text) or "="


def level_of(priority: int) -> int:
    """The level of a priority (0 to 1000), 0 to 9; the higher one is asked for first."""
    return min(LEVELS - 1, max(0, priority) * LEVELS // (_MOST_PRIORITY + 1))


def class_of(need: Need) -> str:
    """The token of what an attempt asks of its worker, but for the pool."""
    if not need.selector and all(kind == TASKS for kind, _ in need.slots):
        return token(need.executor)
    asked = msgspec.json.encode([need.selector, need.slots])
    return f"{token(need.executor)}={hashlib.sha256(asked).hexdigest()[:12]}"


def consumer_of(subject: str) -> str:
    """The name of the consumer of a subject of tickets."""
    return hashlib.sha256(subject.encode()).hexdigest()[:24]


class Ticket(Struct, array_like=True, gc=False):
    """An engine has work."""

    site: str
    instance: str


class Wanted(Struct, array_like=True, gc=False):
    """A subject that an engine uses, and what its tickets are for."""

    subject: str
    executor: str
    pool: str
    selector: str
    slots: tuple[tuple[str, int], ...]


class Announcement(Struct, gc=False):
    """An engine is there, or leaves (`gone`)."""

    site: str
    instance: str
    wanted: list[Wanted] = []
    gone: bool = False
