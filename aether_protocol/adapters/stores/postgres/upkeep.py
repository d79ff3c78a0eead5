"""Upkeep of a PostgreSQL store: what it is, what is wrong with it, and what can be done about that.

`check` reads everything and changes nothing: the digests of all rows are compared, and the chain of every run's steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aether_protocol.adapters.stores.postgres.dialect import BITS, PostgresDialect
from aether_protocol.adapters.stores.postgres.link import Link
from aether_protocol.adapters.stores.postgres.schema import migrate, tables
from aether_protocol.adapters.stores.sql.checks import MOST, faults
from aether_protocol.adapters.stores.sql.fleet import identity
from aether_protocol.adapters.stores.sql.schema import NEWEST
from aether_protocol.adapters.stores.sql.work import Work, change, fetch
from aether_protocol.ports.store.upkeep import StoreInfo

_RUNS: Final = "SELECT count(*), count(*) FILTER (WHERE closed = 0) FROM runs"
_SIZE: Final = (
    "SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class WHERE relkind = 'r' AND relnamespace = "
)
_TABLES: Final = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = "
_NAMESPACE: Final = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
_AHEAD: Final = (
    f"SELECT 1 FROM feed WHERE greatest((SELECT max(id) FROM changes), (SELECT max(change) FROM steps), 0) >> {BITS} "
    ">= pg_snapshot_xmax(pg_current_snapshot())::text::bigint + reserved"
)


class PostgresUpkeep:
    """`ports.store.UpkeepStore`."""

    def __init__(self, dialect: PostgresDialect, tier: str) -> None:
        self._dialect = dialect
        self._tier = tier

    async def info(self) -> StoreInfo:
        (runs, open_runs), size, server = await self._dialect.query(self._info, bulk=True)
        target = self._dialect.connections.target
        details = {
            "adapter": "postgres",
            "path": target.shown,
            "tier": self._tier,
            "durability": "full" if target.synchronous else "normal",
            "database schema": target.schema,
            "postgres": server,
        }
        return StoreInfo(NEWEST, runs, open_runs, size, details)

    def _info(self) -> Work[tuple[tuple[int, ...], int, str]]:
        runs = (yield from fetch(_RUNS))[0]
        size = (yield from fetch(f"{_SIZE}{_NAMESPACE}"))[0][0]
        server = (yield from fetch("SELECT current_setting('server_version')"))[0][0]
        return runs, size, server

    async def check(self) -> list[str]:
        found = await self._dialect.query(self._check, long=True)
        return [*found[:MOST], f"more than {MOST} faults: the rest is not listed"] if len(found) > MOST else found

    def _check(self) -> Work[list[str]]:
        there = {name for (name,) in (yield from fetch(f"{_TABLES}{_NAMESPACE}"))}
        if not tables() <= there:
            return ["the tables are not those that this version makes"]
        found = yield from faults(self._dialect.chained_change)
        if (yield from fetch(_AHEAD)):
            found.append("changes have numbers that were not given yet: who follows the runs may miss some")
        return found

    async def vacuum(self) -> None:
        await self._dialect.transact(_drop_leavings, long=True)

        async def attempt(link: Link, _: bool) -> None:
            for name in sorted(tables()):
                await link.said(f"VACUUM (ANALYZE) {name}")  # stands alone: no transaction may be open

        await self._dialect.connections.insist(attempt, None)

    async def migrate(self) -> tuple[int, int]:
        async def attempt(link: Link, _: bool) -> tuple[int, int]:
            return await migrate(link, self._dialect)

        return await self._dialect.connections.insist(attempt, None)

    async def artifacts(self) -> Mapping[tuple[str, str], str]:
        text = "SELECT namespace, artifacts.digest, min(run_id) FROM artifacts JOIN runs ON number = run GROUP BY 1, 2"
        found = await self._dialect.query(lambda: fetch(text), bulk=True)
        return {(namespace, digest): run_id for namespace, digest, run_id in found}

    async def identity(self) -> str:
        return await self._dialect.transact(identity, "identity")

    async def mend(self, run_id: str) -> bool:
        text = "UPDATE breaks SET aside = 0 WHERE aside = 1 AND run = (SELECT number FROM runs WHERE run_id = ?)"
        return await self._dialect.transact(lambda: change(text, (run_id,))) == 1


def _drop_leavings() -> Work[None]:
    yield "DELETE FROM requests WHERE answer IS NOT NULL OR run NOT IN (SELECT number FROM runs WHERE closed = 0)", ()
    yield "DELETE FROM changes WHERE id NOT IN (SELECT max(id) FROM changes GROUP BY run)", ()
