"""The SQLite store: runs in one file, nothing to install or start.

Law: all calls come from one event loop's thread, and each that writes is one transaction. Several processes may use a file
at once; leases keep them off each other's runs.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol.adapters.stores.sqlite.changes import SqliteChanges
from aether_protocol.adapters.stores.sqlite.database import Database, machine_now
from aether_protocol.adapters.stores.sqlite.leases import SqliteLeases, SqliteMailbox
from aether_protocol.adapters.stores.sqlite.reading import ReadOnlyDatabase, may_be_readable
from aether_protocol.adapters.stores.sqlite.runs import SqliteRuns
from aether_protocol.adapters.stores.sqlite.schedules import SqliteSchedules
from aether_protocol.adapters.stores.sqlite.texts import SqliteLibrary, SqliteLogs
from aether_protocol.adapters.stores.sqlite.upkeep import SqliteUpkeep
from aether_protocol.errors import PortError, UsageError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

if TYPE_CHECKING:
    from aether_protocol.ports.store import (
        ChangeFeed,
        LeaseStore,
        LibraryStore,
        LogStore,
        MailboxStore,
        RunStore,
        ScheduleStore,
        UpkeepStore,
    )

TIERS: Final = (SNAPSHOT, STATE_ACTION_LOG)


class SqliteStore:
    """See `ports.store.Store`. `tier` is how new runs are kept. Facets share the connection; each knows its tables alone."""

    def __init__(self, database: Database, tier: str = STATE_ACTION_LOG) -> None:
        if tier not in TIERS:
            raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
        self.database = database
        self.durable = True
        self.tier = tier
        self.file: Path | None = None if database.path == ":memory:" else Path(database.path).absolute()
        runs = SqliteRuns(database, tier)
        self.runs: RunStore = runs
        self.leases: LeaseStore = SqliteLeases(database)
        self.mailbox: MailboxStore = SqliteMailbox(database)
        self.logs: LogStore = SqliteLogs(database)
        self.library: LibraryStore = SqliteLibrary(database)
        self.changes: ChangeFeed = SqliteChanges(database)
        self.schedules: ScheduleStore | None = SqliteSchedules(database, runs)
        self.upkeep: UpkeepStore = SqliteUpkeep(database, tier)

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
    """Open the file, or make it with its directory; `:memory:` is a store that ends with the process.

    `durability` is full (survives power loss) or normal (survives the end of the process). A file of an older version is
    brought up to date, or refused where `migrate` is false. With `reads_only` nothing is made or changed, so a read-only file
    will do. `now` is the clock by which leases are measured, in microseconds since the epoch: the machine's.
    Raises PortError for a file that cannot be used or is not ours, UsageError for an unknown word.
    """
    if tier not in TIERS:
        raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
    try:
        return SqliteStore(Database(path, durability, migrate=migrate, reads_only=reads_only, now=now), tier)
    except PortError as error:
        if not reads_only or not may_be_readable(error):
            raise
        return SqliteStore(ReadOnlyDatabase(path), tier)
