"""The feed of changes in PostgreSQL: which runs have changed since a number.

A change is numbered by its transaction, so numbers are given when a transaction begins to write and shown when it commits: they
may cross. A reader is therefore shown what lies below the first transaction that may still commit a change. Those are the ones
that hold a lock on `changes` or `steps`, which every transaction of a store takes before it has a number (`dialect`): what
programs elsewhere on the server write for hours holds nothing up.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from aether_protocol.adapters.stores.postgres.dialect import BITS, PostgresDialect
from aether_protocol.adapters.stores.sql.records import RUNS, SHOWN, make_row
from aether_protocol.adapters.stores.sql.work import Work, fetch, fetch_one
from aether_protocol.ports.store.changes import Change

_WRITERS: Final = (
    "SELECT pid FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND relation IN (CAST('changes' AS regclass), CAST('steps' AS regclass))"
)
# The snapshot is taken before the locks are looked at: what is over by then is seen by the statement that follows.
_BOUND: Final = (
    "WITH seen AS MATERIALIZED (SELECT pg_current_snapshot() AS at) "
    "SELECT CASE WHEN pg_snapshot_xmin(at) = pg_snapshot_xmax(at) THEN pg_snapshot_xmax(at) ELSE coalesce(("
    "SELECT min(open) FROM pg_snapshot_xip(at) AS open WHERE CAST(open AS xid) IN (SELECT transactionid FROM pg_locks "
    f"WHERE locktype = 'transactionid' AND mode = 'ExclusiveLock' AND pid IN ({_WRITERS}))), "
    "pg_snapshot_xmax(at)) END::text::bigint FROM seen"
)
_NEWEST: Final = (
    "SELECT greatest((SELECT max(id) FROM changes WHERE id < ?1), (SELECT max(change) FROM steps WHERE change < ?1), 0)"
)
_AFTER: Final = (
    "SELECT max(id) AS newest, run, max(gone), max(namespace) "
    "FROM (SELECT id, run, gone, namespace FROM changes WHERE id > ?1 AND id < ?2 "
    "UNION ALL SELECT change, id >> 32, NULL, NULL FROM steps WHERE change > ?1 AND change < ?2) AS found "
    "GROUP BY run ORDER BY newest LIMIT ?3"
)
_BY_NUMBER: Final = f"SELECT {SHOWN}, runs.number FROM {RUNS} WHERE runs.number = ANY(CAST(? AS BIGINT[]))"

class PostgresChanges:
    """`ports.store.ChangeFeed`. `hinted` waits for a hint that something changed, so many seconds at most."""

    def __init__(self, dialect: PostgresDialect, hinted: Callable[[float], Awaitable[None]]) -> None:
        self._dialect = dialect
        self._hinted = hinted

    async def newest(self) -> int:
        bound = await self._bound()
        found = await self._dialect.query(lambda: fetch_one(_NEWEST, (bound,)))
        assert found is not None
        return int(found[0])

    async def after(self, cursor: int, limit: int = 1_000) -> list[Change]:
        bound = await self._bound()
        return await self._dialect.query(lambda: self._after(cursor, bound, limit), bulk=True)

    async def _bound(self) -> int:
        """The number that all further changes reach, in a statement of its own: the one that follows sees more."""
        found = await self._dialect.query(lambda: fetch_one(_BOUND))
        assert found is not None
        return (int(found[0]) + self._dialect.offset) << BITS

    def _after(self, cursor: int, bound: int, limit: int) -> Work[list[Change]]:
        found = yield from fetch(_AFTER, (cursor, bound, limit))
        there = [run for _, run, gone, _ in found if gone is None]
        rows = {}
        if there:
            for *row, number in (yield from fetch(_BY_NUMBER, (there,))):
                rows[number] = make_row(tuple(row))
        changes: list[Change] = []
        for number, run, gone, namespace in found:
            if gone is not None:
                changes.append(Change(number, gone, None, namespace))
            elif run in rows:  # else it was deleted since, which is a change of its own
                changes.append(Change(number, rows[run].run_id, rows[run], rows[run].namespace))
        return changes

    async def wait(self, cursor: int, seconds: float) -> bool:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while True:
            if await self.newest() > cursor:
                return True
            left = end - loop.time()
            if left <= 0:
                return False
            await self._hinted(left)
