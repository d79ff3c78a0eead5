"""The PostgreSQL store as one object, and how one is opened."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aether_protocol.adapters.stores.postgres.changes import PostgresChanges
from aether_protocol.adapters.stores.postgres.connections import Connections, Prepare
from aether_protocol.adapters.stores.postgres.dialect import PostgresDialect
from aether_protocol.adapters.stores.postgres.leases import PostgresLeases
from aether_protocol.adapters.stores.postgres.link import Link, Target
from aether_protocol.adapters.stores.postgres.mailbox import PostgresMailbox
from aether_protocol.adapters.stores.postgres.runs import PostgresRuns
from aether_protocol.adapters.stores.postgres.schema import prepare
from aether_protocol.adapters.stores.postgres.session import StoreSession
from aether_protocol.adapters.stores.sql.facets import TIERS, SqlFacets
from aether_protocol.adapters.stores.sql.leases import SqlLeases
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

if TYPE_CHECKING:
    from aether_protocol.ports.store import ChangeFeed, LeaseStore, RunStore, ServerStore, UpkeepStore

DURABILITIES: Final = ("full", "normal")
SCHEMA: Final = "aether"
PATIENCE_S: Final = 15.0
APPENDS: Final = 4  # on their way at once; there are connections for twice as many statements


class PostgresStore(SqlFacets):
    """`ports.store.Store` on a server. `tier` is how new runs are kept. Connections are made when they are needed, by an object
    of the class `connecting`."""

    def __init__(
        self,
        target: Target,
        *,
        tier: str = STATE_ACTION_LOG,
        patience_s: float = PATIENCE_S,
        now: Callable[[], int] | None = None,
        connecting: Callable[[Target, Prepare, float], Connections] = Connections,
    ) -> None:
        self.connections = connecting(target, self._prepare, patience_s)
        self._dialect = dialect = PostgresDialect(self.connections, now, self._changed)
        super().__init__(dialect, tier)
        self.file: Path | None = None
        self.appends_at_once = APPENDS
        self._session = StoreSession(self.connections, f"aether {target.schema}", lambda owner: dialect.key(f"owner {owner}"))
        self.runs: RunStore = PostgresRuns(dialect, self.records)
        self._leases = PostgresLeases(dialect, SqlLeases(dialect, self.records.forget), self._session)
        self.leases: LeaseStore = self._leases
        self.mailbox = PostgresMailbox(dialect, self._mailbox, self._session)
        self.changes: ChangeFeed = PostgresChanges(dialect, self._session.hinted)

    def _make_upkeep(self) -> UpkeepStore:
        from aether_protocol.adapters.stores.postgres.upkeep import PostgresUpkeep

        return PostgresUpkeep(self._dialect, self.tier)

    def _make_servers(self) -> ServerStore:
        from aether_protocol.adapters.stores.postgres.servers import PostgresServers
        from aether_protocol.adapters.stores.sql.servers import SqlServers

        return PostgresServers(SqlServers(self._dialect), self._leases, self._session)

    async def _prepare(self, link: Link) -> None:
        await prepare(link, self._dialect, migrates=not self.connections.target.reads_only)

    def _changed(self) -> None:
        self._session.changed()

    async def close(self) -> None:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            return  # nothing was connected
        await self._session.close()
        self.connections.close()


def open_postgres(
    dsn: str,
    *,
    schema: str = SCHEMA,
    durability: str = "full",
    tier: str = STATE_ACTION_LOG,
    reads_only: bool = False,
    patience_s: float = PATIENCE_S,
    now: Callable[[], int] | None = None,
) -> PostgresStore:
    """Make the store of a database. It is connected, and set up where that is needed, when it is used first.

    Args:
        dsn: The URL of the database, without the options of the store.
        schema: The schema in which the tables are.
        durability: full (survives power loss) or normal (survives a crash of the server, but for its last moment). Tier
            snapshot, which repeats what came after a snapshot, is always normal.
        tier: How new runs are kept.
        reads_only: Make and change nothing.
        patience_s: How long a server that was there before is waited for.
        now: The clock by which leases are measured, in microseconds since the epoch; None: the server's.

    Raises:
        UsageError: Unknown durability or tier.
    """
    for name, value, known in (("tier", tier, TIERS), ("durability", durability, DURABILITIES)):
        if value not in known:
            raise UsageError(f"unknown {name} {value!r}", hint=f"known: {', '.join(known)}")
    synchronous = durability == "full" and tier != SNAPSHOT
    return PostgresStore(Target(dsn, schema, synchronous, reads_only), tier=tier, patience_s=patience_s, now=now)
