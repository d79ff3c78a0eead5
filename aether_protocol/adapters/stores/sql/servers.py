"""The servers of a store, in SQL: a row each, as JSON, beside the lease of its owner."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from aether_protocol.adapters.stores.sql.leases import COUNTS, LEASE, end_of
from aether_protocol.adapters.stores.sql.records import COVERED, damaged, require, sum_of
from aether_protocol.adapters.stores.sql.work import Row, SqlDatabase, Work, fetch
from aether_protocol.ports.store.servers import FREE, ServerRow

_SERVER = COVERED["servers"]
_PUT = (
    f"INSERT INTO servers ({_SERVER}, sum) VALUES (?, ?, ?) "
    "ON CONFLICT (owner) DO UPDATE SET text = excluded.text, sum = excluded.sum"
)
_LIST = f"SELECT servers.owner, text, sum FROM servers JOIN owners ON owners.owner = servers.owner WHERE {COUNTS}"
_RUNS = (
    f"SELECT CASE WHEN {COUNTS} THEN runs.owner ELSE '{FREE}' END AS holder, count(*) FROM runs "
    "LEFT JOIN owners ON owners.owner = runs.owner WHERE closed = 0 AND wake_at IS NULL "
    "AND NOT EXISTS (SELECT 1 FROM breaks WHERE run = number AND aside = 1) GROUP BY holder"
)
_DROP = "DELETE FROM servers WHERE owner NOT IN (SELECT owner FROM owners)"


class SqlServers:
    """`ports.store.ServerStore`."""

    def __init__(self, database: SqlDatabase) -> None:
        self._db = database

    async def put(self, server: ServerRow, ttl: int | None) -> None:
        text = msgspec.json.encode(server).decode()
        await self._db.transact(lambda: self._put(server.owner, text, ttl), "leases")

    def _put(self, owner: str, text: str, ttl: int | None) -> Work[None]:
        now = yield from self._db.clock()
        values = (owner, text)
        yield LEASE, (owner, end_of(ttl, now), ttl)
        yield _PUT, (*values, sum_of("servers", values))
        yield _DROP, ()

    async def list(self) -> list[ServerRow]:
        found = [_read(*row) for row in await self._db.query(self._list)]
        return sorted(found, key=lambda row: (row.started_at, row.owner))

    def _list(self) -> Work[Sequence[Row]]:
        now = yield from self._db.clock()
        return (yield from fetch(_LIST, (now, now)))

    async def runs(self) -> Mapping[str, int]:
        return dict(await self._db.query(self._runs))

    def _runs(self) -> Work[Sequence[Row]]:
        now = yield from self._db.clock()
        return (yield from fetch(_RUNS, (now, now)))


def _read(owner: str, text: str, sum_: bytes) -> ServerRow:
    require("servers", (owner, text), sum_, f"server {owner!r}")
    try:
        return msgspec.json.decode(text, type=ServerRow)
    except msgspec.DecodeError as error:
        raise damaged(f"server {owner!r}") from error
