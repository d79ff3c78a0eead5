"""The SQLite store as one object, and how one is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from aether_protocol.adapters.stores.sql.facets import SqlFacets, require_tier
from aether_protocol.adapters.stores.sql.leases import SqlLeases
from aether_protocol.adapters.stores.sqlite.changes import SqliteChanges
from aether_protocol.adapters.stores.sqlite.database import Database, machine_now
from aether_protocol.adapters.stores.sqlite.dialect import SqliteDialect
from aether_protocol.adapters.stores.sqlite.runs import SqliteRuns
from aether_protocol.ports.store import STATE_ACTION_LOG

if TYPE_CHECKING:
    from aether_protocol.ports.store import ChangeFeed, LeaseStore, RunStore, UpkeepStore


class SqliteStore(SqlFacets):
    """`ports.store.Store` in one file. `tier` is how new runs are kept."""

    def __init__(self, database: Database, tier: str = STATE_ACTION_LOG) -> None:
        dialect = SqliteDialect(database)
        super().__init__(dialect, tier)
        self.database = database
        self.file: Path | None = None if database.path == ":memory:" else Path(database.path).absolute()
        self.runs: RunStore = SqliteRuns(database, dialect, self.records)
        self.leases: LeaseStore = SqlLeases(dialect, self.records.forget)
        self.changes: ChangeFeed = SqliteChanges(database)

    def _make_upkeep(self) -> UpkeepStore:
        from aether_protocol.adapters.stores.sqlite.upkeep import SqliteUpkeep

        return SqliteUpkeep(self.database, self._sql, self.tier)

    async def close(self) -> None:
        self.database.close()


def open_sqlite(
    path: str,
    *,
    durability: str = "full",
    tier: str = STATE_ACTION_LOG,
    migrate: bool = True,
    reads_only: bool = False,
    now: Callable[[], int] = machine_now,
) -> SqliteStore:
    """Open the file, or make it with its directory.

    Args:
        path: The file; `:memory:` is a store that ends with the process.
        durability: full (survives power loss) or normal (survives the end of the process).
        tier: How new runs are kept.
        migrate: Bring a file of an older version up to date; else it is refused.
        reads_only: Make and change nothing: a read-only file will do.
        now: The clock by which leases are measured, in microseconds since the epoch: the machine's.

    Raises:
        PortError: The file cannot be used, or is not an Aether store of this version.
        UsageError: Unknown durability or tier.
    """
    require_tier(tier)  # before a file is made
    return SqliteStore(Database(path, durability, migrate=migrate, reads_only=reads_only, now=now), tier)
