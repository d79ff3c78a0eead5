"""What every store must keep (the Store port): what servers must know of their workers.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from msgspec.structs import replace

from aether_protocol.ports.store import KnownWorker, Store
from aether_protocol.testing.contracts.store.tools import Contract


def known(name: str, at: int, connected: bool, hello: str = "{}") -> KnownWorker:
    """A worker for all namespaces."""
    return KnownWorker(name=name, hello=hello, at=at, connected=connected)


class FleetContract(Contract):
    """Terms of servers, and the workers that they know."""

    def test_the_first_key_stays_and_each_term_has_a_higher_number(self) -> None:
        async def body(store: Store) -> None:
            first = await store.fleet.begin_term(b"one")
            other = await self.client(store)
            second = await other.fleet.begin_term(b"two")
            if other is not store:
                await other.close()
            third = await store.fleet.begin_term(b"three")
            assert {first.key, second.key, third.key} == {b"one"}
            assert 0 < first.number < second.number < third.number

        self.play(body)

    def test_of_each_worker_the_newest_word_is_kept(self) -> None:
        async def body(store: Store) -> None:
            assert await store.fleet.workers() == []
            old, new = known("w2", 5, True, '{"é": 1}'), known("w2", 7, False)
            other = replace(known("w1", 6, True), namespaces=("dev", "ops"))
            await store.fleet.put_workers([old, other])
            assert await store.fleet.workers() == [other, old]
            await store.fleet.put_workers([new])
            assert await store.fleet.workers() == [other, new]

        self.play(body)

    def test_workers_that_left_long_ago_are_forgotten_and_connected_ones_never(self) -> None:
        async def body(store: Store) -> None:
            gone, lately, there = (
                known("gone", 5, False),
                known("lately", 9, False),
                known("there", 1, True),
            )
            await store.fleet.put_workers([gone, lately, there])
            await store.fleet.forget_workers(9)
            assert await store.fleet.workers() == [lately, there]

        self.play(body)
