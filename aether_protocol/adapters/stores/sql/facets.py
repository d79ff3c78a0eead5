"""The facets of a store that are the same in every dialect, put together.

Law: what few commands use is loaded when it is asked for first: a run that begins on the command line needs neither tokens nor
the library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

from aether_protocol.adapters.stores.sql.leases import SqlMailbox
from aether_protocol.adapters.stores.sql.logs import SqlLogs
from aether_protocol.adapters.stores.sql.runs import RunRecords
from aether_protocol.errors import UsageError
from aether_protocol.ports.store import SNAPSHOT, STATE_ACTION_LOG

if TYPE_CHECKING:
    from aether_protocol.adapters.stores.sql.schedules import SqlSchedules
    from aether_protocol.adapters.stores.sql.work import SqlDatabase
    from aether_protocol.ports.store import (
        AuditStore,
        FleetStore,
        LibraryStore,
        LogStore,
        MailboxStore,
        NamespaceStore,
        ScheduleStore,
        ServerStore,
        TokenStore,
        UpkeepStore,
    )

LATER: Final = frozenset({"schedules", "library", "fleet", "servers", "tokens", "namespaces", "audit", "upkeep"})
TIERS: Final = (SNAPSHOT, STATE_ACTION_LOG)


class SqlFacets:
    """Everything of `ports.store.Store` but runs, leases, changes and upkeep, which each dialect has its own way of. Upkeep it
    makes in `_make_upkeep`.

    Args:
        database: carries the work of facets out.
        tier: how new runs are kept.

    Raises:
        UsageError: there is no such tier.
    """

    schedules: ScheduleStore | None
    library: LibraryStore
    fleet: FleetStore
    servers: ServerStore
    tokens: TokenStore
    namespaces: NamespaceStore
    audit: AuditStore
    upkeep: UpkeepStore

    def __init__(self, database: SqlDatabase, tier: str) -> None:
        require_tier(tier)
        self.durable = True
        self.tier = tier
        self.appends_at_once = 1
        self.records = RunRecords(database, tier)
        self._sql = database
        self._mailbox = SqlMailbox(database)
        self.mailbox: MailboxStore = self._mailbox
        self.logs: LogStore = SqlLogs(database)

    def __getattr__(self, name: str) -> Any:
        """Make a facet that is asked for first. Called for what an instance does not have yet."""
        if name not in LATER:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        made = getattr(self, f"_make_{name}")()
        setattr(self, name, made)
        return made

    def __dir__(self) -> list[str]:
        """Name what is made when it is asked for, too."""
        return [*super().__dir__(), *LATER]

    def _make_schedules(self) -> ScheduleStore:
        from aether_protocol.adapters.stores.sql.schedules import SqlSchedules

        return SqlSchedules(self._sql, self.records, self._mailbox)

    def _make_library(self) -> LibraryStore:
        from aether_protocol.adapters.stores.sql.library import SqlLibrary

        return SqlLibrary(self._sql, cast("SqlSchedules", self.schedules))

    def _make_fleet(self) -> FleetStore:
        from aether_protocol.adapters.stores.sql.fleet import SqlFleet

        return SqlFleet(self._sql)

    def _make_servers(self) -> ServerStore:
        from aether_protocol.adapters.stores.sql.servers import SqlServers

        return SqlServers(self._sql)

    def _make_tokens(self) -> TokenStore:
        from aether_protocol.adapters.stores.sql.access import SqlTokens

        return SqlTokens(self._sql)

    def _make_namespaces(self) -> NamespaceStore:
        from aether_protocol.adapters.stores.sql.access import SqlNamespaces

        return SqlNamespaces(self._sql)

    def _make_audit(self) -> AuditStore:
        from aether_protocol.adapters.stores.sql.access import SqlAudit

        return SqlAudit(self._sql)


def require_tier(tier: str) -> None:
    """Raise UsageError for a tier that there is not."""
    if tier not in TIERS:
        raise UsageError(f"unknown tier {tier!r}", hint=f"known: {', '.join(TIERS)}")
