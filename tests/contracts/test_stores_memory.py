"""The memory store keeps the Store contract, and keeps little."""

from __future__ import annotations

from aether_protocol.adapters.stores.memory.store import MemoryStore
from aether_protocol.ports.store import STATE_ACTION_LOG, Store
from aether_protocol.testing.contracts.store import StoreContract
from aether_protocol.testing.contracts.store.leases import LeaseContract
from aether_protocol.testing.contracts.store.library import LibraryContract
from aether_protocol.testing.contracts.store.logs import LogContract
from aether_protocol.testing.contracts.store.mailbox import MailboxContract
from aether_protocol.testing.contracts.store.schedules import ScheduleContract
from aether_protocol.testing.contracts.store.tools import all_well, more, new_run
from aether_protocol.testing.contracts.store.upkeep import UpkeepContract


class TestMemoryStore(StoreContract, ScheduleContract):
    def make(self) -> Store:
        return MemoryStore(now=self.now)

    def test_the_past_of_a_long_run_is_dropped_and_the_run_goes_on(self) -> None:
        async def body(store: Store) -> None:
            store = MemoryStore(keep_facts=3)
            await store.runs.create(new_run("a"))
            for seq in range(1, 11):
                assert await all_well(store, more("a", seq - 1))
                assert len(await store.runs.lines("a")) == (seq if seq <= 3 else 0)

        self.play(body)


class TestMemoryStoreThatKeepsText(LeaseContract, MailboxContract, LogContract, LibraryContract, UpkeepContract):
    """What does not depend on how runs are kept; the simulation has the rest."""

    def make(self) -> Store:
        return MemoryStore(tier=STATE_ACTION_LOG, now=self.now)
