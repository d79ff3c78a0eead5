"""Stores on the shared PostgreSQL server for tests that make thousands of them: what was made for one is used for the next.

A new store costs a schema with its tables and indexes, two connections, and each statement being prepared on each of them: more
than what most cases do with it. Here a schema is emptied and used again, and so is a connection with what it has prepared.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any, Final

from aether_protocol.adapters.stores.postgres.connections import Connections, Prepare
from aether_protocol.adapters.stores.postgres.link import Backend, Link, Target, settle
from aether_protocol.adapters.stores.postgres.schema import tables
from aether_protocol.adapters.stores.postgres.store import PostgresStore
from aether_protocol.testing.blocking_store import BlockingLoop
from tests.postgres import database_url

_KEPT: Final = ("about", "feed")  # what a schema has from the beginning
_EMPTY: Final = "; ".join(
    f"DELETE FROM {name}" for name in sorted(tables(), key=lambda name: (name == "plans", name)) if name not in _KEPT
)


class _ShelvedLink(Link):
    """A connection that goes back to its shelf."""

    def __init__(self, connection: Any, backend: Backend, shelf: list[_ShelvedLink]) -> None:
        super().__init__(connection, backend)
        self._shelf = shelf

    def drop(self) -> None:
        if self in self._shelf:
            return
        if self.lives and not self.connection.is_in_transaction():
            self._shelf.append(self)
        else:
            super().drop()

    async def taken(self, target: Target, synchronous: bool) -> bool:
        """Whether it is as a new one is: without listeners and locks, and at rest."""
        if not self.lives:
            return False
        try:
            await self.connection.reset()
            await settle(self.connection, target, synchronous)
        except BaseException as error:  # something was under way when it was dropped, or it is not wanted any more
            super().drop()
            if not isinstance(error, Exception):
                raise
            return False
        self.ordinal = 0
        return True


class PostgresShelf:
    """Schemas and connections of stores, all on one loop."""

    def __init__(self) -> None:
        self.loop = BlockingLoop()
        self._urls: list[str] = []
        self._links: dict[tuple[str, str, bool], list[_ShelvedLink]] = defaultdict(list)

    def end(self) -> None:
        """Close all connections."""
        for link in [link for links in self._links.values() for link in links]:
            link.connection.terminate()
        self.loop.close()

    def take(self) -> str:
        """The URL of an empty store."""
        if not self._urls:
            return database_url()
        url = self._urls.pop()
        self.rows(url, _EMPTY)
        return url

    def put_back(self, url: str) -> None:
        """Its stores are closed: others may have it."""
        self._urls.append(url)

    def open(self, url: str, tier: str, now: Callable[[], int]) -> PostgresStore:
        """A store with nothing in its memory."""
        dsn, _, schema = url.partition("?schema=")
        return PostgresStore(Target(dsn, schema, synchronous=False), tier=tier, now=now, connecting=self._connections)

    def rows(self, url: str, text: str) -> list[tuple[Any, ...]]:
        """Say something to the server, in the schema of a store."""
        store = self.open(url, "state-action-log", lambda: 0)

        async def ask() -> list[tuple[Any, ...]]:
            try:

                async def attempt(link: Link, _: bool) -> list[tuple[Any, ...]]:
                    if ";" not in text:
                        return (await link.run(text)).rows
                    await link.said(text)
                    return []

                return await store.connections.insist(attempt)
            finally:
                await store.close()

        found: list[tuple[Any, ...]] = self.loop.carry_out(ask())
        return found

    def close(self, store: PostgresStore) -> None:
        """Close a store; what it had is kept here."""
        self.loop.carry_out(store.close())

    def _connections(self, target: Target, prepare: Prepare, patience_s: float) -> Connections:
        links = self._links

        class Shelved(Connections):
            async def open(self, *, synchronous: bool | None = None) -> Link:
                settled = target.synchronous if synchronous is None else synchronous
                shelf = links[target.dsn, target.schema, settled]
                while shelf:
                    if await (link := shelf.pop()).taken(target, settled):
                        return link
                made = await super().open(synchronous=synchronous)
                return _ShelvedLink(made.connection, made.backend, shelf)

        return Shelved(target, prepare, patience_s)
