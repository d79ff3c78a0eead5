"""The memory store keeps the Store contract, and keeps little."""

from __future__ import annotations

from aether_protocol.adapters.stores.memory import MemoryStore
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.testing.contracts.store import StoreContract, step, tiny_plan


class TestMemoryStore(StoreContract):
    def make(self) -> Store:
        return MemoryStore()

    def test_the_past_of_a_long_run_is_dropped_and_the_run_goes_on(self) -> None:
        async def body(store: Store) -> None:
            store = MemoryStore(keep_facts=3)
            await store.create("a", tiny_plan())
            for seq in range(1, 11):
                await store.append([RunAppend("a", seq - 1, [step(seq)])])
                assert len(store.steps("a")) == (seq if seq <= 3 else 0)

        self.play(body)
