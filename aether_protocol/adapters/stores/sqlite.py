"""The SQLite store: runs in one file, nothing to install or start.

Law: all calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file
at once; leases keep them off each other's runs.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from aether_protocol.adapters.stores.sqlite_database import Database
from aether_protocol.adapters.stores.sqlite_leases import SqliteLeases
from aether_protocol.adapters.stores.sqlite_reading import ReadOnlyDatabase, may_be_readable
from aether_protocol.adapters.stores.sqlite_schedules import SqliteSchedules
from aether_protocol.adapters.stores.sqlite_texts import SqliteDocuments, SqliteLogs
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
            return StoreInfo(self._db.version(), runs, open_runs, pages * size, details)

    async def check(self) -> list[str]:
        with self._db.read() as execute:
            found = [str(line) for (line,) in execute("PRAGMA integrity_check") if line != "ok"]
            if found:
                return found
            for number, run_id, seq, exact, tier, head, saved in execute(_CHECKED).fetchall():
                if head is None:
                    found.append(f"run {run_id!r} has lost its plan or its header")
                expected = 1
                for id_, last in execute(_CHUNKS, (number << 32, ((number + 1) << 32) - 1)):
                    first = id_ - (number << 32)
                    if first != expected and not (expected == 1 and first == (saved or 0) + 1):
                        found.append(f"run {run_id!r} has no steps {expected} to {first - 1}")
                    expected = last + 1
                reached = max(expected - 1, saved or 0)
                if reached < seq or (exact and reached != seq):
                    found.append(f"run {run_id!r} is at step {seq}, its {_KEPT[tier]} at {reached}")
            stray = execute("SELECT count(*) FROM steps WHERE id >> 32 NOT IN (SELECT number FROM runs)").fetchone()[0]
            if stray:
                found.append(f"{stray} rows of steps belong to no run")
        return found

    async def vacuum(self) -> None:
        async with self._db.write() as execute:
            execute("DELETE FROM requests WHERE answer IS NOT NULL OR run NOT IN (SELECT number FROM runs WHERE closed = 0)")
        await self._db.exclusively("VACUUM")
        await self._db.exclusively("PRAGMA wal_checkpoint(TRUNCATE)")

    async def migrate(self) -> tuple[int, int]:
        return self._db.migrate()

    async def close(self) -> None:
        self._db.close()


_CHECKED: Final = (  # the fourth: whether the row must be at the newest step
    "SELECT runs.number, run_id, runs.seq, closed OR tier = 'snapshot', tier, plans.number, snapshots.seq FROM runs "
    "LEFT JOIN heads ON heads.run = runs.number LEFT JOIN plans ON plans.number = plan "
    "LEFT JOIN snapshots ON snapshots.run = runs.number ORDER BY 1"
)
_CHUNKS: Final = "SELECT id, last FROM steps WHERE id BETWEEN ? AND ? ORDER BY id"
_KEPT: Final = {SNAPSHOT: "snapshot", STATE_ACTION_LOG: "log"}


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
