"""What every store must keep (the Store port): upkeep.

Law: nothing in this file knows a particular store.
"""

from __future__ import annotations

from msgspec.structs import replace

from aether_protocol.ports.store import Store
from aether_protocol.testing.contracts.store.tools import (
    Contract,
    all_well,
    digest,
    more,
    new_run,
)


class UpkeepContract(Contract):
    """What `aether db` does to a healthy store."""

    def test_upkeep_of_a_healthy_store(self) -> None:
        async def body(store: Store) -> None:
            for run in ("a", "b"):
                await store.runs.create(new_run(run))
            assert await all_well(store, more("a", 0, "x", "y", closed=True, saves=True))
            assert await all_well(store, more("b", 0))
            info = await store.upkeep.info()
            assert (info.runs, info.open_runs) == (2, 1)
            assert info.details["adapter"]
            assert await store.upkeep.check() == []
            await store.upkeep.vacuum()
            assert await store.upkeep.check() == []
            assert await store.upkeep.migrate() == (info.schema, info.schema)
            assert await all_well(store, more("b", 1))

        self.play(body)

    def test_what_runs_name_is_counted_until_the_last_of_them_goes(self) -> None:
        async def body(store: Store) -> None:
            assert await store.upkeep.artifacts() == {}
            await store.runs.create(replace(new_run("a"), artifacts=[digest(1), digest(2)]))
            token = await store.runs.create(new_run("b", owner="me", ttl=10))
            steps = more("b", 0, "x", "y", token=token)
            assert await all_well(store, replace(steps, artifacts=[digest(2), digest(3)]))
            assert await all_well(store, replace(more("b", 2, token=token, progress=0), artifacts=[digest(4), digest(2)]))
            late = replace(more("b", 1, token=token), artifacts=[digest(5)])
            foreign = replace(more("b", 3, token=token + 1), artifacts=[digest(6)])
            assert len(await store.runs.append([late])) == len(await store.runs.append([foreign])) == 1
            named = await store.upkeep.artifacts()
            assert {one for _, one in named} == {digest(1), digest(2), digest(3), digest(4)}, "what was refused names nothing"
            assert [named["default", digest(number)] for number in (1, 3, 4)] == ["a", "b", "b"]
            await store.runs.delete(["a"])
            assert await store.upkeep.artifacts() == {("default", digest(one)): "b" for one in (2, 3, 4)}
            await self.pass_time(10)
            await store.runs.delete(["b"])
            assert await store.upkeep.artifacts() == {}

        self.play(body)

    def test_what_runs_name_is_counted_by_their_namespace(self) -> None:
        async def body(store: Store) -> None:
            for run, namespace in (("a", "default"), ("b", "team-a"), ("c", "team-a"), ("d", "team-b")):
                made = new_run(run)
                row, plan = replace(made.row, namespace=namespace), replace(made.plan, namespace=namespace)
                await store.runs.create(replace(made, row=row, plan=plan, artifacts=[digest(1)]))
            named = {("default", digest(1)): "a", ("team-a", digest(1)): "b", ("team-b", digest(1)): "d"}
            assert await store.upkeep.artifacts() == named
            await store.runs.delete(["b", "d"])
            named = {("default", digest(1)): "a", ("team-a", digest(1)): "c"}
            assert await store.upkeep.artifacts() == named

        self.play(body)

    def test_a_run_that_was_taken_in_names_what_it_came_with(self) -> None:
        async def body(store: Store) -> None:
            await store.runs.create(new_run("a"))
            assert await all_well(store, more("a", 0, closed=True))
            run = await store.runs.load("a")
            await store.runs.delete(["a"])
            await store.runs.import_run(replace(run, artifacts=[digest(7)]))
            assert await store.upkeep.artifacts() == {("default", digest(7)): "a"}

        self.play(body)
