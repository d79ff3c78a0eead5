"""Upkeep of a SQLite store: what it is, what is wrong with it, and what can be done about that.

Law: `check` reads everything and changes nothing (sqlite.check).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping

from aether_protocol.adapters.stores.sqlite.check import check, undigested
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.ports.store.upkeep import StoreInfo


class SqliteUpkeep:
    """`ports.store.UpkeepStore`."""

    def __init__(self, database: Database, tier: str) -> None:
        self._db = database
        self._tier = tier

    async def info(self) -> StoreInfo:
        with self._db.read() as execute:
            runs, open_runs = execute("SELECT count(*), coalesce(sum(closed = 0), 0) FROM runs").fetchone()
            pages, size = execute("PRAGMA page_count").fetchone()[0], execute("PRAGMA page_size").fetchone()[0]
            details = {
                "adapter": "sqlite",
                "path": self._db.path,
                "tier": self._tier,
                "durability": self._db.durability,
                "journal": str(execute("PRAGMA journal_mode").fetchone()[0]) if self._db.writable else "(read-only)",
                "sqlite": sqlite3.sqlite_version,
            }
            return StoreInfo(self._db.version(), runs, open_runs, pages * size, details, undigested(execute))

    async def check(self) -> list[str]:
        with self._db.read_anything() as execute:
            return check(execute, self._db.migrations)

    async def vacuum(self) -> None:
        async with self._db.write() as execute:
            execute("DELETE FROM requests WHERE answer IS NOT NULL OR run NOT IN (SELECT number FROM runs WHERE closed = 0)")
            execute("DELETE FROM changes WHERE id NOT IN (SELECT max(id) FROM changes GROUP BY run)")
        await self._db.exclusively("VACUUM")
        await self._db.exclusively("PRAGMA wal_checkpoint(TRUNCATE)")

    async def migrate(self) -> tuple[int, int]:
        return self._db.migrate()

    async def artifacts(self) -> Mapping[str, str]:
        with self._db.read() as execute:
            text = "SELECT artifacts.digest, min(run_id) FROM artifacts JOIN runs ON number = run GROUP BY 1"
            return dict(execute(text).fetchall())

    async def mend(self, run_id: str) -> bool:
        asked = "UPDATE breaks SET aside = 0 WHERE aside = 1 AND run = (SELECT number FROM runs WHERE run_id = ?)"
        async with self._db.write() as execute:
            return execute(asked, (run_id,)).rowcount == 1
