"""The servers of a PostgreSQL store: those of all stores in SQL. A server holds the lock of its session also while it drives no
run, so that one that died is not listed."""

from __future__ import annotations

from collections.abc import Mapping

from aether_protocol.adapters.stores.postgres.leases import PostgresLeases
from aether_protocol.adapters.stores.postgres.session import StoreSession
from aether_protocol.adapters.stores.sql.servers import SqlServers
from aether_protocol.ports.store.servers import ServerRow


class PostgresServers:
    """`ports.store.ServerStore`."""

    def __init__(self, servers: SqlServers, leases: PostgresLeases, session: StoreSession) -> None:
        self._servers = servers
        self._leases = leases
        self._session = session

    async def put(self, server: ServerRow, ttl: int | None) -> None:
        await self._session.hold(server.owner)
        await self._servers.put(server, ttl)

    async def list(self) -> list[ServerRow]:
        await self._leases.end_leases_of_the_dead()
        return await self._servers.list()

    async def runs(self) -> Mapping[str, int]:
        return await self._servers.runs()
