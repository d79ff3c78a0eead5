"""The Store port: what is kept of runs, as an object of facets, each a Protocol of at most eight methods.

    runs        log entries, rows and snapshots of runs            leases     which engine drives which run
    mailbox     requests to the engine that drives a run           logs       what tasks wrote
    changes     which runs have changed, for readers that follow all
    library     documents with their versions                      schedules  schedules, their fires and decisions
    upkeep      what an operator asks
    tokens      of callers, without their texts                namespaces those that were declared
    audit       what callers changed
    fleet       what servers must know of their workers            servers    which servers there are

Every method of a facet raises PortError where the outside fails (a full disk, a server that is away), BusyError where another
process was first, and UsageError where the caller asks for what cannot be: NotFoundError for an unknown run, ConflictError
for an id that is taken. All instants are microseconds since the epoch. The
contract suite `aether_protocol.testing.contracts.store` holds every rule of the port as tests.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from aether_protocol.ports.store.access import AccessToken as AccessToken
    from aether_protocol.ports.store.access import AuditRecord as AuditRecord
    from aether_protocol.ports.store.access import AuditStore as AuditStore
    from aether_protocol.ports.store.access import NamespaceEntry as NamespaceEntry
    from aether_protocol.ports.store.access import NamespaceStore as NamespaceStore
    from aether_protocol.ports.store.access import TokenStore as TokenStore
    from aether_protocol.ports.store.changes import Change as Change
    from aether_protocol.ports.store.changes import ChangeFeed as ChangeFeed
    from aether_protocol.ports.store.fleet import FleetStore as FleetStore
    from aether_protocol.ports.store.fleet import KnownWorker as KnownWorker
    from aether_protocol.ports.store.fleet import ServerTerm as ServerTerm
    from aether_protocol.ports.store.leases import Lease as Lease
    from aether_protocol.ports.store.leases import LeaseStore as LeaseStore
    from aether_protocol.ports.store.library import DocumentMark as DocumentMark
    from aether_protocol.ports.store.library import LibraryStore as LibraryStore
    from aether_protocol.ports.store.library import NewDocument as NewDocument
    from aether_protocol.ports.store.library import StoredDocument as StoredDocument
    from aether_protocol.ports.store.logs import LogLine as LogLine
    from aether_protocol.ports.store.logs import LogStore as LogStore
    from aether_protocol.ports.store.mailbox import MailboxStore as MailboxStore
    from aether_protocol.ports.store.mailbox import Request as Request
    from aether_protocol.ports.store.runs import KeyTakenError as KeyTakenError
    from aether_protocol.ports.store.runs import NewRun as NewRun
    from aether_protocol.ports.store.runs import RunAppend as RunAppend
    from aether_protocol.ports.store.runs import RunKey as RunKey
    from aether_protocol.ports.store.runs import RunQuery as RunQuery
    from aether_protocol.ports.store.runs import RunStore as RunStore
    from aether_protocol.ports.store.runs import RunSummary as RunSummary
    from aether_protocol.ports.store.runs import StoredRun as StoredRun
    from aether_protocol.ports.store.schedules import ScheduleStore as ScheduleStore
    from aether_protocol.ports.store.servers import ServerRow as ServerRow
    from aether_protocol.ports.store.servers import ServerStore as ServerStore
    from aether_protocol.ports.store.upkeep import StoreInfo as StoreInfo
    from aether_protocol.ports.store.upkeep import UpkeepStore as UpkeepStore

MEMORY: Final = "memory"
SNAPSHOT: Final = "snapshot"
STATE_ACTION_LOG: Final = "state-action-log"

FACETS: Final = (  # that every store has
    *("runs", "leases", "mailbox", "logs", "library", "changes", "upkeep"),
    *("tokens", "namespaces", "audit", "fleet", "servers"),
)


class Store(Protocol):
    """All facets. `durable`: what is written survives this process, and others may read and write it too. `tier` is how new
    runs are kept, `file` where the store lies on this machine (None: it has no file). `schedules` is None where a store keeps
    none. `appends_at_once`: so many appends of different runs an engine may have on their way, because they are waited for; of
    a store that answers at once it is 1."""

    durable: bool
    tier: str
    file: Path | None
    appends_at_once: int
    runs: RunStore
    leases: LeaseStore
    mailbox: MailboxStore
    logs: LogStore
    library: LibraryStore
    changes: ChangeFeed
    schedules: ScheduleStore | None
    fleet: FleetStore
    servers: ServerStore
    upkeep: UpkeepStore
    tokens: TokenStore
    namespaces: NamespaceStore
    audit: AuditStore

    async def close(self) -> None:
        """Close connections and files. What was written stays, if the store is durable."""
        ...


def schedules_of(store: Store) -> ScheduleStore:
    """The schedules of a store. Raises UsageError where it keeps none."""
    if store.schedules is None:
        from aether_protocol.errors import UsageError

        raise UsageError("this store keeps no schedules", hint="a SQLite store does: --store sqlite:PATH")
    return store.schedules


_HOMES: Final = {
    **dict.fromkeys(
        ("AccessToken", "AuditRecord", "AuditStore", "NamespaceEntry", "NamespaceStore", "TokenStore"), "access"
    ),
    **dict.fromkeys(
        ("KeyTakenError", "NewRun", "RunAppend", "RunKey", "RunQuery", "RunStore", "RunSummary", "StoredRun"), "runs"
    ),
    **dict.fromkeys(("MailboxStore", "Request"), "mailbox"),
    **dict.fromkeys(("LogLine", "LogStore"), "logs"),
    **dict.fromkeys(("DocumentMark", "LibraryStore", "NewDocument", "StoredDocument"), "library"),
    **dict.fromkeys(("StoreInfo", "UpkeepStore"), "upkeep"),
    **dict.fromkeys(("Change", "ChangeFeed"), "changes"),
    **dict.fromkeys(("FleetStore", "KnownWorker", "ServerTerm"), "fleet"),
    **dict.fromkeys(("Lease", "LeaseStore"), "leases"),
    **dict.fromkeys(("ServerRow", "ServerStore"), "servers"),
    "ScheduleStore": "schedules",
}


if not TYPE_CHECKING:  # else no misspelt name would be an error

    def __getattr__(name: str) -> Any:
        """Load a value or a facet's Protocol with its module: a list of runs needs one of them, not all."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
