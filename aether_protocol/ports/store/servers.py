"""The servers of a store: which there are, where their peers reach them, and by what a peer is known."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Protocol

from msgspec import Struct

FREE: Final = ""  # in place of an owner: no owner whose lease counts has it


class ServerRow(Struct, frozen=True):
    """A server that lives.

    Args:
        owner: the name under which it claims runs.
        name: what people call it.
        address: the URL at which other servers reach it.
        build: the version of its program.
        schema: the newest schema of a store that it knows.
        protocol: the newest worker protocol that it speaks.
        started_at: when it began (microseconds since the epoch).
        token: the SHA-256, in hexadecimal, of the token by which it shows its peers who it is.
        stopping: it takes no more runs.
    """

    owner: str
    name: str
    address: str
    build: str = ""
    schema: int = 0
    protocol: int = 0
    started_at: int = 0
    token: str = ""
    stopping: bool = False


class ServerStore(Protocol):
    """The servers of this store. A row counts for as long as the lease of its owner does (`LeaseStore`)."""

    async def put(self, server: ServerRow, ttl: int | None) -> None:
        """Keep the row in place of the one of its owner, whose lease lasts for `ttl` microseconds from now on (None: it has no
        end). An owner that releases everything has no row any more."""
        ...

    async def list(self) -> list[ServerRow]:
        """All whose leases count, in the order in which they began. Rows of another version of the program are read as far as
        this one knows them."""
        ...

    async def runs(self) -> Mapping[str, int]:
        """How many of the runs that are open, awake and not set aside each owner holds whose lease counts; FREE: those that no
        such owner holds."""
        ...
