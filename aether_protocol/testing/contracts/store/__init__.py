"""The contract suite of the Store port: a file a facet, all of it in `StoreContract`.

    class TestMyStore(StoreContract, ScheduleContract):
        def make(self) -> Store:
            return MyStore(now=self.now)

Modules by role:

    what all of them use                                tools
    runs, the feed of changes, what tasks wrote         runs, changes, logs
    which engine drives which run; requests to it       leases, mailbox
    documents with their versions, schedules            library, schedules
    tokens, namespaces and the audit                    access
    servers, and the workers that they know             servers, fleet
    what operators ask                                  upkeep

Law: subclass and give `make`; pytest then collects every test of it. Nothing here knows a particular store.
"""

from __future__ import annotations

from aether_protocol.testing.contracts.store.access import AccessContract
from aether_protocol.testing.contracts.store.changes import ChangeContract
from aether_protocol.testing.contracts.store.fleet import FleetContract
from aether_protocol.testing.contracts.store.leases import LeaseContract
from aether_protocol.testing.contracts.store.library import LibraryContract
from aether_protocol.testing.contracts.store.logs import LogContract
from aether_protocol.testing.contracts.store.mailbox import MailboxContract
from aether_protocol.testing.contracts.store.runs import RunContract
from aether_protocol.testing.contracts.store.servers import ServerContract
from aether_protocol.testing.contracts.store.upkeep import UpkeepContract


class StoreContract(
    RunContract,
    LeaseContract,
    MailboxContract,
    LogContract,
    LibraryContract,
    ChangeContract,
    UpkeepContract,
    AccessContract,
    FleetContract,
    ServerContract,
):
    """Every facet that a store must have. Subclass it as `TestMyStore`."""
