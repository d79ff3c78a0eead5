"""The SQLite store as one object, and how one is opened."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol.adapters.stores.sql.access import SqlAudit, SqlNamespaces, SqlTokens
from aether_protocol.adapters.stores.sql.fleet import SqlFleet
from aether_protocol.adapters.stores.sql.leases import SqlLeases, SqlMailbox
from aether_protocol.adapters.stores.sql.library import SqlLibrary
from aether_protocol.adapters.stores.sql.logs import SqlLogs
from aether_protocol.adapters.stores.sql.runs import RunRecords
from aether_protocol.adapters.stores.sql.schedules import SqlSchedules
from aether_protocol.adapters.stores.sqlite.changes import SqliteChanges
from aether_protocol.adapters.stores.sqlite.database import Database, machine_now
from aether_protocol.adapters.stores.sqlite.dialect import SqliteDialect
from aether_protocol.adapters.stores.sqlite.runs import SqliteRuns
from aether_protocol.adapters.stores.sqlite.upkeep import SqliteUpkeep
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

if TYPE_CHECKING:
    from aether_protocol.ports.store import (
        AuditStore,
        ChangeFeed,
        FleetStore,
        LeaseStore,
        LibraryStore,
        LogStore,
        MailboxStore,
        NamespaceStore,
        RunStore,
        ScheduleStore,
        TokenStore,
        UpkeepStore,
    )

TIERS: Final = (SNAPSHOT, STATE_ACTION_LOG)


class SqliteStore:
    """`ports.store.Store` in one file. `tier` is how new runs are kept."""

    def __init__(self, database: Database, tier: str = STATE_ACTION_LOG) -> None:
        if tier not in TIERS:
            raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
        self.database = database
        self.durable = True
        self.tier = tier
        self.file: Path | None = None if database.path == ":memory:" else Path(database.path).absolute()
        dialect = SqliteDialect(database)
        records, mailbox = RunRecords(dialect, tier), SqlMailbox(dialect)
        self.runs: RunStore = SqliteRuns(database, dialect, records)
        self.leases: LeaseStore = SqlLeases(dialect, records.forget, dialect.warn_of_sharing)
        self.mailbox: MailboxStore = mailbox
        self.logs: LogStore = SqlLogs(dialect)
        self.changes: ChangeFeed = SqliteChanges(database)
        schedules = SqlSchedules(dialect, records, mailbox)
        self.schedules: ScheduleStore | None = schedules
        self.library: LibraryStore = SqlLibrary(dialect, schedules)
        self.fleet: FleetStore = SqlFleet(dialect)
        self.upkeep: UpkeepStore = SqliteUpkeep(database, tier)
        self.tokens: TokenStore = SqlTokens(dialect)
        self.namespaces: NamespaceStore = SqlNamespaces(dialect)
        self.audit: AuditStore = SqlAudit(dialect)

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
    if tier not in TIERS:
        raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
    return SqliteStore(Database(path, durability, migrate=migrate, reads_only=reads_only, now=now), tier)
