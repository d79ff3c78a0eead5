"""The memory store keeps the Store contract, and keeps little."""

from __future__ import annotations

from aether_protocol.adapters.stores.memory import MemoryStore
from aether_protocol.ports.store import RunAppend, Store
from aether_protocol.testing.contracts.store import StoreContract, step, tiny_plan


class TestMemoryStore(StoreContract):
    def make(self) -> Store:
        return MemoryStore()

    def test_only_the_newest_steps_are_kept(self) -> None:
        async def body(store: Store) -> None:
            store = MemoryStore(keep_steps=3)
            await store.create("a", tiny_plan())
            for seq in range(1, 11):
                await store.append([RunAppend("a", seq - 1, [step(seq)])])
            assert [kept.seq for kept in store.steps("a")] == [8, 9, 10]

        self.play(body)
