"""What a server must know of its fleet after a restart: the key of its tokens, its term, and which workers there were."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from msgspec import Struct


class ServerTerm(Struct, frozen=True):
    """`key` signs the tokens of deliveries, the same for all servers of a store; `number` is that of this server's term of
    service, higher than that of every term before."""

    key: bytes
    number: int


class KnownWorker(Struct, frozen=True, kw_only=True):
    """A worker that said hello to a server of this store.

    `namespaces`: those that it may serve, None: all. `hello` is what it said, as JSON (`ports.worker.Hello`), without what it
    held; `at` when it was last known to be there (microseconds since the epoch); `connected`: it may hold attempts, for it has
    not left and was not taken for lost.
    """

    name: str
    hello: str
    namespaces: tuple[str, ...] | None = None
    at: int
    connected: bool


class FleetStore(Protocol):
    """What servers keep of workers. Deliveries are not among it: they are derived from runs and from what workers hold."""

    async def begin_term(self, key: bytes) -> ServerTerm:
        """Begin a term of service. `key` is kept where there is none yet."""
        ...

    async def put_workers(self, workers: Sequence[KnownWorker]) -> None:
        """Keep these, each in place of the one of its name."""
        ...

    async def workers(self) -> list[KnownWorker]:
        """All that are known, by name."""
        ...

    async def forget_workers(self, before: int) -> None:
        """Drop those that are not connected and were not seen since that instant."""
        ...
