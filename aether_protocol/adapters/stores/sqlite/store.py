"""The SQLite store: runs in one file, nothing to install or start.

Law: all calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file
at once; leases keep them off each other's runs.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from aether_protocol.adapters.stores.sqlite.check import check, undigested
from aether_protocol.adapters.stores.sqlite.database import Database
from aether_protocol.adapters.stores.sqlite.leases import SqliteLeases
from aether_protocol.adapters.stores.sqlite.reading import ReadOnlyDatabase, may_be_readable
from aether_protocol.adapters.stores.sqlite.schedules import SqliteSchedules
from aether_protocol.adapters.stores.sqlite.texts import SqliteDocuments, SqliteLogs
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG, StoreInfo

TIERS: Final = (SNAPSHOT, STATE_ACTION_LOG)


class SqliteStore(SqliteSchedules, SqliteLeases, SqliteLogs, SqliteDocuments):
    """See `ports.store.Store`. `tier` is how new runs are kept."""

    durable = True

    def __init__(self, database: Database, tier: str = STATE_ACTION_LOG) -> None:
        if tier not in TIERS:
            raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
        self._db = database
        self.tier = tier
        SqliteSchedules.__init__(self)

    @property
    def file(self) -> Path | None:
        """The file of the store; None for one that ends with the process."""
        return None if self._db.path == ":memory:" else Path(self._db.path).absolute()

    async def info(self) -> StoreInfo:
        with self._db.read() as execute:
            runs, open_runs = execute("SELECT count(*), coalesce(sum(closed = 0), 0) FROM runs").fetchone()
            pages, size = execute("PRAGMA page_count").fetchone()[0], execute("PRAGMA page_size").fetchone()[0]
            details = {
                "adapter": "sqlite",
                "path": self._db.path,
                "tier": self.tier,
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
        await self._db.exclusively("VACUUM")
        await self._db.exclusively("PRAGMA wal_checkpoint(TRUNCATE)")

    async def migrate(self) -> tuple[int, int]:
        return self._db.migrate()

    async def artifacts(self) -> Mapping[str, str]:
        with self._db.read() as execute:
            text = "SELECT artifacts.digest, min(run_id) FROM artifacts JOIN runs ON number = run GROUP BY 1"
            return dict(execute(text).fetchall())

    async def close(self) -> None:
        self._db.close()


def open_sqlite(
    path: str, *, durability: str = "full", tier: str = STATE_ACTION_LOG, migrate: bool = True, reads_only: bool = False
) -> SqliteStore:
    """Open the file, or make it with its directory; `:memory:` is a store that ends with the process.

    `durability` is full (survives power loss) or normal (survives the end of the process). A file of an older version is
    brought up to date, or refused where `migrate` is false. With `reads_only` nothing is made or changed, so a read-only file
    will do. Raises PortError for a file that cannot be used or is not ours, UsageError for an unknown word.
    """
    if tier not in TIERS:
        raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
    try:
        return SqliteStore(Database(path, durability, migrate=migrate, reads_only=reads_only), tier)
    except PortError as error:
        if not reads_only or not may_be_readable(error):
            raise
        return SqliteStore(ReadOnlyDatabase(path), tier)
