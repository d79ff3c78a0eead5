"""What every store must keep (the Store port): the servers that use it.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from msgspec.structs import replace

from aether_protocol.ports.store import ServerRow, Store
from aether_protocol.ports.store.leases import BREAKS
from aether_protocol.ports.store.servers import FREE
from aether_protocol.testing.contracts.store.tools import SECOND, Contract, all_well, more, new_run

_TTL = 15 * SECOND


def _server(owner: str, at: int = 1) -> ServerRow:
    return ServerRow(
        owner, f"the é of {owner}", "http://127.0.0.1:7234",
        build="1.2", schema=11, protocol=1, started_at=at, token="ab" * 32,
    )


class ServerContract(Contract):
    """The rows of servers, and the leases that they live by."""

    def test_servers_are_listed_as_they_began_and_the_newest_row_of_each_counts(self) -> None:
        async def body(store: Store) -> None:
            assert await store.servers.list() == []
            late, early = _server("a", 9), _server("b", 5)
            await store.servers.put(late, _TTL)
            await store.servers.put(early, _TTL)
            assert await store.servers.list() == [early, late]
            changed = replace(early, build="1.3")
            await store.servers.put(changed, _TTL)
            other = await self.client(store)
            assert await other.servers.list() == [changed, late]
            if other is not store:
                await other.close()

        self.play(body)

    def test_a_row_takes_the_lease_of_its_owner_and_ends_with_it(self) -> None:
        async def body(store: Store) -> None:
            await store.servers.put(_server("a"), _TTL)
            await store.servers.put(_server("b"), None)
            assert [(one.owner, one.live) for one in await store.leases.owners()] == [("a", True), ("b", True)]
            await self.pass_time(_TTL - SECOND)
            await store.servers.put(_server("a"), _TTL)
            await self.pass_time(_TTL - SECOND)
            assert [one.owner for one in await store.servers.list()] == ["a", "b"]
            await self.pass_time(2 * SECOND)
            assert [one.owner for one in await store.servers.list()] == ["b"]

        self.play(body)

    def test_a_renewed_lease_keeps_the_row(self) -> None:
        async def body(store: Store) -> None:
            await store.servers.put(_server("a"), _TTL)
            await self.pass_time(_TTL - SECOND)
            await store.leases.renew("a", _TTL, {})
            await self.pass_time(_TTL - SECOND)
            assert [one.owner for one in await store.servers.list()] == ["a"]

        self.play(body)

    def test_the_lease_of_a_server_keeps_its_runs(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("r", owner="a", ttl=_TTL))
            await self.pass_time(_TTL - SECOND)
            await store.servers.put(_server("a"), _TTL)
            await self.pass_time(2 * SECOND)
            assert await store.leases.claim("b", _TTL) == []

        self.play(body)

    def test_a_server_that_releases_runs_stays_and_one_that_releases_everything_is_gone(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("r", owner="a", ttl=_TTL))
            await store.servers.put(_server("a"), _TTL)
            await store.servers.put(_server("b", 2), _TTL)
            await store.leases.release("a", ["r"])
            assert [one.owner for one in await store.servers.list()] == ["a", "b"]
            await store.leases.release("a")
            assert [one.owner for one in await store.servers.list()] == ["b"]

        self.play(body)

    def test_runs_are_counted_by_the_owners_that_hold_them(self) -> None:
        async def body(store: Store) -> None:
            assert dict(await store.servers.runs()) == {}
            for name, owner in (("r1", "a"), ("r2", "a"), ("r3", "b"), ("r4", None), ("r5", "a")):
                await store.runs.create(new_run(name, owner=owner, ttl=None if owner is None else _TTL))
            assert dict(await store.servers.runs()) == {"a": 3, "b": 1, FREE: 1}
            await store.leases.release("a", sleeps={"r5": None})
            assert await all_well(store, more("r1", 0, token=1, phase="Succeeded", closed=True))
            assert dict(await store.servers.runs()) == {"a": 1, "b": 1, FREE: 1}
            await self.pass_time(_TTL - SECOND)
            await store.leases.renew("a", _TTL, {})
            await self.pass_time(2 * SECOND)
            assert dict(await store.servers.runs()) == {"a": 1, FREE: 2}, "the lease of b has ended"
            for _ in range(BREAKS):
                await store.leases.broke("r2", 1, 0, "it breaks")
            assert dict(await store.servers.runs()) == {FREE: 2}, "one that was set aside is driven by no server"

        self.play(body)
